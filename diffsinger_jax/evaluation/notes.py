"""Does a rendered wav sing its score? Pitch note by note, length, clipping, silence in rests."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from diffsinger_jax.audio.f0 import extract_f0
from diffsinger_jax.errors import InputError
from diffsinger_jax.pitch import cents, midi_to_hz
from diffsinger_jax.types import MelSpec, Score

MIN_NOTE_SEC = 0.2
"""Shorter notes are not measured."""
F0_STEP_SEC = 0.005
REST_MARGIN_SEC = (0.2, 0.3)
"""Left alone at the start of a rest (the sound dies away) and at its end (the next consonant)."""
SILENCE_DB = 40.0
"""A rest is silent when its loudest 50 ms are this far below the level of the notes."""


@dataclasses.dataclass(frozen=True)
class TimedNote:
    """One stretch of the song: a note, or a rest (midi None)."""

    start_sec: float
    end_sec: float
    midi: float | None
    where: str = ""


@dataclasses.dataclass(frozen=True)
class SongReport:
    """What `measure_song` found.

    Attributes:
      notes: how many were measured, those longer than 0.2 s.
      median_cents: of |f0 - note| over the voiced frames of the middle halves of those notes.
      notes_within_100_cents: share of them whose own median |f0 - note| is at most 100 cents; a
        note without a voiced frame is not within.
      unvoiced_frames: share of the frames of the middle halves.
      length_difference_sec: wav minus score.
      clipped_samples: of absolute value 1 or more, up to the step of 16 bits.
      finite: False when there is NaN or infinity.
      loudest_rest_db: loudest 50 ms of the rests, relative to the level (RMS) of the notes; None
        where no rest is long enough.
      worst: the notes furthest off, as text.
    """

    notes: int
    median_cents: float
    notes_within_100_cents: float
    unvoiced_frames: float
    length_difference_sec: float
    clipped_samples: int
    finite: bool
    loudest_rest_db: float | None
    worst: tuple[str, ...] = ()

    def checks(self) -> dict[str, tuple[str, bool]]:
        """Check -> (what was measured, whether it is good enough)."""
        rest = self.loudest_rest_db
        return {
            "median |f0 - note| <= 30 cents": (
                f"{self.median_cents:.1f} cents",
                self.median_cents <= 30,
            ),
            "90 % of notes within 100 cents": (
                f"{100 * self.notes_within_100_cents:.1f} % of {self.notes}",
                self.notes_within_100_cents >= 0.9,
            ),
            "length within 0.1 s of the score": (
                f"{self.length_difference_sec:+.3f} s",
                abs(self.length_difference_sec) < 0.1,
            ),
            "no clipping": (f"{self.clipped_samples} samples", self.clipped_samples == 0),
            "no NaN": ("none" if self.finite else "some", self.finite),
            f"rests {SILENCE_DB:.0f} dB below the notes": (
                "no rests" if rest is None else f"{rest:.1f} dB",
                rest is None or rest <= -SILENCE_DB,
            ),
        }

    @property
    def passed(self) -> bool:
        """Whether every check is good enough."""
        return all(good for _, good in self.checks().values())

    def __str__(self) -> str:
        """One line per check, then the worst notes."""
        lines = [
            f"{'ok  ' if good else 'FAIL'}  {check:34s}  {found}"
            for check, (found, good) in self.checks().items()
        ]
        lines.append(f"      unvoiced in the middle of notes    {100 * self.unvoiced_frames:.1f} %")
        return "\n".join([*lines, *(f"      furthest off: {note}" for note in self.worst)])


def timeline(score: Score) -> list[TimedNote]:
    """All notes and rests in order of time; gaps between pieces are rests."""
    line: list[TimedNote] = []
    now = 0.0
    for piece in score.pieces:
        if piece.offset_sec > now:
            line.append(TimedNote(now, piece.offset_sec, None))
        now = piece.offset_sec
        for note in piece.notes:
            line.append(TimedNote(now, now + note.duration_sec, note.midi, note.where))
            now += note.duration_sec
    return line


def measure_song(wav: np.ndarray, sample_rate: int, score: Score) -> SongReport:
    """Measures a rendered song against the score it was rendered from.

    f0 is extracted again from the sound, by harvest.

    Args:
      wav: f32[L].
      sample_rate: Hz.
      score: in the key and tempo that were sung.

    Raises:
      InputError: for a score without a note longer than 0.2 s.
    """
    line = timeline(score)
    measured = [n for n in line if n.midi is not None and n.end_sec - n.start_sec > MIN_NOTE_SEC]
    if not measured:
        raise InputError(
            f"{score.source or score.title} has no note longer than {MIN_NOTE_SEC} s to "
            "measure the "
            "pitch by; give the score that the wav was rendered from"
        )
    finite = bool(np.all(np.isfinite(wav)))
    wav = np.nan_to_num(np.asarray(wav, np.float32), posinf=1.0, neginf=-1.0)
    errors = _note_errors(wav, sample_rate, measured)  # one array of cents per note, nan unvoiced
    medians = np.array(
        [np.median(e[~np.isnan(e)]) if np.any(~np.isnan(e)) else np.inf for e in errors]
    )
    every = np.concatenate(errors)
    voiced = every[~np.isnan(every)]
    worst = [i for i in np.argsort(-medians)[:3] if medians[i] > 100]
    return SongReport(
        notes=len(measured),
        median_cents=float(np.median(voiced)) if len(voiced) else float("inf"),
        notes_within_100_cents=float(np.mean(medians <= 100)),
        unvoiced_frames=float(np.mean(np.isnan(every))) if len(every) else 1.0,
        length_difference_sec=len(wav) / sample_rate - score.duration_sec,
        clipped_samples=int(np.sum(np.abs(wav) >= 1 - 2**-15)),
        finite=finite,
        loudest_rest_db=_loudest_rest_db(wav, sample_rate, line),
        worst=tuple(f"{_describe(measured[i])}: {medians[i]:.0f} cents" for i in worst),
    )


def _note_errors(wav: np.ndarray, rate: int, notes: Sequence[TimedNote]) -> list[np.ndarray]:
    """|f0 - note| in cents over the middle half of each note, nan where unvoiced or not there."""
    step = int(round(F0_STEP_SEC * rate))
    f0 = extract_f0(wav, MelSpec(sample_rate=rate, hop=step, fmax=rate / 2), "harvest")
    errors = []
    for note in notes:
        quarter = (note.end_sec - note.start_sec) / 4
        first, last = (
            (s * rate / step) for s in (note.start_sec + quarter, note.end_sec - quarter)
        )
        frames = np.arange(int(np.ceil(first)), int(np.floor(last)) + 1)
        found = np.zeros(len(frames))
        inside = frames < len(f0)
        found[inside] = f0[frames[inside]]
        errors.append(np.abs(cents(np.where(found > 0, found, np.nan), midi_to_hz(note.midi))))
    return errors


def _loudest_rest_db(wav: np.ndarray, rate: int, line: Sequence[TimedNote]) -> float | None:
    """Loudest 50 ms of the inside of the rests over the RMS of the notes, in dB."""
    window = int(0.05 * rate)
    square = np.concatenate([[0.0], np.cumsum(np.square(wav, dtype=np.float64))])

    def samples(start_sec: float, end_sec: float) -> tuple[int, int]:
        first, last = (int(np.clip(s * rate, 0, len(wav))) for s in (start_sec, end_sec))
        return first, last

    notes = [samples(n.start_sec, n.end_sec) for n in line if n.midi is not None]
    level = sum(square[b] - square[a] for a, b in notes) / max(1, sum(b - a for a, b in notes))
    loudest = None
    for rest in merged_rests(line):
        first, last = samples(
            rest.start_sec + REST_MARGIN_SEC[0], rest.end_sec - REST_MARGIN_SEC[1]
        )
        if last - first >= window:
            power = np.max(square[first + window : last + 1] - square[first : last + 1 - window])
            loudest = max(loudest or 0.0, float(power) / window)
    if loudest is None:
        return None
    return float(10 * np.log10(max(loudest, 1e-12) / max(level, 1e-12)))


def merged_rests(line: Sequence[TimedNote]) -> list[TimedNote]:
    """Rests of a timeline, neighbours joined into one."""
    rests: list[TimedNote] = []
    for note in line:
        if note.midi is not None:
            continue
        if rests and abs(rests[-1].end_sec - note.start_sec) < 1e-6:
            rests[-1] = dataclasses.replace(rests[-1], end_sec=note.end_sec)
        else:
            rests.append(note)
    return rests


def _describe(note: TimedNote) -> str:
    return f"{note.where or 'the note'} at {note.start_sec:.2f} s (midi {note.midi:g})"
