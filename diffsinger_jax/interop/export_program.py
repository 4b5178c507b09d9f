"""A voice as one file that JAX alone can run: numbers of a score in, mel or sound out.

    diffsinger-jax export program pjs --out v.jaxexp

The file holds the compiled-from program (StableHLO) with the weights in it; what it needs is `jax`
and `numpy`, and nothing of this project:

    from jax import export
    program = export.deserialize(bytearray(open("v.jaxexp", "rb").read()))
    mel = program.call(features, seed)              # f32[1, T, M]; with --wav [1, T * hop]

`features` is a dict of the arrays that `program.in_avals` tells the shapes of: one row, T frames,
N = T / 4 phonemes, 0 (False in `mask`) on padding; see `feature_shapes`. `seed` is a u32 number.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
from jax import export

from diffsinger_jax.audio.vocoder import harmonic_plus_noise
from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.errors import InputError
from diffsinger_jax.features import FEATURES, empty_batch
from diffsinger_jax.synthesis.buckets import FRAMES_PER_PHONEME
from diffsinger_jax.types import Batch
from diffsinger_jax.voices.voice import Voice

PLATFORMS = ("cpu", "cuda", "tpu")
"""That a file runs on, wherever it was written."""


def feature_shapes(frames: int, curves: Sequence[str] = ()) -> dict[str, jax.ShapeDtypeStruct]:
    """What a program for T frames is called with: the rows of `FEATURES` that a voice reads.

    tokens, note_midi, note_sec, slur, onset, language [1, N]; mel2ph, f0, mask [1, T]; speaker
    [1]; and the voice's curves [1, T].
    """
    empty = _empty_batch(frames, mel_bins=1, curves=curves)
    arrays = {**empty._asdict(), **empty.curves}
    inputs = {
        name: jax.ShapeDtypeStruct(arrays[name].shape, arrays[name].dtype)
        for name, feature in FEATURES.items()
        if name in arrays and not feature.target
    }
    return dict(sorted(inputs.items()))


def _empty_batch(frames: int, *, mel_bins: int, curves: Sequence[str]) -> Batch:
    phonemes = frames // FRAMES_PER_PHONEME
    return empty_batch(rows=1, frames=frames, phonemes=phonemes, mel_bins=mel_bins, curves=curves)


def export_program(
    voice: Voice,
    frames: int,
    *,
    sampling: Sampling | None = None,
    with_wav: bool = False,
    platforms: tuple[str, ...] = PLATFORMS,
) -> export.Exported:
    """The program of one row of T frames, see the head of this file.

    Args:
      voice: to sing with.
      frames: T, padding included; a multiple of 4.
      sampling: how, see `voices.sampling.resolve_sampling`; None for the voice's own.
      with_wav: sound by the built-in vocoder instead of the mel.
      platforms: that it shall run on.

    Raises:
      InputError: if T is no multiple of 4.
    """
    if frames < 1 or frames % FRAMES_PER_PHONEME:
        raise InputError(
            f"a program is for a multiple of {FRAMES_PER_PHONEME} frames, not {frames}"
        )
    spec = voice.info.mel
    # A copy: what is traced here holds the weights, and must not be found by calls of the voice.
    voice = dataclasses.replace(voice)

    def sing(features: dict[str, jax.Array], seed: jax.Array) -> jax.Array:
        mel_key, noise_key = jax.random.split(jax.random.key(seed))
        empty = _empty_batch(frames, mel_bins=spec.n_mels, curves=voice.curves)
        curves = {name: features[name] for name in voice.curves}
        core = {name: array for name, array in features.items() if name not in curves}
        batch = empty._replace(**core, curves=curves)
        mel = voice.sample_mel(batch, mel_key[None], sampling)
        if not with_wav:
            return mel
        return harmonic_plus_noise(mel, batch.f0, spec, key=noise_key, mask=batch.mask)

    seed = jax.ShapeDtypeStruct((), "uint32")
    return export.export(jax.jit(sing), platforms=platforms)(
        feature_shapes(frames, voice.curves), seed
    )
