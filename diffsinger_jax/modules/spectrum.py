"""Magnitudes of short-time Fourier transforms, with gradients everywhere."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

SMALLEST = 1e-7
"""Below it a magnitude has no slope any more: that of a square root at zero is infinite."""


def magnitudes(wav: jax.Array, *, n_fft: int, hop: int) -> jax.Array:
    """|STFT| under a Hann window of n_fft samples, centred on t * hop, the ends mirrored.

    Args:
      wav: f32[B, L], L > n_fft // 2.
      n_fft: even.
      hop: samples from one frame to the next.

    Returns:
      f32[B, 1 + L // hop, 1 + n_fft // 2].
    """
    window = np.hanning(n_fft + 1)[:-1].astype(np.float32)
    padded = jnp.pad(wav, ((0, 0), (n_fft // 2, n_fft // 2)), mode="reflect")
    starts = np.arange(1 + wav.shape[1] // hop) * hop
    frames = padded[:, starts[:, None] + np.arange(n_fft)[None]]  # [B, T, n_fft]
    spectrum = jnp.fft.rfft(frames * window[None, None])
    return jnp.sqrt(spectrum.real**2 + spectrum.imag**2 + SMALLEST**2)
