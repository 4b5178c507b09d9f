"""Text -> sound: sentences become scores without notes, which are sung by the same synthesizer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.errors import InputError
from diffsinger_jax.pipeline.collate import Example, collate
from diffsinger_jax.pipeline.plan import Bucket
from diffsinger_jax.pitch import semitones_to_ratio
from diffsinger_jax.synthesis.arrays import piece_arrays
from diffsinger_jax.synthesis.buckets import FRAMES_PER_PHONEME, bucket_frames
from diffsinger_jax.synthesis.synthesizer import Synthesizer
from diffsinger_jax.text.front_end import Pause, Sentence, Word, read_text
from diffsinger_jax.text.markup import AS_IT_IS, Prosody
from diffsinger_jax.text.phones import without_stress
from diffsinger_jax.text.pronunciation import Pronouncer
from diffsinger_jax.types import SILENCE, Curve, Note, Phoneme, Piece, Score, Vocabulary

PAUSE_SEC = {",": 0.15, ";": 0.2, ":": 0.2, ".": 0.35, "!": 0.35, "?": 0.35, "": 0.0}
"""A pause is at least so long, whatever the voice predicts: aligners often give commas none."""
ENERGY = "energy"
"""The curve that a voice is told loudness by, if it has it."""
EFFORT_DB = 6.0
"""A voice that predicts its energy is made louder or softer by so much itself; the rest is gain."""
FADE_SEC = 0.02
"""How long it takes from the loudness of one word to that of the next."""


@dataclasses.dataclass(frozen=True)
class SpokenPhoneme:
    """A phoneme of a sentence.

    Attributes:
      symbol: as the voice names it.
      word: number of its word or pause.
      prosody: of its word.
      sec: given, of a pause; None for what is predicted.
      least_sec: it lasts at least so long.
    """

    symbol: str
    word: int
    prosody: Prosody
    sec: float | None = None
    least_sec: float = 0.0


@dataclasses.dataclass(frozen=True)
class Utterance:
    """A sentence that is ready to be spoken.

    Attributes:
      sentence: its words, phones and pauses.
      score: one piece with a duration for each phoneme, and f0 and energy where its prosody asks
        for others than the voice's.
      gain: f32[L] factor on each sample.
    """

    sentence: Sentence
    score: Score
    gain: np.ndarray


class Speaker:
    """Speaks texts with one voice.

    Example:
      speaker = Speaker(Synthesizer.from_checkpoint("voices/lj"))
      wav = np.concatenate(list(speaker.stream(["Hello, world."])))
      for block in speaker.stream(open("book.txt"), prosody=Prosody(rate=1.2)):
          ...     # f32[L], sentence after sentence, in bounded memory
    """

    def __init__(
        self,
        synthesizer: Synthesizer,
        pronounce: Callable[[str], tuple[str, ...]] | None = None,
    ):
        """Takes a synthesizer whose voice speaks.

        Args:
          synthesizer: of the voice.
          pronounce: the phones of a word; None for `text.pronunciation.Pronouncer`.

        Raises:
          InputError: for a voice that sings from notes.
        """
        voice = synthesizer.voice
        if not voice.speaks:
            raise InputError(
                f"the voice {voice.name} sings scores and cannot speak; choose one that was "
                "trained on speech, or sing with it"
            )
        self.synthesizer = synthesizer
        self._pronounce = pronounce or Pronouncer()

    def stream(
        self,
        text: Iterable[str],
        *,
        prosody: Prosody = AS_IT_IS,
        seed: int = 0,
        sampling: Sampling | None = None,
        speaker: str | None = None,
    ) -> Iterator[np.ndarray]:
        """Speaks a text sentence by sentence.

        Args:
          text: parts of it, as lines; with markup, see `text.markup`.
          prosody: of all of it, under that of its markup.
          seed: of the noise; each sentence has its own of it.
          sampling, speaker: as in `Synthesizer.sing`.

        Yields:
          f32[L] samples at the voice's rate; memory does not grow with the text.

        Raises:
          InputError: for markup that cannot be read, phonemes that the voice lacks, and as
            `Synthesizer.stream`.
        """
        for number, sentence in enumerate(self.sentences(text)):
            utterance = self.prepare(sentence, prosody=prosody, speaker=speaker)
            place = 0
            for block in self.synthesizer.stream(
                utterance.score, seed=(seed + number) % 2**31, sampling=sampling, speaker=speaker
            ):
                yield block * utterance.gain[place : place + len(block)]
                place += len(block)

    def sentences(self, text: Iterable[str]) -> Iterator[Sentence]:
        """The sentences of a text with their phones, as the front end reads them."""
        return read_text(text, self._pronounce)

    def prepare(
        self, sentence: Sentence, *, prosody: Prosody = AS_IT_IS, speaker: str | None = None
    ) -> Utterance:
        """A sentence with durations, and with f0 and energy where its prosody changes them.

        Raises:
          InputError: for a phoneme or speaker that the voice does not have.
        """
        voice = self.synthesizer.voice
        spec, vocabulary = voice.info.mel, voice.info.vocabulary
        phonemes = spoken_phonemes(sentence, vocabulary, prosody)
        words = [p.word for p in phonemes]
        onsets = [i == 0 or word != words[i - 1] for i, word in enumerate(words)]
        row = vocabulary.speaker_id(speaker)
        frames = self._durations(phonemes, onsets, row)
        seconds = spec.seconds(frames.astype(np.float64))
        firsts = np.flatnonzero(onsets)
        notes = tuple(Note(float(sec), midi=None) for sec in np.add.reduceat(seconds, firsts))
        number = np.cumsum(onsets) - 1
        piece = Piece(
            0.0,
            notes,
            tuple(
                Phoneme(p.symbol, int(number[i]), onsets[i], float(seconds[i]))
                for i, p in enumerate(phonemes)
            ),
        )
        decibels = np.array([p.prosody.volume_db for p in phonemes])
        semitones = np.array([p.prosody.pitch for p in phonemes])
        effort = np.zeros(len(phonemes))
        if ENERGY in voice.predicted_curves:
            effort = np.clip(decibels, -EFFORT_DB, EFFORT_DB)
        if semitones.any() or effort.any():
            piece = self._with_curves(piece, row, np.repeat([semitones, effort], frames, axis=1))
        decibels -= effort
        score = Score(_title(sentence), "", (piece,))
        return Utterance(sentence, score, _gain(decibels, seconds, spec.sample_rate))

    def _durations(
        self, phonemes: Sequence[SpokenPhoneme], onsets: Sequence[bool], speaker: int
    ) -> np.ndarray:
        """i32[N] frames of each phoneme, at least one."""
        voice = self.synthesizer.voice
        spec, count = voice.info.mel, len(phonemes)
        example: Example = {
            "tokens": voice.info.vocabulary.phoneme_ids([p.symbol for p in phonemes]),
            "onset": np.asarray(onsets, np.int32),
            "speaker": np.int32(speaker),
        }
        room = bucket_frames(0, count) // FRAMES_PER_PHONEME
        batch = collate([example], Bucket(1, 1, room), spec.n_mels)
        predicted = np.asarray(voice.predict_frames(batch))[0, :count]
        given = [np.nan if p.sec is None else spec.frames(p.sec) for p in phonemes]
        least = [spec.frames(p.least_sec) for p in phonemes]
        rates = np.array([p.prosody.rate for p in phonemes])
        frames = np.maximum(np.nan_to_num(predicted), least) / rates
        return np.maximum(np.floor(np.where(np.isnan(given), frames, given) + 0.5), 1).astype(int)

    def _with_curves(self, piece: Piece, speaker: int, moved: np.ndarray) -> Piece:
        """The piece with the curves that the voice predicts, moved where the prosody moves them.

        Args:
          piece: with durations.
          speaker: its id.
          moved: f64[2, T] semitones that f0, and decibels that the energy is moved by.
        """
        voice, (semitones, decibels) = self.synthesizer.voice, moved
        spec, vocabulary = voice.info.mel, voice.info.vocabulary
        arrays = piece_arrays(
            piece, vocabulary, spec.frames_per_sec, speaker=speaker, timing=voice.timing
        )
        room = bucket_frames(arrays.frames, len(arrays.phonemes))
        bucket = Bucket(1, room, room // FRAMES_PER_PHONEME)
        example = {**arrays.example, "ph_frames": arrays.given_frames}
        batch = collate([example], bucket, spec.n_mels)
        inside = slice(arrays.head_frames, arrays.frames - arrays.tail_frames)
        curves = {}
        if semitones.any():
            f0 = np.asarray(voice.predict_f0(batch))[0, inside]
            curves["f0"] = Curve(f0 * semitones_to_ratio(semitones), spec.sec_per_frame)
        if decibels.any():
            energy = np.asarray(voice.predict_curves(batch)[ENERGY])[0, inside]
            curves[ENERGY] = Curve(energy + decibels, spec.sec_per_frame)
        return dataclasses.replace(piece, curves=curves)


def spoken_phonemes(
    sentence: Sentence, vocabulary: Vocabulary, prosody: Prosody
) -> list[SpokenPhoneme]:
    """The phonemes of a sentence as a voice names them; pauses are its marks, or its silence.

    Raises:
      InputError: for a phoneme that it does not have, naming the nearest that it has.
    """
    phonemes: list[SpokenPhoneme] = []
    last = Prosody()
    for number, token in enumerate(sentence):
        if isinstance(token, Word):
            last = _together(prosody, token.prosody)
            names = (_name(symbol, vocabulary, token.written) for symbol in token.phones)
            phonemes += [SpokenPhoneme(name, number, last) for name in names]
        elif name := _pause_name(token, vocabulary):
            silence = dataclasses.replace(last, pitch=0.0)
            least = PAUSE_SEC[token.mark]
            phonemes.append(SpokenPhoneme(name, number, silence, token.sec, least))
    return phonemes


def _together(a: Prosody, b: Prosody) -> Prosody:
    return Prosody(a.rate * b.rate, a.pitch + b.pitch, a.volume_db + b.volume_db)


def _name(symbol: str, vocabulary: Vocabulary, word: str) -> str:
    """A phoneme as the voice writes it: with or without stress and language, large or small."""
    plain = without_stress(symbol)
    known = vocabulary.names
    for name in (symbol, plain):
        for written in (name, f"en/{name.lower()}", name.lower()):
            if written in known:
                return written
    vocabulary.phoneme_ids([symbol], where=f"the word {word!r}" if word else "")  # raises
    raise AssertionError(symbol)


def _pause_name(pause: Pause, vocabulary: Vocabulary) -> str | None:
    names = (pause.mark, SILENCE) if pause.sec is None else (SILENCE, pause.mark)
    return next((name for name in names if name in vocabulary.names), None)


def _title(sentence: Sentence) -> str:
    return " ".join(token.written for token in sentence if isinstance(token, Word))[:80]


def _gain(decibels: np.ndarray, seconds: np.ndarray, sample_rate: int) -> np.ndarray:
    """f32[L] factors, one for each phoneme's samples, without steps between them."""
    ends = np.round(np.cumsum(seconds) * sample_rate).astype(int)
    factors = np.repeat(10.0 ** (decibels / 20.0), np.diff(ends, prepend=0))
    if np.ptp(factors) == 0.0:
        return np.append(factors, factors[-1]).astype(np.float32)
    width = max(int(FADE_SEC * sample_rate), 1)
    padded = np.pad(factors, (width // 2, width - width // 2), mode="edge")
    sums = np.cumsum(np.concatenate([[0.0], padded]))
    return ((sums[width:] - sums[:-width]) / width).astype(np.float32)
