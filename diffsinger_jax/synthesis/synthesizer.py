"""Score -> sound: phonemes, durations, f0, mel, wave, piece by piece in a few static shapes."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.errors import InputError
from diffsinger_jax.features import neutral_value
from diffsinger_jax.pipeline.plan import Bucket
from diffsinger_jax.score.dictionary import Dictionary, describe_accent, phonemize
from diffsinger_jax.score.ds_schema import SPEAKER_PREFIX
from diffsinger_jax.score.note_range import range_remark
from diffsinger_jax.score.pronunciation import Pronunciation
from diffsinger_jax.score.transform import change_tempo, is_silent, split_at_rests, transpose
from diffsinger_jax.synthesis.arrays import SILENCE_SEC, PieceArrays, piece_arrays
from diffsinger_jax.synthesis.buckets import all_buckets, windows
from diffsinger_jax.synthesis.controls import SOURCES, name_phonemes, require_speakers
from diffsinger_jax.synthesis.expression import Expression
from diffsinger_jax.synthesis.mels import MelPiece, sing_mels, sing_padding
from diffsinger_jax.synthesis.mixing import Mixer
from diffsinger_jax.synthesis.phrases import LONGEST_SEC, split_long_phrases
from diffsinger_jax.synthesis.rendering import open_renderer
from diffsinger_jax.synthesis.song import (
    Song,
    SungPiece,
    assemble,
    gate,
    song_samples,
    start_sample,
)
from diffsinger_jax.synthesis.sung_pitch import EXPRESSION, EXPRESSIVENESS, RETAKE
from diffsinger_jax.types import Piece, Score
from diffsinger_jax.voices.sampling import resolve_sampling
from diffsinger_jax.voices.students import load_singer
from diffsinger_jax.voices.voice import Voice, with_variance

FRAMES_PER_BATCH = {"cpu": 1}
"""Rows x frames of one call, by JAX backend; other backends take `ACCELERATOR_FRAMES`. On CPUs one
row at a time: more of them are no faster together, and each number of rows is compiled apart."""
ACCELERATOR_FRAMES = 32_768
OFF = "off"


class Synthesizer:
    """Sings scores with one voice.

    Example:
      synthesizer = Synthesizer.from_checkpoint("data/voices/pjs")
      song = synthesizer(read_score("song.musicxml"), seed=1, key=-2)
      song.wav    # f32[L] at song.sample_rate
      song.mel    # f32[T, M], song.f0 f32[T]

      prepared = synthesizer.prepare(read_score("song.musicxml"), key=-2)
      for block in synthesizer.stream(prepared, seed=1):
          ...     # f32[L]: together they are song.wav
    """

    def __init__(
        self,
        voice: Voice,
        *,
        vocoder: str | os.PathLike | None = None,
        frames_per_batch: int | None = None,
    ):
        """Takes a loaded voice.

        Args:
          voice: see `diffsinger_jax.voices.voice`.
          vocoder: see `rendering.open_renderer`; None for the voice's own, if it names one.
          frames_per_batch: bound on rows x frames of one call, and so on memory; it changes no
            number of the result.

        Raises:
          InputError: if the vocoder is none, or expects another mel than the voice's.
        """
        self.voice = voice
        self._render = open_renderer(vocoder or voice.vocoder, voice.info.mel)
        self._frames_per_batch = frames_per_batch or FRAMES_PER_BATCH.get(
            jax.default_backend(), ACCELERATOR_FRAMES
        )

    @classmethod
    def from_checkpoint(
        cls,
        path: str | os.PathLike,
        vocoder: str | os.PathLike | None = None,
        *,
        quality: str | None = None,
        variance: str | os.PathLike | None = None,
    ) -> Synthesizer:
        """Loads a voice folder, and what else is named.

        Args:
          path: of the voice.
          vocoder: as in `__init__`.
          quality: that it will sing at, for which its folder may hold a student, see
            `voices.students`.
          variance: folder of a variance model that draws durations and pitch; "off" for what the
            voice predicts by itself; None for the model in its folder, if there is one.

        Raises:
          InputError: if they are none, or do not fit each other.
        """
        voice = load_singer(path, quality)
        if variance is not None:
            voice = with_variance(voice, None if variance == OFF else variance)
        return cls(voice, vocoder=vocoder)

    def __call__(
        self,
        score: Score,
        *,
        seed: int = 0,
        key: float = 0.0,
        tempo: float = 1.0,
        sampling: Sampling | None = None,
        speaker: str | None = None,
    ) -> Song:
        """Sings a score: `prepare`, then `sing`, with their arguments."""
        return self.sing(
            self.prepare(score, key=key, tempo=tempo),
            seed=seed,
            sampling=sampling,
            speaker=speaker,
        )

    def resolve_sampling(self, **asked: Any) -> Sampling:
        """What is asked for, else the voice's own: see `voices.sampling.resolve_sampling`."""
        return resolve_sampling(self.voice, **asked)

    def prepare(
        self,
        score: Score,
        *,
        key: float = 0.0,
        tempo: float = 1.0,
        pronunciation: Pronunciation | None = None,
    ) -> Score:
        """Everything that can go wrong with a score, before anything slow.

        Args:
          score: with or without phonemes.
          key: semitones up; notes and given f0 alike.
          tempo: factor, 2 is twice as fast.
          pronunciation: how its lyrics become phonemes; None for the voice's own dictionary.

        Returns:
          The score with phonemes, transposed, in its new tempo, cut at its rests; long rests
          are silent pieces of their own. Its remarks say what a listener should know.

        Raises:
          InputError: for a lyric or phoneme that the voice does not know, a language it does not
            sing, or a score without notes.
        """
        vocabulary = self.voice.info.vocabulary
        dictionary = self._dictionary(score, pronunciation or Pronunciation())
        if not any(note.midi is not None for piece in score.pieces for note in piece.notes):
            raise InputError(f"{score.source or score.title}: there is no note in it to sing")
        score = phonemize(name_phonemes(score, vocabulary), dictionary, vocabulary)
        _require_given(score, self.voice)
        score = change_tempo(transpose(score, key), tempo)
        remarks = list(score.remarks)
        if dictionary.phoneme_map is not None:
            remarks.append(describe_accent(dictionary, vocabulary.languages[0]))
            score = dataclasses.replace(score, language=vocabulary.languages[0])
        score = dataclasses.replace(score, remarks=tuple(remarks))
        return split_long_phrases(split_at_rests(score))

    def sing(
        self,
        score: Score,
        *,
        seed: int = 0,
        sampling: Sampling | None = None,
        speaker: str | None = None,
        expression: Expression = EXPRESSION,
        on_pieces: Callable[[int], None] = lambda count: None,
    ) -> Song:
        """Sings a prepared score.

        Args:
          score: from `prepare`.
          seed: of the noise; the same seed sings the same song.
          sampling: how the mel is sampled, see `voices.sampling.resolve_sampling`; None for the
            voice's own.
          speaker: one of the voice's; None for its first.
          expression: how predicted pitch is steered, and what of it is taken again.
          on_pieces: told how many more of the `sung_pieces` are done, for a progress bar.

        Raises:
          InputError: for an unknown speaker, or a sampling that the voice cannot take.
        """
        spec = self.voice.info.mel
        pieces = self._arrays(score, self.voice.info.vocabulary.speaker_id(speaker))
        sung: dict[int, SungPiece] = {}
        chosen = self._chosen(score, pieces, expression)
        for mel_piece in self._mels(pieces, range(len(pieces)), seed, sampling, expression, chosen):
            sung[mel_piece.index] = SungPiece(
                arrays=pieces[mel_piece.index],
                ph_frames=mel_piece.ph_frames,
                f0=mel_piece.f0[: mel_piece.frames],
                mel=mel_piece.mel[: mel_piece.frames].copy(),  # without its padding
                wav=np.concatenate(list(self._sound(mel_piece))),
                breaths=mel_piece.breaths,
            )
            on_pieces(1)
        return assemble(score, [sung[i] for i in range(len(pieces))], spec)

    def stream(
        self,
        score: Score,
        *,
        seed: int = 0,
        sampling: Sampling | None = None,
        speaker: str | None = None,
        expression: Expression = EXPRESSION,
        on_pieces: Callable[[int], None] = lambda count: None,
    ) -> Iterator[np.ndarray]:
        """Sings a prepared score as it is heard: `sing(...).wav`, block after block.

        Memory does not grow with the length of the song. What `sing` raises is raised before the
        first block.

        Args:
          score: from `prepare`; the others as in `sing`.

        Yields:
          f32[L] samples at the voice's rate, together `song_samples(score)` of them.
        """
        spec = self.voice.info.mel
        pieces = self._arrays(score, self.voice.info.vocabulary.speaker_id(speaker))
        mixer = Mixer(song_samples(score, pieces, spec), spec)
        starts = [start_sample(piece, spec) for piece in pieces]
        # Where the earliest of the pieces after each begins: they may overlap.
        following = [*np.minimum.accumulate(starts[:0:-1])[::-1].tolist(), None]
        sizes = [(piece.frames, len(piece.phonemes)) for piece in pieces]
        chosen = self._chosen(score, pieces, expression)
        for window in windows(sizes, self._frames_per_batch):
            made = self._mels(pieces, window, seed, sampling, expression, chosen)
            waiting = {piece.index: piece for piece in made}
            for index in window:
                mel_piece, place = waiting.pop(index), starts[index]
                loudness = gate(pieces[index], mel_piece.ph_frames, spec, mel_piece.breaths)
                for wav in self._sound(mel_piece):
                    done = place - starts[index]
                    mixer.add(wav * loudness[done : done + len(wav)], place)
                    place += len(wav)
                    later = following[index]
                    block = mixer.settled(place if later is None else min(place, later))
                    if block.size:
                        yield block
                on_pieces(1)
        if (block := mixer.settled()).size:
            yield block

    @property
    def shapes(self) -> list[Bucket]:
        """Every shape that pieces of a song are padded to, but for those that cannot be cut."""
        longest_sec = LONGEST_SEC + 2 * SILENCE_SEC
        longest = math.ceil(longest_sec * self.voice.info.mel.frames_per_sec)
        return all_buckets(longest, self._frames_per_batch)

    def warm_up(
        self,
        *,
        sampling: Sampling | None = None,
    ) -> Iterator[Bucket]:
        """Compiles what `sing` and `stream` need for pieces of every shape, with these arguments.

        Yields:
          Each of the `shapes` when it is done.
        """
        for shape in self.shapes:
            next(self._sound(sing_padding(self.voice, shape, sampling)))
            yield shape

    def song_samples(self, score: Score) -> int:
        """How many samples the song of a prepared score has."""
        return song_samples(score, self._arrays(score, speaker=0), self.voice.info.mel)

    @staticmethod
    def sung_pieces(score: Score) -> list[Piece]:
        """Those of a prepared score that are not silent."""
        return [piece for piece in score.pieces if not is_silent(piece)]

    def range_remark(self, score: Score) -> str | None:
        """A sentence on notes of a prepared score outside what the voice was trained on."""
        known = self.voice.info.note_range
        return range_remark(score, *known) if known else None

    def ignored_curves(self, score: Score) -> list[str]:
        """Names of the curves that a score gives and the voice has no input for, sorted."""
        given = {name for piece in score.pieces for name in piece.curves} | {*score.expressions}
        read = {"f0"} | {SOURCES.get(name, name) for name in self.voice.curves}
        if self.voice.variance and "f0" in self.voice.variance.predicts:
            read |= {EXPRESSIVENESS, RETAKE}
        if self.voice.mixes_speakers:
            read |= {name for name in given if name.startswith(SPEAKER_PREFIX)}
        return sorted(given - read)

    def _dictionary(self, score: Score, pronunciation: Pronunciation) -> Dictionary:
        languages = self.voice.info.vocabulary.languages
        try:
            return pronunciation.dictionary(score.language, languages, self.voice.dictionary)
        except InputError as error:
            raise InputError(f"{score.source or score.title}: {error}") from error

    def _language(self, score: Score, piece: Piece) -> int:
        """The id of a piece's language, or the prepared score's; "" is the voice's first."""
        languages = self.voice.info.vocabulary.languages
        if piece.language in languages:
            return languages.index(piece.language)
        return languages.index(score.language.lower().split("-")[0] or languages[0])

    def _arrays(self, score: Score, speaker: int) -> list[PieceArrays]:
        end_sec, result = 0.0, []
        for piece in self.sung_pieces(score):
            result.append(
                piece_arrays(
                    piece,
                    self.voice.info.vocabulary,
                    self.voice.info.mel.frames_per_sec,
                    language=self._language(score, piece),
                    speaker=speaker,
                    room_sec=piece.offset_sec - end_sec,
                    timing=self.voice.timing,
                )
            )
            end_sec = piece.offset_sec + piece.duration_sec
        return result

    def _mels(
        self,
        pieces: Sequence[PieceArrays],
        numbers: Sequence[int],
        seed: int,
        sampling: Sampling | None,
        expression: Expression = EXPRESSION,
        chosen: Sequence[np.ndarray] = (),
    ) -> Iterator[MelPiece]:
        return sing_mels(
            self.voice,
            pieces,
            numbers,
            seed=seed,
            sampling=sampling,
            frames_per_batch=self._frames_per_batch,
            expression=expression,
            chosen=chosen,
        )

    def _chosen(
        self, score: Score, pieces: Sequence[PieceArrays], expression: Expression
    ) -> Sequence[np.ndarray]:
        """bool[notes] of each piece, those whose pitch is taken again; () for none."""
        if expression.retake is None:
            return ()
        if self.voice.variance is None or "f0" not in self.voice.variance.predicts:
            raise InputError(
                f"the voice {self.voice.name} draws no pitch, so that a retake would be the same "
                "again; leave --retake out, or give a voice with a variance model"
            )
        source = score.source or score.title
        return expression.retake.chosen([piece.piece for piece in pieces], source)

    def _sound(self, piece: MelPiece) -> Iterator[np.ndarray]:
        return self._render.stream(piece.mel, piece.f0, piece.frames, piece.key)


def _require_given(score: Score, voice: Voice) -> None:
    """Names the first piece that lacks what the voice cannot predict."""
    for number, piece in enumerate(Synthesizer.sung_pieces(score), 1):
        place = ": ".join(part for part in (score.source or score.title, piece.where) if part)
        place = place or f"piece {number}"
        if "f0" in voice.lacks and "f0" not in piece.curves:
            raise InputError(
                f"{place}: the voice {voice.name} predicts no pitch and the score gives none; "
                "give f0_seq and f0_timestep in a .ds"
            )
        missing = any(phoneme.duration_sec is None for phoneme in piece.phonemes or ())
        generated = {*voice.predicted_curves, *(voice.variance.curves if voice.variance else ())}
        for name in voice.curves:
            if name not in generated and SOURCES.get(name, name) not in piece.curves:
                neutral_value(name, place)
        if voice.mixes_speakers:
            require_speakers(piece, voice.info.vocabulary.speakers)
        if "durations" in voice.lacks and missing:
            raise InputError(
                f"{place}: the voice {voice.name} predicts no durations and the score gives none; "
                "give ph_dur in a .ds"
            )
