"""A segment.ds, read and sung as any score, beside what openvpi/DiffSinger made of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import numpy as np
from golden_acoustic import frames_first, import_folder, prior_of, sample, seeing_padding
from golden_acoustic import matches as is_acoustic
from golden_measure import BOUND, SAMPLED_BOUND, Found, relative

from diffsinger_jax.models.diffsinger import SPEAKER_MIX
from diffsinger_jax.pipeline.collate import collate
from diffsinger_jax.pipeline.plan import Bucket
from diffsinger_jax.score.dictionary import Dictionary, phonemize
from diffsinger_jax.score.ds import read_ds
from diffsinger_jax.synthesis import mels
from diffsinger_jax.synthesis.controls import name_phonemes
from diffsinger_jax.synthesis.sung_pitch import sung_f0
from diffsinger_jax.synthesis.synthesizer import Synthesizer
from diffsinger_jax.types import Batch


def matches(folder: Path) -> bool:
    """Whether it is an acoustic experiment with a segment."""
    needed = ("cases_ds.npz", "segment.ds")
    return is_acoustic(folder) and all((folder / name).is_file() for name in needed)


def differences(folder: Path) -> Found:
    """Of the model's inputs, and of the mel from the recorded noise."""
    with np.load(folder / "cases_ds.npz") as arrays:
        cases = dict(arrays)
    voice = import_folder(folder).voice
    synthesizer = Synthesizer(voice, vocoder="harmonic")
    score = read_ds(folder / "segment.ds")
    score = phonemize(
        name_phonemes(score, voice.info.vocabulary), Dictionary("", {}, {}), voice.info.vocabulary
    )
    (piece,) = synthesizer._arrays(score, speaker=0)
    batch = batch_of_piece(voice, piece)
    shared = voice.model["encoder_settings"]["cross_lingual"] or ()
    got = {
        "batch_tokens": batch.tokens,
        "batch_languages": np.where(np.isin(batch.tokens, shared), batch.language + 1, 0)[0],
        "batch_mel2ph": batch.mel2ph,
        "batch_f0": batch.f0,
        **({"batch_spk_mix_value": batch.curves[SPEAKER_MIX]} if voice.mixes_speakers else {}),
        **{f"batch_{name}": batch.curves[name] for name in voice.curves},
    }
    acoustic = seeing_padding(voice.acoustic)
    sampling = dataclasses.replace(voice.sampling, steps=int(cases["out_mel_steps"]))

    def mel(params):
        cond = acoustic.condition(params, batch)
        prior = prior_of(acoustic, params, batch, cond)
        return sample(acoustic, params, batch, cond, prior, sampling, frames_first(cases["noise"]))

    got["out_mel"] = jax.jit(mel)(voice.params)
    return {
        name: (relative(value, cases[name]), SAMPLED_BOUND if name == "out_mel" else BOUND)
        for name, value in got.items()
    }


def batch_of_piece(voice, piece) -> Batch:
    """What the synthesizer shows a voice of one piece, without padding."""
    example = {**piece.example, "ph_frames": piece.ph_frames(np.zeros(0))}
    bucket = Bucket(rows=1, frames=piece.frames, phonemes=len(piece.phonemes))
    batch = collate([example], bucket, voice.info.mel.n_mels)
    f0 = sung_f0(voice, batch, [piece], keys=None)
    return batch._replace(f0=f0, curves=mels._curves(voice, batch, [piece]))
