"""NSF-HiFiGAN: log mel and f0 to sound; HiFi-GAN's generator, excited by sines that follow f0.

Kong, Kim, Bae 2020 (HiFi-GAN) and Wang, Takaki, Yamagishi 2019 (NSF), as openvpi/DiffSinger and
MoonInTheRiver/DiffSinger join them. Two sources:

    "harmonics"  fundamental and overtones with noise, at full rate, added after every upsampling
    "sine"       one sine at an inner rate, added after the second upsampling, and nothing else:
                 the pitch-controllable form, whose f0 need not be the mel's
"""

from __future__ import annotations

import functools
import math
import operator

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.modules.hifigan import (
    SLOPE,
    Convolution,
    Downsampling,
    ResidualBlock,
    Upsampling,
)
from diffsinger_jax.modules.sine_source import HarmonicSource, sine_source

SOURCES = ("harmonics", "sine")
SINE_ENTERS = 1
"""The upsampling after which the source "sine" is added."""
OUTER_KERNEL = 7
"""Of the first and the last convolution."""


class NsfHifigan(nn.Module):
    """The generator.

    Attributes:
      mel_bins: M.
      sample_rate: Hz.
      channels: after the first convolution; half as many after each upsampling.
      upsample_rates: factors, whose product is the hop.
      upsample_kernels: of the transposed convolutions.
      resblock: "1" or "2", see `ResidualBlock`.
      resblock_kernels: of the blocks side by side after each upsampling, whose mean is taken.
      resblock_dilations: of each of these blocks.
      source: of `SOURCES`.
      noise_sigma: of noise added after the first convolution.
    """

    mel_bins: int
    sample_rate: int
    channels: int
    upsample_rates: tuple[int, ...]
    upsample_kernels: tuple[int, ...]
    resblock: str
    resblock_kernels: tuple[int, ...]
    resblock_dilations: tuple[tuple[int, ...], ...]
    source: str = "harmonics"
    noise_sigma: float = 0.0

    def setup(self):
        """The layers, named as in the files of the other programs where that reads well."""
        stages = range(len(self.upsample_rates))
        widths = [self.channels // 2 ** (i + 1) for i in stages]
        self.first = Convolution(self.channels, OUTER_KERNEL)
        self.upsamplings = [
            Upsampling(width, kernel, rate)
            for width, kernel, rate in zip(
                widths, self.upsample_kernels, self.upsample_rates, strict=True
            )
        ]
        self.blocks = [
            ResidualBlock(kernel, tuple(dilations), self.resblock)
            for _ in stages
            for kernel, dilations in zip(
                self.resblock_kernels, self.resblock_dilations, strict=True
            )
        ]
        self.last = Convolution(1, OUTER_KERNEL)
        if self.source == "sine":
            self.source_in = Downsampling(widths[SINE_ENTERS], 1)
        else:
            self.harmonics = HarmonicSource(self.sample_rate, self.hop)
            self.sources_in = [
                Downsampling(width, math.prod(self.upsample_rates[i + 1 :]))
                for i, width in enumerate(widths)
            ]

    @property
    def hop(self) -> int:
        """Samples of a mel frame."""
        return math.prod(self.upsample_rates)

    @property
    def reach_frames(self) -> int:
        """How many mel frames to each side a sample depends on, at most."""
        reach = OUTER_KERNEL // 2  # in samples of the stage
        for rate, kernel in zip(
            reversed(self.upsample_rates), reversed(self.upsample_kernels), strict=True
        ):
            second = self.resblock == "1"
            reach += max(
                sum((k - 1) * d // 2 + second * (k - 1) // 2 for d in dilations)
                for k, dilations in zip(self.resblock_kernels, self.resblock_dilations, strict=True)
            )
            reach = -(-(reach + kernel) // rate)
        return reach + OUTER_KERNEL // 2 + 1

    def excite(self, f0: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """The source signal, whose phase runs on from the first frame to the last.

        Args:
          f0: f32[B, T] Hz, 0 unvoiced.
          key: of what is random in it; None leaves that out.

        Returns:
          f32[B, T * N, 1]: N is the hop, or what of it is upsampled before the sine is added.
        """
        if self.source == "harmonics":
            return self.harmonics(f0, key)
        before = math.prod(self.upsample_rates[: SINE_ENTERS + 1])
        inner_rate = self.sample_rate / (self.hop // before)
        return sine_source(f0, sample_rate=inner_rate, samples_per_frame=before)

    def voice(self, mel: jax.Array, source: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Sound of a mel and a source, which may be a part of what `excite` gave.

        Args:
          mel: f32[B, T, M] natural log amplitude.
          source: f32[B, T * N, 1].
          key: of the noise on the first convolution; None for none.

        Returns:
          f32[B, T * hop] in (-1, 1).
        """
        x = self.first(mel)
        if key is not None and self.noise_sigma > 0:
            x = x + self.noise_sigma * jax.random.normal(key, x.shape)
        return self.upsample(x, source)

    def upsample(self, x: jax.Array, source: jax.Array) -> jax.Array:
        """The first convolution's output f32[B, T, channels] and the source to f32[B, T * hop]."""
        parallel = len(self.resblock_kernels)
        for i, upsampling in enumerate(self.upsamplings):
            x = upsampling(nn.leaky_relu(x, SLOPE))
            if self.source == "harmonics":
                x = x + self.sources_in[i](source)
            elif i == SINE_ENTERS:
                x = x + self.source_in(source)
            blocks = self.blocks[i * parallel : (i + 1) * parallel]
            x = functools.reduce(operator.add, [block(x) for block in blocks]) / parallel
        return jnp.tanh(self.last(nn.leaky_relu(x))[..., 0])  # this slope is PyTorch's own, 0.01

    def __call__(self, mel: jax.Array, f0: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Sound of a mel and f0: `voice` of `excite`.

        Args:
          mel: f32[B, T, M] natural log amplitude.
          f0: f32[B, T] Hz, 0 unvoiced.
          key: of all that is random; the same key gives the same sound, None leaves it out.

        Returns:
          f32[B, T * hop] in (-1, 1).
        """
        source_key, noise_key = (None, None) if key is None else jax.random.split(key)
        return self.voice(mel, self.excite(f0, source_key), noise_key)
