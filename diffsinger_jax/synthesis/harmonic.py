"""The built-in vocoder as a program for every stretch of sound, whatever piece it is from."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import jax
import numpy as np

from diffsinger_jax.audio.vocoder import (
    harmonic_plus_noise,
    harmonic_plus_noise_chunk,
    reach_frames,
    start_phases,
)
from diffsinger_jax.types import MelSpec
from diffsinger_jax.voices.trace_cache import TraceCache

CHUNK_FRAMES = 256
"""T of the one shape that is compiled; `reach_frames` at each end are rendered for the others."""


class HarmonicVocoder:
    """Renders mels of one representation; see `audio.vocoder` for how."""

    def __init__(self, spec: MelSpec):
        """Of these mels."""
        self.mel = spec

    def __call__(
        self, mel: jax.Array, f0: jax.Array, keys: jax.Array, mask: jax.Array
    ) -> jax.Array:
        """mel [B, T, M], f0 [B, T], keys [B], mask [B, T] -> wav [B, T * hop]."""
        return render_rows(mel, f0, mask, keys, self.mel)

    def stream(self, mel: np.ndarray, f0: np.ndarray, key: jax.Array) -> Iterator[np.ndarray]:
        """Sound of a row as it comes: f32[L] after f32[L], together its T * hop samples.

        Args:
          mel: f32[T, M] log amplitude, on the floor or -inf on padding.
          f0: f32[T] Hz, 0 unvoiced.
          key: of the noise.
        """
        reach, frames = reach_frames(self.mel), len(f0)
        around = (reach, CHUNK_FRAMES - reach)
        mel = np.pad(mel, (around, (0, 0)), constant_values=-np.inf)
        f0 = np.pad(f0, around)
        phase = np.asarray(_phases(f0, spec=self.mel))
        step = CHUNK_FRAMES - 2 * reach
        for first in range(0, frames, step):
            seen = slice(first, first + CHUNK_FRAMES)
            wav = _chunk(
                mel[seen],
                f0[seen],
                phase[seen],
                spec=self.mel,
                key=key,
                first_frame=np.int32(first),
            )
            yield np.asarray(wav)[: (frames - first) * self.mel.hop]


@functools.partial(jax.jit, static_argnames="spec")
def render_rows(
    mel: jax.Array, f0: jax.Array, mask: jax.Array, keys: jax.Array, spec: MelSpec
) -> jax.Array:
    """mel [B, T, M], f0 [B, T], keys [B] -> wav [B, T * hop]; padding is silent."""

    def render_row(mel: jax.Array, f0: jax.Array, mask: jax.Array, key: jax.Array) -> jax.Array:
        return harmonic_plus_noise(mel[None], f0[None], spec, key=key, mask=mask[None])[0]

    return jax.vmap(render_row)(mel, f0, mask, keys)


_phases = TraceCache(start_phases, static_argnames=["spec"])
_chunk = TraceCache(harmonic_plus_noise_chunk, static_argnames=["spec"])
