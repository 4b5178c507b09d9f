"""The schema of one `.ds` segment: from its JSON object to typed fields, every fault in words."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from diffsinger_jax.score.phonology import is_rest, is_vowel
from diffsinger_jax.score.pitch_names import midi_of_name
from diffsinger_jax.types import Curve

CURVE_KEYS: Mapping[str, tuple[str, str]] = {"f0": ("f0_seq", "f0_timestep")} | {
    name: (name, f"{name}_timestep")
    for name in (
        "energy", "breathiness", "voicing", "tension", "gender", "velocity", "expr"
    )
}  # fmt: skip
"""Name of a known curve: its key and that of its timestep."""
_TIMESTEP = "_timestep"
SPEAKERS = "spk_mix"
SPEAKER_PREFIX = SPEAKERS + "/"
"""Before a speaker's name: the curve of their share."""
SHORT_SEC = 0.12
"""By so much a curve may end before its segment; its last value is held there."""

CONTRADICTION = 80.0
"""By no more may notes and phonemes differ in length, as a factor: frames or ms are no seconds."""

_MAY_BE_SCALAR = ("gender", "velocity", "expr")


@dataclasses.dataclass(frozen=True)
class Segment:
    """The fields of a segment that has no faults.

    Attributes:
      offset_sec: start in the song.
      language: its `lang`, or "".
      words: one token of `text` per word, or None.
      symbols: ph_seq.
      ph_sec: f64[N] or None.
      word_sizes: ph_num, given or found; its sum is N.
      midis: pitch per note, None for rests; None without notes.
      note_sec: f64 per note.
      slurs: per note.
      curves: by name.
      glides: per note how it is reached, "none" for no glide; None where nothing is said.
      phoneme_speakers: shares of speakers in durations, by name.
    """

    offset_sec: float
    language: str
    words: tuple[str, ...] | None
    symbols: tuple[str, ...]
    ph_sec: np.ndarray | None
    word_sizes: tuple[int, ...]
    midis: tuple[float | None, ...] | None
    note_sec: np.ndarray | None
    slurs: tuple[bool, ...] | None
    curves: Mapping[str, Curve]
    glides: tuple[str, ...] | None = None
    phoneme_speakers: Mapping[str, float] = dataclasses.field(default_factory=dict)


def curve_keys(name: str) -> tuple[str, str]:
    """The keys of a curve and of its timestep; any name may have such a pair."""
    return CURVE_KEYS.get(name, (name, name + _TIMESTEP))


def parse_segment(raw: Any) -> tuple[Segment | None, list[str]]:
    """Reads one segment.

    Missing, null and empty values are the same. Keys it does not know (`input_type`,
    `note_dur_seq` ...) are passed over.

    Returns:
      The segment, or None if it has faults; the faults, each "key: what is wrong".
    """
    if not isinstance(raw, dict):
        return None, [f"expected a JSON object, got {type(raw).__name__}"]
    fields = _Fields(raw)
    symbols = fields.tokens("ph_seq")
    if symbols is None:
        fields.fault("ph_seq", "it is missing; give the phonemes, separated by spaces")
        return None, fields.faults
    ph_sec = fields.durations("ph_dur")
    if ph_sec is not None:
        fields.same_count("ph_dur", len(ph_sec), "phonemes in ph_seq", len(symbols))
    sizes = fields.word_sizes(symbols)
    midis, note_sec, slurs = fields.notes(sizes, has_ph_dur=ph_sec is not None)
    if ph_sec is not None and note_sec is not None and not fields.faults:
        fields.agree(float(np.sum(ph_sec)), float(np.sum(note_sec)))
    seconds = ph_sec if ph_sec is not None else note_sec
    curves = {}
    if seconds is not None and len(seconds):
        curves = fields.curves(float(np.sum(seconds)))
    if midis is None and not fields.faults and (ph_sec is None or "f0" not in curves):
        fields.fault(
            "note_seq",
            "it is missing; give note_seq, note_dur and ph_num, or ph_dur and f0_seq",
        )
    words = fields.tokens("text")
    offset, glides = fields.offset(), fields.glides(midis)
    phoneme_speakers = fields.phoneme_speakers()
    if fields.faults:
        return None, fields.faults
    language = raw.get("lang") or ""
    return (
        Segment(
            offset_sec=offset,
            language=str(language),
            words=tuple(words) if words and len(words) == len(sizes) else None,
            symbols=tuple(symbols),
            ph_sec=ph_sec,
            word_sizes=tuple(sizes),
            midis=midis,
            note_sec=note_sec,
            slurs=slurs,
            curves=curves,
            glides=glides,
            phoneme_speakers=phoneme_speakers,
        ),
        [],
    )


def guess_word_sizes(symbols: list[str]) -> list[int]:
    """ph_num by spelling: a word starts at each vowel or rest, and at the first phoneme."""
    starts = [i for i, s in enumerate(symbols) if is_rest(s) or is_vowel(s)]
    if not starts or not is_rest(symbols[0]):
        # Consonants before the first vowel have no word before them to belong to.
        starts = [0, *starts[1:]]
    return [stop - start for start, stop in zip(starts, [*starts[1:], len(symbols)], strict=True)]


class _Fields:
    """Typed access to the keys of a segment; faults are collected, not raised."""

    def __init__(self, raw: Mapping[str, Any]):
        self.raw = raw
        self.faults: list[str] = []

    def fault(self, key: str, what: str) -> None:
        self.faults.append(f"{key}: {what}")

    def same_count(self, key: str, count: int, others: str, expected: int) -> None:
        if count != expected:
            self.fault(key, f"it has {count} values, but there are {expected} {others}")

    def tokens(self, key: str) -> list[str] | None:
        value = self.raw.get(key)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            self.fault(key, f"expected one string of tokens and spaces, got {type(value).__name__}")
            return None
        return value.split() or None

    def numbers(self, key: str) -> np.ndarray | None:
        """f64[n] finite values; None if missing or at fault."""
        tokens = self.tokens(key)
        if tokens is None:
            return None
        values = []
        for count, token in enumerate(tokens, 1):
            number = _finite(token)
            if number is None:
                self.fault(key, f"value {count}, {token!r}, is not a number")
                return None
            values.append(number)
        return np.asarray(values, np.float64)

    def durations(self, key: str) -> np.ndarray | None:
        """Seconds, each > 0."""
        values = self.numbers(key)
        if values is None:
            return None
        for count, value in enumerate(values, 1):
            if value <= 0:
                self.fault(key, f"value {count} is {value:g}; durations are above 0 seconds")
        return values

    def agree(self, sung_sec: float, written_sec: float) -> None:
        longer, shorter = max(sung_sec, written_sec), min(sung_sec, written_sec)
        if longer > CONTRADICTION * shorter:
            self.fault(
                "note_dur",
                f"its notes last {written_sec:.2f} s, but the phonemes of ph_dur {sung_sec:.2f} s; "
                "both are in seconds, so correct one of them",
            )

    def offset(self) -> float:
        value = self.raw.get("offset")
        if value is None or value == "":
            return 0.0
        number = _finite(value)
        if number is None or number < 0:
            self.fault("offset", f"expected seconds, 0 or more, got {value!r}")
            return 0.0
        return number

    def word_sizes(self, symbols: list[str]) -> list[int]:
        sizes = self.numbers("ph_num")
        if sizes is None:
            return guess_word_sizes(symbols)
        if any(size < 1 or size != int(size) for size in sizes):
            self.fault("ph_num", "its values are whole numbers from 1")
        elif sum(sizes) != len(symbols):
            self.fault(
                "ph_num",
                f"its sum is {int(sum(sizes))}, but ph_seq has {len(symbols)} phonemes; each "
                "word counts its vowel and what follows up to the next vowel",
            )
        return [int(size) for size in sizes]

    def notes(
        self, sizes: list[int], has_ph_dur: bool
    ) -> tuple[tuple[float | None, ...] | None, np.ndarray | None, tuple[bool, ...] | None]:
        """(midis, seconds, slurs) of the notes, all None where the segment has none."""
        names = self.tokens("note_seq")
        seconds = self.durations("note_dur")
        if names is None or (seconds is None and has_ph_dur):
            # Old files: notes per phoneme without note_dur, or none. They come from f0.
            return None, None, None
        if seconds is None:
            if not any(fault.startswith("note_dur") for fault in self.faults):
                self.fault("note_dur", "it is missing; give the seconds of each note")
            return None, None, None
        self.same_count("note_dur", len(seconds), "notes in note_seq", len(names))
        midis: list[float | None] = []
        for count, name in enumerate(names, 1):
            try:
                midis.append(midi_of_name(name))
            except ValueError as error:
                self.fault("note_seq", f"value {count}: {error}")
                midis.append(None)
        slurs = self._slurs(midis, sizes)
        return tuple(midis), seconds, slurs

    def _slurs(self, midis: list[float | None], sizes: list[int]) -> tuple[bool, ...]:
        flags = self.tokens("note_slur")
        if flags is None:
            flags = ["0"] * len(midis)
        self.same_count("note_slur", len(flags), "notes in note_seq", len(midis))
        for count, flag in enumerate(flags, 1):
            if flag not in ("0", "1"):
                self.fault("note_slur", f"value {count} is {flag!r}; it is 0, or 1 for a slur")
        slurs = tuple(flag == "1" for flag in flags)
        words = len(slurs) - sum(slurs)
        if words != len(sizes):
            said = "ph_num has" if self.raw.get("ph_num") else "ph_seq by its vowels has"
            self.fault(
                "note_slur",
                f"{words} notes are no slurs, but {said} {len(sizes)} words; each word has one "
                "such note",
            )
        for i, slur in enumerate(slurs[: len(midis)]):
            if slur and (i == 0 or midis[i] is None or midis[i - 1] is None):
                self.fault(
                    "note_slur",
                    f"note {i + 1} is a slur, but it is a rest or follows none that is sung",
                )
        return slurs

    def glides(self, midis: tuple[float | None, ...] | None) -> tuple[str, ...] | None:
        glides = self.tokens("note_glide")
        if glides is None or midis is None:
            return None
        self.same_count("note_glide", len(glides), "notes in note_seq", len(midis))
        return tuple(glides)

    def phoneme_speakers(self) -> dict[str, float]:
        """Shares that hold for all phonemes; curves over phonemes are passed over."""
        mix = self.raw.get("ph_spk_mix")
        shares = (
            {name: _finite(share) for name, share in (mix or {}).items()}
            if isinstance(mix, dict)
            else {}
        )
        return {name: share for name, share in shares.items() if share is not None}

    def curves(self, duration_sec: float) -> dict[str, Curve]:
        curves = {}
        others = {key.removesuffix(_TIMESTEP) for key in self.raw if key.endswith(_TIMESTEP)}
        others.discard(SPEAKERS)
        for name in (*CURVE_KEYS, *sorted(others - set(CURVE_KEYS))):
            key, step_key = curve_keys(name)
            scalar = _finite(self.raw.get(key)) if name in _MAY_BE_SCALAR else None
            if scalar is not None and self.raw.get(step_key) in (None, ""):
                curves[name] = Curve(np.asarray([scalar], np.float32), duration_sec)
                continue
            values = self.numbers(key)
            if values is None:
                continue
            step = _finite(self.raw.get(step_key))
            if step is None or step <= 0:
                self.fault(step_key, f"{key} needs its seconds per value, above 0")
                continue
            if name == "f0" and np.any(values < 0):
                count = int(np.argmax(values < 0)) + 1
                self.fault(key, f"value {count} is {values[count - 1]:g} Hz; 0 is unvoiced")
            if len(values) * step < duration_sec - max(step, SHORT_SEC) * (1 + 1e-6):
                self.fault(
                    key,
                    f"it lasts {len(values) * step:.3f} s ({len(values)} values of {step:g} s), "
                    f"but the segment lasts {duration_sec:.3f} s",
                )
            curves[name] = Curve(values.astype(np.float32), step)
        return curves | self._speakers(duration_sec)

    def _speakers(self, duration_sec: float) -> dict[str, Curve]:
        """The share of each speaker, as a curve or one number."""
        mix = self.raw.get(SPEAKERS)
        if mix in (None, "", {}):
            return {}
        if not isinstance(mix, dict):
            self.fault(SPEAKERS, f"expected shares by speaker, got {type(mix).__name__}")
            return {}
        step = _finite(self.raw.get(SPEAKERS + _TIMESTEP))
        curves = {}
        for name, share in mix.items():
            values = [_finite(token) for token in str(share).split()]
            if not values or None in values:
                self.fault(SPEAKERS, f"the share of {name!r} is no number and no curve of numbers")
            elif len(values) > 1 and (step is None or step <= 0):
                self.fault(SPEAKERS + _TIMESTEP, "spk_mix needs its seconds per value, above 0")
            else:
                timestep = duration_sec if len(values) == 1 or step is None else step
                curves[SPEAKER_PREFIX + name] = Curve(np.asarray(values, np.float32), timestep)
        return curves


def _finite(value: Any) -> float | None:
    """A finite number, written as one or as a string; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
