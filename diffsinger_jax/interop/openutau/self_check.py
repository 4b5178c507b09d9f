"""An exported voicebank loaded as OpenUtau loads it, sung with, and compared with its voice."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from diffsinger_jax.interop.openutau.comparison import MIDI, SHOWN, Differences, differences
from diffsinger_jax.interop.openutau.findings import voicebank_findings
from diffsinger_jax.interop.openutau.synthesizer import VoicebankSynthesizer
from diffsinger_jax.interop.openutau.voicebank import Voicebank, open_voicebank
from diffsinger_jax.score.phonology import is_vowel
from diffsinger_jax.synthesis.rendering import HARMONIC
from diffsinger_jax.types import Curve, Note, Phoneme, Piece, Score
from diffsinger_jax.voices.vocoder import NeuralVocoder
from diffsinger_jax.voices.voice import Voice

ONNX_RUNTIME_OF_OPENUTAU = "1.23.2"
_LEFT_TO_USERS = ("no dsvariance predicts", "names no vocoder")
"""What the voice does not have and a voicebank needs."""


@dataclasses.dataclass(frozen=True)
class CheckedExport:
    """What was found.

    Attributes:
      onnxruntime: the version it was loaded by.
      parts: names of the models in it.
      differences: of its graphs from the voice.
      peak: of the sound of a sung vowel.
    """

    onnxruntime: str
    parts: tuple[str, ...]
    differences: Differences
    peak: float

    def lines(self) -> Iterator[str]:
        """For people."""
        same = self.onnxruntime == ONNX_RUNTIME_OF_OPENUTAU
        theirs = "as in OpenUtau" if same else f"OpenUtau has {ONNX_RUNTIME_OF_OPENUTAU}"
        yield f"loaded by onnxruntime {self.onnxruntime} ({theirs}): {', '.join(self.parts)}"
        yield from self.differences.lines()
        yield f"sang a vowel with it; its peak is {self.peak:.2f}"


def check_export(folder: Path, voice: Voice, vocoder: NeuralVocoder | None = None) -> CheckedExport:
    """Everything that OpenUtau looks at, then a vowel by its models and by the voice's.

    Args:
      folder: of the voicebank.
      voice: that it was made of.
      vocoder: of ours, that was written too.

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
        differences=differences(bank, voice, vocoder),
        peak=_peak(bank),
    )
    if checked.differences.too_far:
        raise ValueError(f"the exported voicebank is not the voice: {checked}")
    return checked


def _peak(bank: Voicebank) -> float:
    """Of the vowel, sung by one command's means; what is predicted is not given."""
    shown = bank.acoustic.settings.shown_curves
    predicted = bank.variance.settings.predicted_curves if bank.variance is not None else ()
    curves = {n: Curve(np.full(2, SHOWN, np.float32), 1.0) for n in shown if n not in predicted}
    given = None if bank.dur is not None and bank.dur.settings.predict_dur else 0.5
    symbol = next(name for name in bank.acoustic.phonemes if is_vowel(name))
    piece = Piece(
        0.5, (Note(0.5, MIDI, "a"),), (Phoneme(symbol, 0, True, given),), curves
    )  # fmt: skip
    inside = bank.files.inside("dsvocoder").has("vocoder.yaml")
    synthesizer = VoicebankSynthesizer(bank, vocoder=None if inside else HARMONIC)
    score = Score("", bank.info.vocabulary.languages[0], (piece,))
    return float(np.abs(synthesizer.sing(score).wav).max())
