"""Pitch as the reference implementation predicts and reads it: no notes, log2 f0, 256 bins."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.modules.layers import Embed, Linear, sinusoidal_positions
from diffsinger_jax.modules.predictors import ConvolutionStack
from diffsinger_jax.pitch import fill_unvoiced, hz_to_midi

PITCH_BINS, PITCH_ROWS = 256, 300
"""Bins that are used, and rows of the table that they index."""
LOWEST_HZ, HIGHEST_HZ = 50.0, 1100.0
"""Bins 1 and 255 begin about there."""
WAVELET_SCALES = 10
MIDI_OF_ONE_HZ = float(hz_to_midi(np.float64(1.0)))


FIRST_HZ = 200.0
"""Where predictors of f0 begin: from 1 Hz, which is 0, an optimizer is thousands of steps away."""


class Contours(nn.Module):
    """Curves over frames: positions, convolutions, one linear layer.

    Attributes:
      outputs: D, number of curves.
      layers, hidden, kernel_size, dropout: of the convolutions.
      start: before training, around what the curves are.
    """

    outputs: int
    layers: int
    hidden: int
    kernel_size: int
    dropout: float
    start: nn.initializers.Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(
        self, x: jax.Array, placed: jax.Array, mask: jax.Array, *, train: bool
    ) -> jax.Array:
        """x [B, T, H], where positions count bool[B, T], mask bool[B, T] -> f32[B, T, D]."""
        alpha = self.param("position_scale", nn.initializers.ones, (1,))
        x = x + alpha[None, None, :] * sinusoidal_positions(placed, x.shape[-1])
        x = ConvolutionStack(
            self.layers, self.hidden, self.kernel_size, self.dropout, name="stack"
        )(x, mask, train=train)
        return Linear(self.outputs, bias_init=self.start, name="out")(x)


class FramePitchPredictor(nn.Module):
    """log2 f0 and voicing of each frame, from the encoder's output alone.

    Attributes:
      layers, hidden, kernel_size, dropout: of the convolutions.
      predicts_voicing: whether the second curve is used; all is voiced otherwise.
      unmasked_convs: whether convolutions see what they made of padding.
    """

    layers: int
    hidden: int
    kernel_size: int
    dropout: float
    predicts_voicing: bool = True
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
        """As `PitchPredictor`: distance from the note in semitones, and voiced logits."""
        seen = jnp.ones_like(mask) if self.unmasked_convs else mask
        curves = Contours(
            2,
            self.layers,
            self.hidden,
            self.kernel_size,
            self.dropout,
            start=_starting_at(np.log2(FIRST_HZ), 0.0),
            name="contours",
        )(expanded, mask, seen, train=train)
        midi = MIDI_OF_ONE_HZ + 12.0 * curves[..., 0]
        voiced = -curves[..., 1] if self.predicts_voicing else jnp.ones_like(midi)
        return midi - note, voiced


class WaveletPitchPredictor(nn.Module):
    """Wavelet coefficients of log f0 for each frame, its mean and spread for each row.

    Attributes:
      width: of the layers before the curves and of those behind mean and spread.
      std_scale: factor on the predicted spread when f0 is rebuilt.
      layers, hidden, kernel_size, dropout, predicts_voicing, unmasked_convs: as in
        `FramePitchPredictor`.
    """

    layers: int
    hidden: int
    kernel_size: int
    dropout: float
    predicts_voicing: bool = True
    unmasked_convs: bool = False
    width: int = 128
    std_scale: float = 0.8

    def setup(self) -> None:
        """Declares the parts under the names that checkpoints know them by."""
        self.before = Linear(self.width)
        self.contours = Contours(
            WAVELET_SCALES + self.predicts_voicing,
            self.layers,
            self.hidden,
            self.kernel_size,
            self.dropout,
        )
        first = _starting_at(np.log(FIRST_HZ), 0.0)
        self.statistics = [Linear(self.width), Linear(self.width), Linear(2, bias_init=first)]

    def curves(
        self, expanded: jax.Array, first: jax.Array, mask: jax.Array, *, train: bool
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Coefficients f32[B, T, 10 or 11] (the last is unvoiced), mean f32[B], std f32[B]."""
        seen = jnp.ones_like(mask) if self.unmasked_convs else mask
        # The first layer's bias stands on padding too, so there positions count on.
        coefficients = self.contours(self.before(expanded), seen, seen, train=train)
        h = nn.relu(self.statistics[0](first))
        mean_std = self.statistics[2](nn.relu(self.statistics[1](h)))
        return coefficients, mean_std[:, 0], mean_std[:, 1]

    def __call__(
        self,
        expanded: jax.Array,
        first: jax.Array,
        note: jax.Array,
        mask: jax.Array,
        *,
        train: bool,
    ) -> tuple[jax.Array, jax.Array]:
        """As `PitchPredictor`: distance from the note in semitones, and voiced logits."""
        coefficients, mean, std = self.curves(expanded, first, mask, train=train)
        seen = jnp.ones_like(mask) if self.unmasked_convs else mask
        shape = inverse_wavelet(coefficients[..., :WAVELET_SCALES], seen)
        log_hz = shape * (std * self.std_scale)[:, None] + mean[:, None]
        midi = MIDI_OF_ONE_HZ + 12.0 / np.log(2.0).astype(np.float32) * log_hz
        voiced = -coefficients[..., -1] if self.predicts_voicing else jnp.ones_like(midi)
        return midi - note, voiced


def _starting_at(*values: float) -> nn.initializers.Initializer:
    return lambda key, shape, dtype=jnp.float32: jnp.asarray(values, dtype)


def inverse_wavelet(coefficients: jax.Array, mask: jax.Array) -> jax.Array:
    """A curve from its Mexican-hat wavelet coefficients, with mean 0 and variance 1 over time.

        y_t = sum_i (i + 2.5)^(-5/2) w_{t,i},  i = 1 .. 10    (Suni et al. 2013, eq. 5)

    Args:
      coefficients: f32[B, T, 10].
      mask: bool[B, T].

    Returns:
      f32[B, T], zero where mask is False; the variance is the unbiased estimate.
    """
    weights = (np.arange(coefficients.shape[-1], dtype=np.float32) + 3.5) ** np.float32(-2.5)
    y = (coefficients * weights[None, None, :]).sum(axis=-1)  # [B, T, 10] -> [B, T]
    count = jnp.maximum(mask.sum(axis=1, keepdims=True).astype(jnp.float32), 1.0)
    centred = jnp.where(mask, y - jnp.where(mask, y, 0.0).sum(1, keepdims=True) / count, 0.0)
    variance = (centred**2).sum(axis=1, keepdims=True) / jnp.maximum(count - 1.0, 1.0)
    return centred / jnp.sqrt(jnp.maximum(variance, 1e-20))


class BinnedPitchEmbedding(nn.Module):
    """f0 as one row of a table: 255 bins of equal width in mel from 50 to 1100 Hz.

    Attributes:
      hidden: H.
      fills_unvoiced: whether unvoiced frames get the pitch between their voiced neighbours, not
        the lowest bin.
    """

    hidden: int
    fills_unvoiced: bool = False

    @nn.compact
    def __call__(self, f0: jax.Array) -> jax.Array:
        """f0 f32[B, T] Hz, 0 unvoiced -> f32[B, T, H]."""
        f0 = fill_unvoiced(f0) if self.fills_unvoiced else f0
        return Embed(PITCH_ROWS, self.hidden, name="table")(pitch_bins(f0))


def pitch_bins(f0: jax.Array) -> jax.Array:
    """f0 in Hz, 0 unvoiced, any shape -> i32 bins from 1 to 255; unvoiced is 1."""

    def mel(hz):
        return 1127.0 * np.log(1.0 + hz / 700.0)

    height = 1127.0 * jnp.log(1.0 + f0 / 700.0) - mel(LOWEST_HZ)
    place = height * (PITCH_BINS - 2) / (mel(HIGHEST_HZ) - mel(LOWEST_HZ)) + 1.0
    return (jnp.clip(place, 1.0, PITCH_BINS - 1.0) + 0.5).astype(jnp.int32)
