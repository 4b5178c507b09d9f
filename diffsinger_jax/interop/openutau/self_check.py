"""An exported voicebank loaded as OpenUtau loads it, sung with, and compared with its voice."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.features import empty_batch
from diffsinger_jax.interop.openutau.acoustic_graph import has_depth, has_speakers, reads_notes
from diffsinger_jax.interop.openutau.findings import voicebank_findings
from diffsinger_jax.interop.openutau.synthesizer import VoicebankSynthesizer
from diffsinger_jax.interop.openutau.voicebank import Voicebank, open_voicebank
from diffsinger_jax.score.phonology import is_vowel
from diffsinger_jax.synthesis.rendering import HARMONIC
from diffsinger_jax.types import SILENCE, Batch, Curve, Note, Phoneme, Piece, Score
from diffsinger_jax.voices.voice import Voice

ONNX_RUNTIME_OF_OPENUTAU = "1.23.2"
_FRAMES = np.array([8, 20, 8])
"""Of the phrase that both make a mel of: a vowel between silences."""
_MIDI, _HZ = 57.0, 220.0
_SHOWN = -40.0
"""Of curves that a score must give: a level in dB, or far beyond the range of tension."""
MEL_BOUND = 1e-4
"""Of a mel's range."""
_LEFT_TO_USERS = ("no dsvariance predicts", "names no vocoder")
"""What the voice does not have and a voicebank needs."""


@dataclasses.dataclass(frozen=True)
class CheckedExport:
    """What was found.

    Attributes:
      onnxruntime: the version it was loaded by.
      parts: names of the models in it.
      mel: largest difference of the auxiliary mel, of its range; NaN where there is none.
      durations: how many of the predicted durations are others after rounding.
      peak: of the sound of a sung vowel.
    """

    onnxruntime: str
    parts: tuple[str, ...]
    mel: float
    durations: int
    peak: float

    def lines(self) -> Iterator[str]:
        """For people."""
        same = self.onnxruntime == ONNX_RUNTIME_OF_OPENUTAU
        theirs = "as in OpenUtau" if same else f"OpenUtau has {ONNX_RUNTIME_OF_OPENUTAU}"
        yield f"loaded by onnxruntime {self.onnxruntime} ({theirs}): {', '.join(self.parts)}"
        if np.isfinite(self.mel):
            yield f"its auxiliary mel is the voice's but for {self.mel:.1e} of its range"
        yield f"sang a vowel with it; its peak is {self.peak:.2f}"


def check_export(folder: Path, voice: Voice) -> CheckedExport:
    """Everything that OpenUtau looks at, then a vowel by its models and by the voice's.

    Args:
      folder: of the voicebank.
      voice: that it was made of.

    Raises:
      ValueError: if something is wrong, which is a fault of the exporter.
    """
    errors = [one for one in voicebank_findings(folder) if one.level == "error"]
    errors = [one for one in errors if not any(said in one.what for said in _LEFT_TO_USERS)]
    if errors:
        raise ValueError(f"the exported voicebank is at fault: {errors[0]}")
    bank = open_voicebank(folder)
    parts = {"acoustic": bank.acoustic, "dur": bank.dur, "pitch": bank.pitch}
    parts |= {"variance": bank.variance}
    checked = CheckedExport(
        onnxruntime=importlib.import_module("onnxruntime").__version__,
        parts=tuple(name for name, part in parts.items() if part is not None),
        mel=_mel_difference(bank, voice),
        durations=_other_durations(bank, voice),
        peak=_peak(bank),
    )
    if checked.mel > MEL_BOUND or checked.durations:
        raise ValueError(f"the exported voicebank is not the voice: {checked}")
    return checked


def _mel_difference(bank: Voicebank, voice: Voice) -> float:
    part, batch = bank.acoustic, _batch(voice)
    total = int(_FRAMES.sum())
    feed = {
        "tokens": batch.tokens,
        **part.language_ids([SILENCE, _vowel(voice), SILENCE]),
        "durations": _FRAMES[None],
        "f0": batch.f0,
        **{name: batch.curves[name] for name in part.settings.shown_curves},
        "gender": np.zeros((1, total)),
        "velocity": np.ones((1, total)),
        "depth": np.float32(0.0),
        "steps": np.int64(1),
    }
    if has_speakers(voice):
        feed["spk_embed"] = np.tile(part.embeddings[:1, None], (1, total, 1))
    inputs = part.graph("acoustic").inputs
    mel = part.run("acoustic", {name: feed[name] for name in inputs})["mel"]
    if not has_depth(voice):
        return float("nan")
    if reads_notes(voice):  # its graph leaves out what the voice takes to be unvoiced
        batch = batch._replace(f0=np.where(voice.predict_f0(batch) > 0, batch.f0, 0.0))
    keys = jax.random.split(jax.random.key(0), 1)
    still = Sampling(k_step=0, steps=1, method=voice.sampling.method)
    ours = np.asarray(voice.sample_mel(batch, keys, still))
    return float(np.abs(mel - ours).max() / np.ptp(ours))


def _other_durations(bank: Voicebank, voice: Voice) -> int:
    if bank.dur is None or voice.variance is None or not bank.dur.settings.predict_dur:
        return 0
    part, symbols = bank.dur, [SILENCE, _vowel(voice), SILENCE]
    tokens = part.tokens(symbols)
    words = {"word_div": np.ones((1, 3)), "word_dur": _FRAMES[None]}
    encoded = part.run("linguistic", {"tokens": tokens, **part.language_ids(symbols), **words})
    feed = encoded | {"ph_midi": np.full((1, 3), _MIDI)}
    if part.settings.speakers:
        feed["spk_embed"] = np.tile(part.embeddings[:1, None], (1, 3, 1))
    predicted = part.run("dur", feed)["ph_dur_pred"]
    batch = _batch(voice)._replace(tokens=tokens.astype(np.int32), curves={})
    ours = np.asarray(voice.variance.predict_frames(batch))
    return int((np.round(predicted) != np.round(ours)).sum())


def _batch(voice: Voice) -> Batch:
    """The vowel between silences; all of it is one note's."""
    total, vocabulary = int(_FRAMES.sum()), voice.info.vocabulary
    empty = empty_batch(
        rows=1, frames=total, phonemes=3, mel_bins=voice.info.mel.n_mels, curves=voice.curves
    )
    neutral = {"key_shift": 0.0, "speed": 1.0}
    ids = [vocabulary.phonemes.index(name) + 1 for name in (SILENCE, _vowel(voice), SILENCE)]
    vowel = np.array([[0, 1, 0]])
    sec = _FRAMES[None] / voice.info.mel.frames_per_sec
    prefix = _vowel(voice).rpartition("/")[0]
    language = vocabulary.languages.index(prefix) if prefix in vocabulary.languages else -1
    return empty._replace(
        tokens=np.array([ids], np.int32),
        note_midi=(_MIDI * vowel).astype(np.float32),
        note_sec=sec.astype(np.float32),
        onset=np.ones((1, 3), np.int32),
        ph_frames=_FRAMES[None].astype(np.int32),
        mel2ph=np.repeat([1, 2, 3], _FRAMES)[None].astype(np.int32),
        f0=np.full((1, total), _HZ, np.float32),
        mask=np.ones((1, total), bool),
        language=np.full((1, 3), language, np.int32),
        curves={
            name: np.full((1, total), neutral.get(name, _SHOWN), np.float32)
            for name in voice.curves
        },
    )


def _peak(bank: Voicebank) -> float:
    """Of the vowel, sung by one command's means; what is predicted is not given."""
    shown = bank.acoustic.settings.shown_curves
    predicted = bank.variance.settings.predicted_curves if bank.variance is not None else ()
    curves = {n: Curve(np.full(2, _SHOWN, np.float32), 1.0) for n in shown if n not in predicted}
    given = None if bank.dur is not None and bank.dur.settings.predict_dur else 0.5
    symbol = next(name for name in bank.acoustic.phonemes if is_vowel(name))
    piece = Piece(
        0.5, (Note(0.5, _MIDI, "a"),), (Phoneme(symbol, 0, True, given),), curves
    )  # fmt: skip
    inside = bank.files.inside("dsvocoder").has("vocoder.yaml")
    synthesizer = VoicebankSynthesizer(bank, vocoder=None if inside else HARMONIC)
    score = Score("", bank.info.vocabulary.languages[0], (piece,))
    return float(np.abs(synthesizer.sing(score).wav).max())


def _vowel(voice: Voice) -> str:
    return next(name for name in voice.info.vocabulary.phonemes if is_vowel(name))
