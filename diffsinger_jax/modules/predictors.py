"""What the score does not say: how long each phoneme lasts, and how the pitch moves."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.modules.layers import Conv1D, Linear, masked, sinusoid


class ConvolutionStack(nn.Module):
    """Convolution, ReLU, layer norm, dropout, several times; masked before each convolution."""

    layers: int
    hidden: int
    kernel_size: int
    dropout: float
    dilation_base: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array, *, train: bool) -> jax.Array:
        """x [B, L, H], mask bool[B, L] -> [B, L, hidden]."""
        for i in range(self.layers):
            x = Conv1D(
                self.hidden,
                self.kernel_size,
                dilation=self.dilation_base**i,
                name=f"convolution_{i}",
            )(masked(x, mask))
            x = nn.LayerNorm(1e-12, use_fast_variance=False, name=f"norm_{i}")(nn.relu(x))
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return masked(x, mask)


class DurationPredictor(nn.Module):
    """log(1 + frames) of each phoneme (FastSpeech 2, Ren et al. 2021)."""

    layers: int
    hidden: int
    kernel_size: int
    dropout: float

    @nn.compact
    def __call__(self, encoded: jax.Array, mask: jax.Array, *, train: bool) -> jax.Array:
        """encoded [B, N, H], mask bool[B, N] -> f32[B, N], zero on padding."""
        x = ConvolutionStack(
            self.layers, self.hidden, self.kernel_size, self.dropout, name="stack"
        )(encoded, mask, train=train)
        return Linear(1, name="out")(x)[..., 0] * mask


class ResidualDurationPredictor(nn.Module):
    """log(1 + frames) of each phoneme, by residual convolutions with the norm before each.

    x + pointwise(relu(conv(norm(x)))); the first layer's x is projected where its width differs.

    Attributes:
      layers, hidden, kernel_size, dropout: of the convolutions.
      unmasked_convs: whether they see what padding holds.
    """

    layers: int
    hidden: int
    kernel_size: int
    dropout: float
    unmasked_convs: bool = False

    @nn.compact
    def __call__(self, encoded: jax.Array, mask: jax.Array, *, train: bool) -> jax.Array:
        """encoded [B, N, H], mask bool[B, N] -> f32[B, N], zero on padding."""
        x = encoded if self.unmasked_convs else masked(encoded, mask)
        for i in range(self.layers):
            h = nn.LayerNorm(1e-12, use_fast_variance=False, name=f"norm_{i}")(x)
            h = h if self.unmasked_convs else masked(h, mask)
            h = nn.relu(Conv1D(self.hidden, self.kernel_size, name=f"convolution_{i}")(h))
            h = Linear(self.hidden, name=f"pointwise_{i}")(h)
            h = nn.Dropout(self.dropout, deterministic=not train)(h)
            if x.shape[-1] != self.hidden:
                x = Linear(self.hidden, name="project")(x)
            x = masked(x + h, mask)
        return Linear(1, name="out")(x)[..., 0] * mask


DURATION_PREDICTORS = {"fs2": DurationPredictor, "resnet": ResidualDurationPredictor}
"""How durations may be predicted, by the name in a config; "none" is the other choice."""


class PitchPredictor(nn.Module):
    """The distance from the note to the sung pitch, and whether the frame is voiced.

    Dilated convolutions see about a third of a second to each side: preparation and overshoot
    at note changes. An untrained predictor sings the notes exactly.

    Attributes:
      layers, hidden, kernel_size, dropout: of the convolutions.
      unmasked_convs: whether convolutions see what they made of padding.
    """

    layers: int
    hidden: int
    kernel_size: int
    dropout: float
    unmasked_convs: bool = False

    @nn.compact
    def __call__(
        self,
        expanded: jax.Array,
        first: jax.Array,
        note: jax.Array,
        mask: jax.Array,
        *,
        train: bool,
    ) -> tuple[jax.Array, jax.Array]:
        """Predicts a contour.

        Args:
          expanded: [B, T, H], the encoder's output on frames.
          first: [B, H], the encoder's output for the first phoneme.
          note: f32[B, T], MIDI pitch of each frame's note, 0 in rests.
          mask: bool[B, T].
          train: whether dropout is on.

        Returns:
          residual f32[B, T] in semitones; voiced f32[B, T] logits.
        """
        steps = jnp.pad(jnp.diff(note, axis=1), ((0, 0), (1, 0)))
        sung = (note > 0).astype(jnp.float32)
        features = jnp.stack(
            [sung * (note - 60.0) / 12.0, sung, jnp.clip(steps, -12.0, 12.0)], axis=-1
        )
        x = expanded + Linear(expanded.shape[-1], name="note")(features)
        x = ConvolutionStack(
            self.layers,
            self.hidden,
            self.kernel_size,
            self.dropout,
            dilation_base=2,
            name="stack",
        )(x, jnp.ones_like(mask) if self.unmasked_convs else mask, train=train)
        out = Linear(2, kernel_init=nn.initializers.zeros, name="out")(x) * mask[..., None]
        return out[..., 0], out[..., 1]


class PitchEmbedding(nn.Module):
    """f0 as a vector: log2 f0, its place within the octave, and voicing, through two layers."""

    hidden: int

    @nn.compact
    def __call__(self, f0: jax.Array) -> jax.Array:
        """f0 f32[B, T] Hz, 0 unvoiced -> f32[B, T, H]."""
        voiced = f0 > 0
        octave = jnp.log2(jnp.where(voiced, f0, 220.0) / 220.0)
        # A smooth code of height: 32 features of periods from 2 pi / 16 octaves upward.
        code = sinusoid(octave * 16.0, 32)
        features = jnp.concatenate([octave[..., None], code, voiced[..., None]], axis=-1)
        features *= voiced[..., None]
        x = nn.gelu(Linear(self.hidden, name="in")(features))
        return Linear(self.hidden, name="out")(x)
