"""Score -> sound: phonemes, durations, f0, mel, wave, piece by piece in a few static shapes."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np

from diffsinger_jax.errors import InputError
from diffsinger_jax.pipeline.collate import collate
from diffsinger_jax.pipeline.plan import Bucket
from diffsinger_jax.score.dictionary import Dictionary, phonemize
from diffsinger_jax.score.transform import change_tempo, is_silent, split_at_rests, transpose
from diffsinger_jax.synthesis.arrays import PieceArrays, piece_arrays, resample_f0
from diffsinger_jax.synthesis.buckets import pack
from diffsinger_jax.synthesis.cuts import cut_breathless
from diffsinger_jax.synthesis.rendering import open_renderer
from diffsinger_jax.synthesis.song import Song, SungPiece, assemble
from diffsinger_jax.synthesis.voice import Voice, load_voice
from diffsinger_jax.types import Batch, Piece, Score

FRAMES_PER_BATCH = {"cpu": 2048}
"""Rows x frames of one call, by JAX backend; other backends take `ACCELERATOR_FRAMES`."""
ACCELERATOR_FRAMES = 32_768


class Synthesizer:
    """Sings scores with one voice.

    Example:
      synthesizer = Synthesizer.from_checkpoint("data/voices/pjs")
      song = synthesizer(read_score("song.musicxml"), seed=1, key=-2)
      song.wav    # f32[L] at song.sample_rate
      song.mel    # f32[T, M], song.f0 f32[T]
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
          voice: see `diffsinger_jax.synthesis.voice`.
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
        cls, path: str | os.PathLike, vocoder: str | os.PathLike | None = None
    ) -> Synthesizer:
        """Loads a voice folder, and a vocoder if one is named.

        Raises:
          InputError: if they are none, or do not fit each other.
        """
        return cls(load_voice(path), vocoder=vocoder)

    def __call__(
        self,
        score: Score,
        *,
        seed: int = 0,
        key: float = 0.0,
        tempo: float = 1.0,
        k_step: int | None = None,
        steps: int | None = None,
        speaker: str | None = None,
    ) -> Song:
        """Sings a score: `prepare`, then `sing`, with their arguments."""
        return self.sing(
            self.prepare(score, key=key, tempo=tempo),
            seed=seed,
            k_step=k_step,
            steps=steps,
            speaker=speaker,
        )

    def prepare(self, score: Score, *, key: float = 0.0, tempo: float = 1.0) -> Score:
        """Everything that can go wrong with a score, before anything slow.

        Args:
          score: with or without phonemes.
          key: semitones up; notes and given f0 alike.
          tempo: factor, 2 is twice as fast.

        Returns:
          The score with phonemes, transposed, in its new tempo, cut at its rests; long rests
          are silent pieces of their own.

        Raises:
          InputError: for a lyric or phoneme that the voice does not know, a language it does not
            sing, or a score without notes.
        """
        vocabulary = self.voice.info.vocabulary
        self._language(score)
        if not any(note.midi is not None for piece in score.pieces for note in piece.notes):
            raise InputError(f"{score.source or score.title}: there is no note in it to sing")
        score = phonemize(score, Dictionary.of(self.voice.dictionary), vocabulary)
        _require_given(score, self.voice)
        return cut_breathless(split_at_rests(change_tempo(transpose(score, key), tempo)))

    def sing(
        self,
        score: Score,
        *,
        seed: int = 0,
        k_step: int | None = None,
        steps: int | None = None,
        speaker: str | None = None,
        on_pieces: Callable[[int], None] = lambda count: None,
    ) -> Song:
        """Sings a prepared score.

        Args:
          score: from `prepare`.
          seed: of the noise; the same seed sings the same song.
          k_step: diffusion step to start from, 0 for the auxiliary mel alone; None for the
            voice's own.
          steps: sampling steps from there to the end; None for the voice's own.
          speaker: one of the voice's; None for its first.
          on_pieces: told how many more of the `sung_pieces` are done, for a progress bar.

        Raises:
          InputError: for an unknown speaker, or steps that the voice cannot take.
        """
        voice, spec = self.voice, self.voice.info.mel
        pieces = self._arrays(score, voice.info.vocabulary.speaker_id(speaker))
        examples = self._with_durations(pieces)

        sung: dict[int, SungPiece] = {}
        sizes = [(int(e["ph_frames"].sum()), len(e["tokens"])) for e in examples]
        for indices, bucket, batch in self._batches(examples, sizes):
            f0 = self._f0(batch, [pieces[i] for i in indices])
            batch = batch._replace(f0=f0)
            mel_keys, noise_keys = _row_keys(seed, indices, bucket.rows)
            mel = voice.sample_mel(batch, mel_keys, k_step=k_step, steps=steps)
            wav = np.asarray(self._render(mel, f0, batch.mask, noise_keys))
            mel = np.asarray(mel, np.float32)
            for row, index in enumerate(indices):
                frames, _ = sizes[index]
                sung[index] = SungPiece(
                    arrays=pieces[index],
                    ph_frames=examples[index]["ph_frames"],
                    f0=f0[row, :frames],
                    mel=mel[row, :frames],
                    wav=wav[row, : frames * spec.hop],
                )
            on_pieces(len(indices))
        return assemble(score, [sung[i] for i in range(len(pieces))], spec)

    @staticmethod
    def sung_pieces(score: Score) -> list[Piece]:
        """Those of a prepared score that are not silent."""
        return [piece for piece in score.pieces if not is_silent(piece)]

    def _language(self, score: Score) -> int:
        """The id of the score's language; "" is the voice's first."""
        languages = self.voice.info.vocabulary.languages
        language = score.language.lower().split("-")[0] or languages[0]
        if language not in languages:
            raise InputError(
                f"{score.source or score.title}: its language is {score.language!r}, the voice "
                f"sings {', '.join(languages)}; choose another voice, or another score"
            )
        return languages.index(language)

    def _arrays(self, score: Score, speaker: int) -> list[PieceArrays]:
        end_sec, result = 0.0, []
        for piece in self.sung_pieces(score):
            result.append(
                piece_arrays(
                    piece,
                    self.voice.info.vocabulary,
                    self.voice.info.mel.frames_per_sec,
                    language=self._language(score),
                    speaker=speaker,
                    room_sec=piece.offset_sec - end_sec,
                )
            )
            end_sec = piece.offset_sec + piece.duration_sec
        return result

    def _with_durations(self, pieces: Sequence[PieceArrays]) -> list[dict[str, np.ndarray]]:
        """The pieces' examples with ph_frames i32[N]; durations need no frames, so T is 1."""
        examples = [piece.example for piece in pieces]
        filled: dict[int, dict[str, np.ndarray]] = {}
        sizes = [(0, len(example["tokens"])) for example in examples]
        for indices, _, batch in self._batches(examples, sizes, with_frames=False):
            predicted = np.asarray(self.voice.predict_frames(batch))  # [B, N]
            for row, index in enumerate(indices):
                ph_frames = pieces[index].ph_frames(predicted[row])
                filled[index] = {**examples[index], "ph_frames": ph_frames}
        return [filled[i] for i in range(len(pieces))]

    def _batches(
        self,
        examples: Sequence[dict[str, np.ndarray]],
        sizes: Sequence[tuple[int, int]],
        *,
        with_frames: bool = True,
    ) -> Iterator[tuple[list[int], Bucket, Batch]]:
        for indices, bucket in pack(sizes, self._frames_per_batch):
            bucket = bucket if with_frames else bucket._replace(frames=1)
            rows = [examples[i] for i in indices]
            yield indices, bucket, collate(rows, bucket, self.voice.info.mel.n_mels)

    def _f0(self, batch: Batch, pieces: Sequence[PieceArrays]) -> np.ndarray:
        """f32[B, T]: predicted, with given curves in its place.

        A curve without any unvoiced value (0) was filled in between voiced stretches, as `.ds`
        files are; it says nothing of voicing, which is then the predicted one.
        """
        frames_per_sec = self.voice.info.mel.frames_per_sec
        if predicts := "f0" not in self.voice.requires:
            f0 = np.where(batch.mask, np.asarray(self.voice.predict_f0(batch), np.float32), 0.0)
        else:
            f0 = np.zeros(batch.mask.shape, np.float32)
        for row, piece in enumerate(pieces):
            if (curve := piece.piece.curves.get("f0")) is None:
                continue
            first = piece.head_frames
            last = int(batch.ph_frames[row].sum()) - piece.tail_frames
            given = resample_f0(curve, last - first, frames_per_sec)
            if predicts and np.all(np.asarray(curve.values) > 0):
                given = np.where(f0[row, first:last] > 0, given, 0.0)
            f0[row] = 0.0
            f0[row, first:last] = given
        return f0.astype(np.float32)


def _require_given(score: Score, voice: Voice) -> None:
    """Names the first piece that lacks what the voice cannot predict."""
    for number, piece in enumerate(Synthesizer.sung_pieces(score), 1):
        place = ": ".join(part for part in (score.source or score.title, piece.where) if part)
        place = place or f"piece {number}"
        if "f0" in voice.requires and "f0" not in piece.curves:
            raise InputError(
                f"{place}: the voice {voice.name} predicts no pitch and the score gives none; "
                "give f0_seq and f0_timestep in a .ds"
            )
        missing = any(phoneme.duration_sec is None for phoneme in piece.phonemes or ())
        if "durations" in voice.requires and missing:
            raise InputError(
                f"{place}: the voice {voice.name} predicts no durations and the score gives none; "
                "give ph_dur in a .ds"
            )


def _row_keys(seed: int, indices: Sequence[int], rows: int) -> tuple[jax.Array, jax.Array]:
    """Keys [B] for mel and noise, from each piece's number, so that batching changes no number."""
    numbers = np.zeros(rows, np.uint32)  # rows of padding: any will do
    numbers[: len(indices)] = indices
    of_pieces = jax.vmap(functools.partial(jax.random.fold_in, jax.random.key(seed)))(numbers)
    mel_keys, noise_keys = jax.vmap(jax.random.split, out_axes=1)(of_pieces)
    return mel_keys, noise_keys
