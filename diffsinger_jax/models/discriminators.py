"""Discriminators of recordings and a vocoder's sound, on three views of it.

Multi-period and multi-scale discriminators are HiFi-GAN's (Kong, Kim, Bae 2020), those of
spectra UnivNet's (Jang et al. 2021). Weights are plain, without weight norm.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.modules.spectrum import magnitudes

SLOPE = 0.1
DiscriminatorOutputs = list[jax.Array]
"""Of one discriminator: its features layer by layer, at the end its scores."""


class PeriodDiscriminator(nn.Module):
    """Looks at every `period`-th sample together.

    Attributes:
      period: in samples.
      channels: of the first layer; the next have 4, 16, 32 and 32 times as many.
    """

    period: int
    channels: int = 32

    @nn.compact
    def __call__(self, wav: jax.Array) -> DiscriminatorOutputs:
        """f32[B, L] -> features [B * period, L', C]."""
        rest = -wav.shape[1] % self.period
        wav = jnp.pad(wav, ((0, 0), (0, rest)), mode="reflect")
        rows = wav.reshape(len(wav), -1, self.period).swapaxes(1, 2)  # [B, period, L']
        x = rows.reshape(-1, rows.shape[2], 1)
        features = []
        for factor, stride in ((1, 3), (4, 3), (16, 3), (32, 3), (32, 1)):
            x = nn.Conv(factor * self.channels, (5,), strides=(stride,), padding=((2, 2),))(x)
            x = nn.leaky_relu(x, SLOPE)
            features.append(x)
        return [*features, nn.Conv(1, (3,), padding=((1, 1),))(x)]


class ScaleDiscriminator(nn.Module):
    """Looks at the wave as it is, with long, grouped convolutions.

    Attributes:
      channels: of the first layer; a multiple of 16.
    """

    channels: int = 128

    @nn.compact
    def __call__(self, wav: jax.Array) -> DiscriminatorOutputs:
        """f32[B, L] -> features [B, L', C]."""
        x, features = wav[..., None], []
        for factor, taps, stride, groups in (
            (1, 15, 1, 1),
            (1, 41, 2, 4),
            (2, 41, 2, 16),
            (4, 41, 4, 16),
            (8, 41, 4, 16),
            (8, 41, 1, 16),
            (8, 5, 1, 1),
        ):
            x = nn.Conv(
                factor * self.channels,
                (taps,),
                strides=(stride,),
                padding=((taps // 2, taps // 2),),
                feature_group_count=groups,
            )(x)
            x = nn.leaky_relu(x, SLOPE)
            features.append(x)
        return [*features, nn.Conv(1, (3,), padding=((1, 1),))(x)]


class SpectrumDiscriminator(nn.Module):
    """Looks at magnitudes over time and frequency.

    Attributes:
      n_fft: of the transform; a quarter of it is the hop.
      channels: of all layers.
    """

    n_fft: int
    channels: int = 32

    @nn.compact
    def __call__(self, wav: jax.Array) -> DiscriminatorOutputs:
        """f32[B, L] -> features [B, T, F', C]."""
        x = magnitudes(wav, n_fft=self.n_fft, hop=self.n_fft // 4)[..., None]
        features = []
        for kernel, stride in ((9, 1), (9, 2), (9, 2), (9, 2), (3, 1)):
            padding = ((1, 1), (kernel // 2, kernel // 2))
            x = nn.Conv(self.channels, (3, kernel), strides=(1, stride), padding=padding)(x)
            x = nn.leaky_relu(x, SLOPE)
            features.append(x)
        return [*features, nn.Conv(1, (3, 3), padding=((1, 1), (1, 1)))(x)]


class Discriminators(nn.Module):
    """All of them.

    Attributes:
      periods: of the period discriminators.
      scales: how many scale discriminators; each next one hears half the sample rate.
      n_ffts: of the spectrum discriminators.
      width: factor on all channels; 1 is as published.
    """

    periods: tuple[int, ...]
    scales: int
    n_ffts: tuple[int, ...]
    width: float

    @nn.compact
    def __call__(self, wav: jax.Array) -> list[DiscriminatorOutputs]:
        """f32[B, L] -> the outputs of each discriminator."""
        outputs = [
            PeriodDiscriminator(period, int(32 * self.width), name=f"period_{period}")(wav)
            for period in self.periods
        ]
        outputs += [
            SpectrumDiscriminator(n_fft, int(32 * self.width), name=f"spectrum_{n_fft}")(wav)
            for n_fft in self.n_ffts
        ]
        for number in range(self.scales):
            name = f"scale_{number}"
            outputs.append(ScaleDiscriminator(int(128 * self.width), name=name)(wav))
            wav = nn.avg_pool(wav[..., None], (4,), strides=(2,), padding=((2, 2),))[..., 0]
        return outputs
