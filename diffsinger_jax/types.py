"""What everything else passes around: `Score`, `Batch`, and the numbers that go with them.

Shape glossary, used in every docstring and comment:

    B batch, N phonemes, T mel frames, M mel bins, D data channels of a process, L samples,
    H encoder width, C denoiser width, S length of the noise schedule, K shallow start (K <= S).

`x_t`, `x0`, `eps`, `cond`; `mel` is log amplitude, `z` a mel scaled to [-1, 1] per bin;
`mask` is True on real frames. Times are seconds, durations in frames are called `..._frames`.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from diffsinger_jax.errors import InputError

Array: TypeAlias = Any
"""An array of numpy on the host and of JAX on the device: what is computed for both says this."""

SILENCE = "SP"
"""The phoneme of a rest, in every corpus and voice (HTS corpora say `pau` or `sil`)."""
BREATH = "AP"
"""The phoneme of an audible breath (HTS corpora say `br`)."""


@dataclasses.dataclass(frozen=True)
class MelSpec:
    """All numbers of one log-mel representation; saved in every checkpoint, compared on load.

    Attributes:
      sample_rate: Hz.
      hop: samples from one frame to the next.
      n_fft: length of the transform, in samples.
      win: length of the Hann window, in samples, <= n_fft.
      n_mels: M.
      fmin, fmax: Hz, the lowest and highest edge of the filterbank.
      mel_scale: "slaney" or "htk".
      log_base: "10" or "e".
      log_floor: amplitudes below it are raised to it before the logarithm.
      framing: "centered", frame t is centred on sample t * hop, zero padding, T = 1 + L // hop;
        or "reflect", (win - hop) / 2 samples reflected at each side, T = L // hop.
    """

    sample_rate: int = 24_000
    hop: int = 128
    n_fft: int = 512
    win: int = 512
    n_mels: int = 80
    fmin: float = 30.0
    fmax: float = 12_000.0
    mel_scale: str = "slaney"
    log_base: str = "10"
    log_floor: float = 1e-5
    framing: str = "centered"

    @property
    def frames_per_sec(self) -> float:
        """Mel frames in a second."""
        return self.sample_rate / self.hop

    @property
    def sec_per_frame(self) -> float:
        """From one frame to the next."""
        return self.hop / self.sample_rate

    @property
    def log_base_ln(self) -> float:
        """ln of the base of its logarithm: ln A = `log_base_ln` * mel."""
        return float(np.log(10.0)) if self.log_base == "10" else 1.0

    @property
    def silence(self) -> float:
        """The log amplitude of digital silence: the floor."""
        return float(self.log(np.float64(self.log_floor)))

    def log(self, amplitude: Any) -> Any:
        """Logarithm of amplitudes > 0 in its base; the floor is not applied."""
        return np.log10(amplitude) if self.log_base == "10" else np.log(amplitude)

    def natural_log(self, mel: Array) -> Array:
        """ln of amplitude, of a log mel of any shape."""
        return mel * self.log_base_ln if self.log_base == "10" else mel

    def decibels(self, mel: Array) -> Array:
        """20 log10 of amplitude, of a log mel of any shape."""
        return mel * (20.0 if self.log_base == "10" else 20.0 / np.log(10.0))

    def seconds(self, frames: Any) -> Any:
        """Length of a number of frames."""
        return frames / self.frames_per_sec

    def frames(self, seconds: Any) -> Any:
        """Frames in so many seconds, with fractions."""
        return seconds * self.frames_per_sec

    def nearest_frame(self, seconds: float) -> int:
        """The frame nearest to a moment, the later one of two."""
        return int(np.floor(seconds * self.frames_per_sec + 0.5))

    def samples(self, frames: Any) -> Any:
        """Samples of a number of frames."""
        return frames * self.hop

    def differences(self, other: MelSpec) -> list[str]:
        """Names the fields that differ, as `"hop: 128 here, 256 there"`."""
        return [
            f"{field.name}: {mine!r} here, {theirs!r} there"
            for field in dataclasses.fields(self)
            if (mine := getattr(self, field.name)) != (theirs := getattr(other, field.name))
        ]


MEL_SPECS: Mapping[str, MelSpec] = {
    # The reference's PopCS and Opencpop configurations.
    "24k_hop128": MelSpec(),
    # Half the frames, for small machines: the voice that ships.
    "24k_hop256": MelSpec(hop=256, n_fft=1024, win=1024),
    # LJSpeech of the reference.
    "22k_hop256": MelSpec(
        sample_rate=22_050, hop=256, n_fft=1024, win=1024, fmin=80.0, fmax=7600.0
    ),
    # openvpi DiffSinger and its community vocoders.
    "44k_hop512": MelSpec(
        sample_rate=44_100,
        hop=512,
        n_fft=2048,
        win=2048,
        n_mels=128,
        fmin=40.0,
        fmax=16_000.0,
        log_base="e",
        framing="reflect",
    ),
}
"""The representations that have a name on the command line (`--mel`)."""


@dataclasses.dataclass(frozen=True)
class Note:
    """One note or rest.

    Attributes:
      duration_sec: > 0.
      midi: pitch, 69 = A4 = 440 Hz, fractional for cents; None for a rest.
      lyric: the syllable as written; None for slurs and rests, but `BREATH` for a rest in which
        a breath is heard.
      slur: True for a further note of the syllable before it.
      where: where it stands in its file, for error messages, as "measure 3, note 2".
      hyphen: True if the word goes on with the next syllable.
      overrides: (index, symbol) of phonemes that the file puts in the dictionary's place.
    """

    duration_sec: float
    midi: float | None
    lyric: str | None = None
    slur: bool = False
    where: str = ""
    hyphen: bool = False
    overrides: tuple[tuple[int, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class Phoneme:
    """One phoneme of a piece.

    Attributes:
      symbol: as in the voice's vocabulary, `SILENCE` for a rest.
      note_index: the note it is sung on, an index into the piece's notes.
      onset: True for the phoneme that starts when its note starts: a syllable's vowel (or the
        silence of a rest). Leading consonants, False, take their time from before the note;
        consonants after the vowel, False too, fill the end of the note. The first phoneme of a
        piece is always an onset.
      duration_sec: as given, or None to be predicted.
    """

    symbol: str
    note_index: int
    onset: bool
    duration_sec: float | None = None


@dataclasses.dataclass(frozen=True)
class Curve:
    """A sampled curve over a piece, from its start. Values in the unit of its name (f0: Hz)."""

    values: np.ndarray  # f32[n]
    timestep_sec: float


@dataclasses.dataclass(frozen=True)
class Piece:
    """A stretch of singing, usually between rests.

    Attributes:
      offset_sec: where it starts in the song.
      notes: they follow each other without gaps; rests are notes.
      phonemes: None until a dictionary has read the lyrics.
      curves: by name, "f0" in Hz (0 is unvoiced) first of all; what is absent is predicted.
      where: for error messages, as "segment 2".
      language: of this piece, where it is not that of the score.
    """

    offset_sec: float
    notes: tuple[Note, ...]
    phonemes: tuple[Phoneme, ...] | None = None
    curves: Mapping[str, Curve] = dataclasses.field(default_factory=dict)
    where: str = ""
    language: str = ""

    @property
    def duration_sec(self) -> float:
        """Length by its notes."""
        return float(sum(note.duration_sec for note in self.notes))


@dataclasses.dataclass(frozen=True)
class Score:
    """What to sing. Every reader makes one; the synthesizer and the `.ds` writer take one.

    Attributes:
      title: for file names and metadata.
      language: a tag as "ja", or "" where the file does not say.
      pieces: in order of their offsets, not overlapping.
      source: the file it came from, for error messages.
      part: the name of the part that it is, where the file has several, as "Alto".
      remarks: what the reader assumed or left out, a sentence each.
      singer: who sings it, by a name in the file, as OpenUtau's projects have it.
      phonemizer: what reads its lyrics, likewise.
      expressions: curves in the units of the file's editor, by its names for them: seconds of the
        song f64[n] -> values f64[n].
    """

    title: str
    language: str
    pieces: tuple[Piece, ...]
    source: str = ""
    part: str = ""
    remarks: tuple[str, ...] = ()
    singer: str = ""
    phonemizer: str = ""
    expressions: Mapping[str, Callable[[np.ndarray], np.ndarray]] = dataclasses.field(
        default_factory=dict
    )

    @property
    def duration_sec(self) -> float:
        """From 0 to the end of the last piece."""
        return max((p.offset_sec + p.duration_sec for p in self.pieces), default=0.0)


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Names to numbers; stored with a model and never rebuilt from data when it is loaded.

    Phoneme ids start at 1, 0 is padding; speakers and languages start at 0.

    Attributes:
      phonemes: in the order of their ids; those of one language alone may be called `lang/ph`.
      speakers, languages: in the order of their ids.
      merged: groups of names of one phoneme; the first of each group is in `phonemes`.
    """

    phonemes: tuple[str, ...]
    speakers: tuple[str, ...] = ("default",)
    languages: tuple[str, ...] = ("ja",)
    merged: tuple[tuple[str, ...], ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """All names that a phoneme may be called by."""
        return frozenset(self.phonemes).union(*self.merged)

    def phoneme_ids(self, symbols: Iterable[str], where: str = "") -> np.ndarray:
        """i32[N] ids of phonemes.

        Raises:
          InputError: for an unknown one, naming the nearest known ones.
        """
        index = {symbol: i + 1 for i, symbol in enumerate(self.phonemes)}
        index |= {name: index[group[0]] for group in self.merged for name in group}
        ids = []
        for symbol in symbols:
            if symbol not in index:
                near = difflib.get_close_matches(symbol, self.phonemes, n=3, cutoff=0.0)
                raise InputError(
                    f"{where + ': ' if where else ''}the voice has no phoneme {symbol!r}; "
                    f"the nearest it knows are {', '.join(near)}"
                )
            ids.append(index[symbol])
        return np.asarray(ids, np.int32)

    def speaker_id(self, name: str | None) -> int:
        """The id of a speaker; None is the first one.

        Raises:
          InputError: for an unknown one, naming those there are.
        """
        if name is None:
            return 0
        if name not in self.speakers:
            raise InputError(
                f"the voice has no speaker {name!r}; it has {', '.join(self.speakers)}"
            )
        return self.speakers.index(name)


class Batch(NamedTuple):
    """Padded arrays for one jitted call; a pytree. Padding is 0 (False in `mask`).

    Axes, dtypes and where each comes from stand in `features.FEATURES`. For a part of the rows
    take `jax.tree.map(lambda x: x[rows], batch)`: the last field is a dict.

    Attributes:
      tokens: i32[B, N] phoneme ids, 0 pad.
      note_midi: f32[B, N] pitch of the phoneme's note, 0 rest.
      note_sec: f32[B, N] length of the phoneme's note.
      slur: i32[B, N] 1 where the phoneme goes on with the syllable of the note before.
      onset: i32[B, N] 1 where a note starts with this phoneme (`Phoneme.onset`): phonemes from
        one onset up to the next together fill one note.
      ph_frames: i32[B, N] duration in frames.
      mel2ph: i32[B, T] 1-based index into N of each frame's phoneme, 0 pad.
      f0: f32[B, T] Hz, 0 unvoiced.
      mel: f32[B, T, M] log amplitude.
      mask: bool[B, T] True on real frames.
      speaker: i32[B].
      language: i32[B, N].
      curves: the optional features that the model declares, by name: f32[B, T] each, or f32[B].
    """

    tokens: Array
    note_midi: Array
    note_sec: Array
    slur: Array
    onset: Array
    ph_frames: Array
    mel2ph: Array
    f0: Array
    mel: Array
    mask: Array
    speaker: Array
    language: Array
    curves: Mapping[str, Array] = {}  # noqa: RUF012 (never written to)


@dataclasses.dataclass(frozen=True)
class Breaths:
    """How a singer breathes in rests that singing follows.

    Attributes:
      share: of those of a quarter of a second and more, how many have a breath.
      sec: median length of a breath.
      gap_sec: median time from its end to the end of the rest.
      mel: f32[M] mean log amplitude of the middle of one.
    """

    share: float
    sec: float
    gap_sec: float
    mel: np.ndarray


@dataclasses.dataclass(frozen=True)
class CorpusInfo:
    """What a prepared corpus says of itself, beside its shards, as `corpus.json`.

    Attributes:
      name: of the corpus.
      mel: the representation of its mels.
      vocabulary: phonemes in order of their ids.
      mel_min, mel_max: f32[M] per bin over the training split, for scaling to [-1, 1].
      licence: SPDX-like name and the credit line that must travel with what is made of it.
      note_range: lowest and highest pitch of its training split but for rare ones, 69 = A4; None
        if not known.
      ranges: of the key shifts (semitones) and speeds of pieces that were added to it.
      breaths: how its singer breathes; None where none was heard, or looked for.
    """

    name: str
    mel: MelSpec
    vocabulary: Vocabulary
    mel_min: np.ndarray
    mel_max: np.ndarray
    licence: str = ""
    note_range: tuple[float, float] | None = None
    ranges: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    breaths: Breaths | None = None


def frames_reached(durations_sec: np.ndarray, frames_per_sec: float) -> np.ndarray:
    """Durations in frames as openvpi/DiffSinger counts them: up to the frame that holds the end.

    diff(round(cumsum(duration) * frames_per_sec + 0.5)) in float32, half to even: about half a
    frame later than `frames_from_seconds`. Its voices learned such durations.

    Args:
      durations_sec: [N], >= 0.

    Returns:
      i32[N].
    """
    ends = np.cumsum(np.asarray(durations_sec, np.float32), dtype=np.float32)
    places = ends / np.float32(1.0 / frames_per_sec) + np.float32(0.5)
    return np.diff(np.round(places), prepend=0.0).astype(np.int32)


def frames_from_seconds(durations_sec: npt.ArrayLike, frames_per_sec: float) -> np.ndarray:
    """Durations in frames whose rounding errors never add up.

    diff(floor(cumsum(duration) * frames_per_sec + 0.5)), so that each boundary is within half a
    frame of where it belongs, however many came before it.

    Args:
      durations_sec: f64[N], >= 0.

    Returns:
      i32[N]; their sum is the length rounded to frames.
    """
    ends = np.floor(np.cumsum(np.asarray(durations_sec, np.float64)) * frames_per_sec + 0.5)
    return np.diff(ends, prepend=0.0).astype(np.int32)
