"""The flow decoder of Glow-TTS: an invertible map between mels and what is Gaussian.

Frames are squeezed in pairs; then come blocks of activation normalisation, an invertible 1x1
convolution in groups of four channels, and an affine coupling (Kim et al. 2020, arXiv 2005.11129).
Each part has `__call__`, which also gives ln |det| of its Jacobian for each row, and `inverse`.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.modules.layers import Conv1D, Linear

GROUP = 4
"""Channels that the invertible convolution mixes."""
SQUEEZED = 2
"""Frames that become the channels of one."""


class ActivationNorm(nn.Module):
    """A factor and an offset for each channel."""

    channels: int

    def setup(self) -> None:
        """Declares both."""
        self.log_scale = self.param("log_scale", nn.initializers.zeros, (self.channels,))
        self.offset = self.param("offset", nn.initializers.zeros, (self.channels,))

    def __call__(self, x: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
        """x [B, T, C], mask bool[B, T] -> [B, T, C], f32[B]."""
        z = x * jnp.exp(self.log_scale)[None, None] + self.offset[None, None]
        return z * mask[..., None], self.log_scale.sum() * mask.sum(axis=1)

    def inverse(self, z: jax.Array, mask: jax.Array) -> jax.Array:
        """Of `__call__`."""
        x = (z - self.offset[None, None]) * jnp.exp(-self.log_scale)[None, None]
        return x * mask[..., None]


class InvertibleConv(nn.Module):
    """One matrix for all groups of four channels, one from each quarter; a rotation at first."""

    channels: int

    def setup(self) -> None:
        """Declares the matrix."""
        if self.channels % GROUP:
            raise ValueError(f"{self.channels} channels cannot be grouped by {GROUP}")
        self.kernel = self.param("kernel", nn.initializers.orthogonal(), (GROUP, GROUP))

    def __call__(self, x: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
        """x [B, T, C], mask bool[B, T] -> [B, T, C], f32[B]."""
        log_det = jnp.linalg.slogdet(self.kernel)[1] * (self.channels // GROUP)
        return self._mixed(x, self.kernel), log_det * mask.sum(axis=1)

    def inverse(self, z: jax.Array, mask: jax.Array) -> jax.Array:
        """Of `__call__`."""
        return self._mixed(z, jnp.linalg.inv(self.kernel))

    @staticmethod
    def _mixed(x: jax.Array, kernel: jax.Array) -> jax.Array:
        grouped = x.reshape(*x.shape[:2], GROUP, -1)  # [B, T, C] -> [B, T, 4, C / 4]
        mixed = jnp.einsum("ij,btjc->btic", kernel, grouped, precision=jax.lax.Precision.HIGHEST)
        return mixed.reshape(x.shape)


class AffineCoupling(nn.Module):
    """The second half of the channels, scaled and moved by what a WaveNet makes of the first.

    Attributes:
      channels: C.
      hidden, layers, kernel_size: of the WaveNet; nothing is changed at first.
    """

    channels: int
    hidden: int
    layers: int
    kernel_size: int

    def setup(self) -> None:
        """Declares the WaveNet."""
        self.first = Linear(self.hidden)
        self.gates = [Conv1D(2 * self.hidden, self.kernel_size) for _ in range(self.layers)]
        self.outs = [Linear(2 * self.hidden) for _ in range(self.layers)]
        self.last = Linear(self.channels, kernel_init=nn.initializers.zeros)

    def __call__(self, x: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
        """x [B, T, C], mask bool[B, T] -> [B, T, C], f32[B]."""
        kept, changed = jnp.split(x, 2, axis=-1)
        log_scale, offset = self._of(kept, mask)
        z = (changed * jnp.exp(log_scale) + offset) * mask[..., None]
        return jnp.concatenate([kept, z], axis=-1), log_scale.sum(axis=(1, 2))

    def inverse(self, z: jax.Array, mask: jax.Array) -> jax.Array:
        """Of `__call__`."""
        kept, changed = jnp.split(z, 2, axis=-1)
        log_scale, offset = self._of(kept, mask)
        x = (changed - offset) * jnp.exp(-log_scale) * mask[..., None]
        return jnp.concatenate([kept, x], axis=-1)

    def _of(self, kept: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
        """ln of the factors, and the offsets: [B, T, C / 2] each, 0 on padding."""
        real = mask[..., None]
        x, skipped = self.first(kept) * real, jnp.zeros(())
        for gate, out in zip(self.gates, self.outs, strict=True):
            a, b = jnp.split(gate(x), 2, axis=-1)
            residual, skip = jnp.split(out(jnp.tanh(a) * nn.sigmoid(b)), 2, axis=-1)
            x, skipped = (x + residual) * real, skipped + skip
        log_scale, offset = jnp.split(self.last(skipped) * real, 2, axis=-1)
        return log_scale, offset


class FlowDecoder(nn.Module):
    """All blocks, between mels and z.

    Attributes:
      mel_bins: M, even.
      blocks: how many.
      hidden, layers, kernel_size: of the couplings' WaveNets.
    """

    mel_bins: int
    blocks: int = 12
    hidden: int = 192
    layers: int = 4
    kernel_size: int = 5

    def setup(self) -> None:
        """Declares the parts, in the order from mel to z."""
        channels = SQUEEZED * self.mel_bins
        self.parts = [
            part
            for _ in range(self.blocks)
            for part in (
                ActivationNorm(channels),
                InvertibleConv(channels),
                AffineCoupling(channels, self.hidden, self.layers, self.kernel_size),
            )
        ]

    def __call__(self, mel: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
        """A mel to z, and ln |dz / dmel|.

        Args:
          mel: [B, T, M], T even.
          mask: bool[B, T], an even number of real frames in each row.

        Returns:
          z [B, T, M], 0 on padding; f32[B].
        """
        x, pairs = _squeezed(mel * mask[..., None]), mask[:, ::SQUEEZED]
        log_det = jnp.zeros(mel.shape[0])
        for part in self.parts:
            x, own = part(x, pairs)
            log_det += own
        return _unsqueezed(x), log_det

    def inverse(self, z: jax.Array, mask: jax.Array) -> jax.Array:
        """z [B, T, M] to a mel [B, T, M], the inverse of `__call__`."""
        x, pairs = _squeezed(z * mask[..., None]), mask[:, ::SQUEEZED]
        for part in reversed(self.parts):
            x = part.inverse(x, pairs)
        return _unsqueezed(x)


def _squeezed(x: jax.Array) -> jax.Array:
    """[B, T, M] -> [B, T / 2, 2 M]."""
    return x.reshape(x.shape[0], x.shape[1] // SQUEEZED, SQUEEZED * x.shape[2])


def _unsqueezed(x: jax.Array) -> jax.Array:
    """[B, T / 2, 2 M] -> [B, T, M]."""
    return x.reshape(x.shape[0], x.shape[1] * SQUEEZED, x.shape[2] // SQUEEZED)
