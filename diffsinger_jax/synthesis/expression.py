"""Steering of pitch that was generated or given: how far it leaves its notes, and its vibrato."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from diffsinger_jax.errors import InputError
from diffsinger_jax.modules.melody import SMOOTHING_SEC, fill_rests, sine_kernel
from diffsinger_jax.pitch import fill_unvoiced, hz_to_midi, midi_to_hz
from diffsinger_jax.synthesis.retakes import Retake

VIBRATO_HZ = (3.0, 8.0)
BAND_EDGE_HZ = 1.0
"""Of the band's slopes, on either side."""
LEAST_VIBRATO_SEC = 0.35
"""In shorter notes nothing is filtered: a movement of a third of a second is no vibrato."""
BLEND_SEC = 0.06
"""Over which one note's correction becomes the next one's."""


@dataclasses.dataclass(frozen=True)
class Expression:
    """What is asked of pitch over a whole score.

    Attributes:
      expressiveness: 0 sings the notes' line, 1 what was generated, above 1 more of it.
      correction: 0 leaves each note's mean where it is, 1 moves it onto the score. Of its middle
        half: how a note is reached and left does not count as being out of tune. None for what
        the voice's variance model asks for by itself.
      vibrato_depth, vibrato_rate: factors on the movement between 3 and 8 Hz within notes.
      seed: of generated pitch and curves; None for that of the mel.
      retake: what of generated pitch is drawn anew, with a seed of its own.
      breaths: whether rests are breathed in as the singer does, where the voice knows how.
    """

    expressiveness: float = 1.0
    correction: float | None = None
    vibrato_depth: float = 1.0
    vibrato_rate: float = 1.0
    seed: int | None = None
    retake: Retake | None = None
    breaths: bool = True

    def __post_init__(self) -> None:
        """All in range?

        Raises:
          InputError: for the first that is not.
        """
        ranges = {
            "expressiveness": (0.0, 3.0),
            "correction": (0.0, 1.0),
            "vibrato_depth": (0.0, 3.0),
            "vibrato_rate": (0.5, 2.0),
        }
        for name, (low, high) in ranges.items():
            if (value := getattr(self, name)) is not None and not low <= value <= high:
                raise InputError(f"{name} is {value:g}, expected {low:g} to {high:g}")

    @property
    def is_neutral(self) -> bool:
        """Whether it leaves pitch as it is."""
        asked = dataclasses.replace(
            self, correction=self.correction or None, seed=None, retake=None, breaths=True
        )
        return asked == Expression()

    def of_voice(self, correction: float) -> Expression:
        """With a voice's own correction, unless another one was asked for."""
        return (
            self
            if self.correction is not None
            else dataclasses.replace(self, correction=correction)
        )

    def applied(
        self, f0: np.ndarray, line: np.ndarray, note: np.ndarray, frames_per_sec: float
    ) -> np.ndarray:
        """Pitch as asked for; unvoiced frames stay so.

        Args:
          f0: f[T] Hz, 0 unvoiced.
          line: f[T] MIDI, the notes' smoothed pitch.
          note: i[T] number of each frame's note, 0 in rests.
          frames_per_sec: of all.

        Returns:
          f32[T] Hz.
        """
        if self.is_neutral or not np.any(f0 > 0):
            return np.asarray(f0, np.float32)
        filled = fill_unvoiced(np.asarray(f0, np.float64))
        distance = hz_to_midi(filled) - line
        spans = _spans(note)
        if self.vibrato_depth != 1.0 or self.vibrato_rate != 1.0:
            distance = self._vibrato(distance, spans, frames_per_sec)
        if self.correction:
            means = np.zeros(len(distance))
            for first, last in spans:
                if np.any(np.asarray(f0[first:last]) > 0):
                    quarter = (last - first) // 4
                    means[first:last] = distance[first + quarter : last - quarter].mean()
            distance = distance - self.correction * _smoothed(means, BLEND_SEC * frames_per_sec)
        moved = midi_to_hz(line + self.expressiveness * distance)
        return np.where(np.asarray(f0) > 0, moved, 0.0).astype(np.float32)

    def _vibrato(
        self, distance: np.ndarray, spans: list[tuple[int, int]], frames_per_sec: float
    ) -> np.ndarray:
        result = distance.copy()
        for first, last in spans:
            if last - first < LEAST_VIBRATO_SEC * frames_per_sec:
                continue
            band = vibrato_band(distance[first:last], frames_per_sec)
            amplitude, phase = np.abs(band), np.unwrap(np.angle(band))
            turned = phase[0] + self.vibrato_rate * (phase - phase[0])
            # At the borders nothing changes, so that notes still join.
            fade = _fade(last - first, BLEND_SEC * frames_per_sec)
            moved = self.vibrato_depth * amplitude * np.cos(turned)
            result[first:last] += fade * (moved - band.real)
        return result


def vibrato_band(distance: np.ndarray, frames_per_sec: float) -> np.ndarray:
    """The analytic signal of a note's movement between 3 and 8 Hz, complex128[T].

    Its real part is the movement; abs and angle are its depth and phase. The line between the
    note's ends is taken away first, and the rest mirrored beyond them.
    """
    count = len(distance)
    line = np.linspace(distance[0], distance[-1], count)
    own = distance - line
    mirrored = np.concatenate([-own[:0:-1], own, -own[-2::-1]])  # odd at both ends
    rates = np.fft.fftfreq(len(mirrored), 1 / frames_per_sec)
    low, high = VIBRATO_HZ
    gain = np.clip((rates - low) / BAND_EDGE_HZ + 1.0, 0.0, 1.0)
    gain *= np.clip((high - rates) / BAND_EDGE_HZ + 1.0, 0.0, 1.0)
    analytic = np.fft.ifft(2.0 * gain * np.fft.fft(mirrored))
    return analytic[count - 1 : 2 * count - 1]


def _spans(note: np.ndarray) -> list[tuple[int, int]]:
    """[first, last) of each note; rests have none."""
    edges = np.concatenate([[0], np.flatnonzero(np.diff(note)) + 1, [len(note)]])
    return [(int(a), int(b)) for a, b in zip(edges, edges[1:], strict=False) if note[a] > 0]


def _smoothed(x: np.ndarray, frames: float) -> np.ndarray:
    kernel = np.hanning(max(round(frames), 1) + 2)[1:-1]
    return _convolved(x, kernel / kernel.sum())


def _convolved(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The first and last values are held beyond the ends; an even kernel looks one further on."""
    back = (len(kernel) - 1) // 2
    padded = np.pad(x, (back, len(kernel) - 1 - back), mode="edge")
    return np.convolve(padded, kernel[::-1], mode="valid")


def _fade(count: int, frames: float) -> np.ndarray:
    """f64[count] from 0 up to 1 over some frames, and down again at the end."""
    place = np.minimum(np.arange(count), np.arange(count)[::-1])
    return np.clip(place / max(frames, 1.0), 0.0, 1.0)


def notes_on_frames(
    row: Mapping[str, np.ndarray], mel2ph: np.ndarray, frames_per_sec: float
) -> tuple[np.ndarray, np.ndarray]:
    """What pitch of a piece moves around.

    Args:
      row: an example, of which note_midi and onset [N] are read.
      mel2ph: i[T] 1-based, without padding.
      frames_per_sec: of the frames.

    Returns:
      f64[T] the notes' smoothed line in MIDI; i[T] number of each frame's note, 0 in rests.
    """
    word = np.maximum(np.cumsum(row["onset"]), 1)  # [N]
    firsts = np.flatnonzero(np.diff(word, prepend=0) > 0)
    midi = np.where(row["note_midi"][firsts] > 0, row["note_midi"][firsts], np.nan)
    of_frame = word[np.asarray(mel2ph) - 1] - 1
    line = _convolved(
        fill_rests(midi).astype(np.float64)[of_frame], sine_kernel(SMOOTHING_SEC * frames_per_sec)
    )
    return line, np.where(np.isnan(midi)[of_frame], 0, of_frame + 1)


def spliced(
    kept: np.ndarray, retake: np.ndarray, chosen: np.ndarray, blend_frames: int
) -> np.ndarray:
    """A retake between what stays: outside bit for bit the first, inside joined without a jump.

    Inside, the step between the two at each border is taken off and let in over some frames.

    Args:
      kept: f[T] MIDI, the take that stays where nothing is chosen.
      retake: f[T] MIDI.
      chosen: bool[T].
      blend_frames: over which a border's step is let in.

    Returns:
      f[T].
    """
    result = np.where(chosen, retake, kept)
    edges = np.flatnonzero(np.diff(chosen)) + 1
    for first, last in zip(
        np.concatenate([[0], edges]), np.concatenate([edges, [len(chosen)]]), strict=True
    ):
        if not chosen[first]:
            continue
        place = np.arange(last - first)
        if first > 0:
            step = kept[first] - retake[first]
            result[first:last] += step * np.clip(1.0 - place / max(blend_frames, 1), 0.0, 1.0)
        if last < len(chosen):
            step = kept[last - 1] - retake[last - 1]
            result[first:last] += step * np.clip(1.0 - place[::-1] / max(blend_frames, 1), 0.0, 1.0)
    return result
