"""Sine waves that follow f0: what excites an NSF vocoder (Wang, Takaki, Yamagishi 2019).

Phases are cycles in float32, rounded where openvpi/DiffSinger rounds them, so that its numbers come
out. Only the sum over the frames is another: there it grows, and its rounding with it; here it is
an integer that wraps after whole cycles, and after hours as exact as after a second.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

SINE_AMPLITUDE = 0.1
VOICED_NOISE, UNVOICED_NOISE = 0.003, SINE_AMPLITUDE / 3
"""Standard deviation of the noise in the source."""
HARMONICS = 8
"""Above the fundamental, in the source at full rate."""

_UNITS = 2**27
"""Of the summed phase in a cycle. An int32 of them wraps after 32 cycles, so that the float made of
it is never off by more than 2^-21 of a cycle, which is what a sample's own phase is rounded to."""


def cycles(f0: jax.Array, *, sample_rate: float, samples_per_frame: int, glide: bool) -> jax.Array:
    """Phase of the fundamental at every sample, in cycles, less some whole ones.

    With s_t = f0_t / sample_rate and n = 1 ... N, the phase in frame t is

        p_t + s_t n                                          f0 held over the frame, or
        p_t + s_t n + (s_{t+1} - s_t) n (n - 1) / (2 N)      f0 gliding to the next frame's,

    where p_{t+1} is the phase at n = N of frame t.

    Args:
      f0: f32[B, T] Hz, >= 0.
      sample_rate: Hz of the source.
      samples_per_frame: N.
      glide: which of the two.

    Returns:
      f32[B, T * N].
    """
    n = np.arange(1, samples_per_frame + 1, dtype=np.float32)[None, None]
    step = _over(f0, np.float32(sample_rate))[..., None]  # [B, T, 1] cycles per sample
    inside = _times(step, n)  # [B, T, N]
    if glide:
        change = jnp.diff(step, axis=1, append=step[:, -1:])
        bend = _times(_times(0.5 * change, n), n - 1)
        inside = inside + _over(bend, np.float32(samples_per_frame))
    turned = inside[..., -1] + 0.5  # the half keeps the sum near zero
    turned = turned - jnp.floor(turned) - 0.5
    total = jnp.cumsum((turned * _UNITS).astype(jnp.int32), axis=1)
    before = jnp.pad(total[:, :-1], ((0, 0), (1, 0))).astype(jnp.float32) / _UNITS
    start = before - jnp.trunc(before)  # [B, T]
    return (inside + start[..., None]).reshape(f0.shape[0], -1)


def _halves(x: jax.Array | np.float32) -> tuple[jax.Array, jax.Array]:
    """x as the sum of two floats of 12 bits each, whose products are exact."""
    whole = jnp.asarray(x, jnp.float32)
    bits = jax.lax.bitcast_convert_type(whole, jnp.int32)
    high = jax.lax.bitcast_convert_type(bits & jnp.int32(-(2**12)), jnp.float32)
    return high, whole - high


def _times(x: jax.Array, n: np.ndarray) -> jax.Array:
    """x n for whole n below 2^12, rounded once.

    A bare product may be fused with the sum it is part of, by compilers that like speed, and is
    then rounded elsewhere than in the reference. Here the products are exact and the sum rounds.
    """
    high, low = _halves(x)
    return high * n + low * n


def _over(x: jax.Array, divisor: np.float32) -> jax.Array:
    """x / divisor, rounded once; compilers multiply by the inverse of a constant instead."""
    inverse = np.float32(1) / divisor
    quotient = x * inverse
    (high, low), (divisor_high, divisor_low) = _halves(quotient), _halves(divisor)
    rest = x - high * divisor_high
    rest = rest - high * divisor_low
    rest = rest - low * divisor_high
    rest = rest - low * divisor_low  # exact: Dekker 1971
    return quotient + rest * inverse


def sine_source(f0: jax.Array, *, sample_rate: float, samples_per_frame: int) -> jax.Array:
    """The source of the pitch-controllable form: one sine, f0 gliding, no noise.

    Args:
      f0: f32[B, T] Hz, 0 unvoiced.
      sample_rate: Hz of the source, which may be an inner rate of the vocoder.
      samples_per_frame: N.

    Returns:
      f32[B, T * N, 1].
    """
    phase = cycles(f0, sample_rate=sample_rate, samples_per_frame=samples_per_frame, glide=True)
    return jnp.sin(2 * np.pi * phase)[..., None]


class HarmonicSource(nn.Module):
    """The source at full rate: fundamental and harmonics plus noise, merged into one signal.

    Attributes:
      sample_rate: Hz.
      samples_per_frame: N.
    """

    sample_rate: int
    samples_per_frame: int

    @nn.compact
    def __call__(self, f0: jax.Array, key: jax.Array | None) -> jax.Array:
        """tanh(w . waves + b), waves the sines where f0 > 0 plus noise everywhere.

        Args:
          f0: f32[B, T] Hz, 0 unvoiced; held over a frame.
          key: of the noise and of the harmonics' phases at the start; None for no noise, and
            phases of zero.

        Returns:
          f32[B, T * N, 1].
        """
        count = HARMONICS + 1
        kernel = self.param("kernel", nn.initializers.lecun_uniform(), (count, 1))
        bias = self.param("bias", nn.initializers.zeros, (1,))
        phase = cycles(
            f0,
            sample_rate=self.sample_rate,
            samples_per_frame=self.samples_per_frame,
            glide=False,
        )
        order = np.arange(1, count + 1, dtype=np.float32)[None, None]
        phases = phase[..., None] * order  # [B, T * N, 9]
        voiced = jnp.repeat(f0 > 0, self.samples_per_frame, axis=1)[..., None]
        if key is not None:
            phase_key, noise_key = jax.random.split(key)
            # The fundamental starts at zero.
            first = jax.random.uniform(phase_key, (1, 1, count)).at[..., 0].set(0.0)
            noise = jax.random.normal(noise_key, phases.shape)
            noise = noise * jnp.where(voiced, VOICED_NOISE, UNVOICED_NOISE)
            phases = phases + first
        sines = jnp.where(voiced, SINE_AMPLITUDE * jnp.sin(2 * np.pi * phases), 0.0)
        waves = sines if key is None else sines + noise
        return jnp.tanh(waves @ kernel + bias[None, None])
