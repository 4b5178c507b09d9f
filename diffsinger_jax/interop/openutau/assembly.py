"""Phrases with their sound -> a song, and its score with all that was predicted."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from diffsinger_jax.interop.openutau.models import PhraseMel
from diffsinger_jax.interop.openutau.timing import HEAD_FRAMES, TAIL_FRAMES
from diffsinger_jax.plots import Span
from diffsinger_jax.synthesis.mixing import Mixer
from diffsinger_jax.synthesis.song import Song
from diffsinger_jax.types import SILENCE, Curve, MelSpec, Note, Phoneme, Piece, Score


def song_samples(score: Score, spec: MelSpec) -> int:
    """Length of a prepared score, or of the durations that it gives, in samples."""
    return round(_song_sec(score) * spec.sample_rate)


def start_sample(mel: PhraseMel, spec: MelSpec) -> int:
    """Where the sound of a phrase, its head first, begins in the song; perhaps before 0."""
    return round(mel.grid.start_sec * spec.sample_rate)


def assembled(
    score: Score, phrases: Sequence[PhraseMel], sounds: Sequence[np.ndarray], spec: MelSpec
) -> Song:
    """Adds the phrases up, each at its place, all of its sound as OpenUtau has it.

    Args:
      score: prepared.
      phrases: in order.
      sounds: f32[L] of each, its head first.
      spec: of their mels.
    """
    samples = song_samples(score, spec)
    frames = round(_song_sec(score) * spec.frames_per_sec)
    mixer = Mixer(samples, spec)
    mel = np.full((frames, spec.n_mels), spec.silence, np.float32)
    f0 = np.zeros(frames, np.float32)
    for phrase, wav in zip(phrases, sounds, strict=True):
        start = start_sample(phrase, spec)
        mixer.add(wav, start)
        first = round(start / spec.hop)
        begin, end = max(first, 0), min(first + len(phrase.mel), frames)
        if begin < end:
            mel[begin:end] = np.maximum(mel[begin:end], phrase.mel[begin - first : end - first])
            f0[begin:end] = phrase.f0[begin - first : end - first]
    return Song(
        wav=mixer.settled(),
        sample_rate=spec.sample_rate,
        mel=mel,
        f0=f0,
        spec=spec,
        phonemes=tuple(
            Span(phone.start_sec, phone.end_sec, label=phone.symbol)
            for phrase in phrases
            for phone in phrase.phones
        ),
        score=dataclasses.replace(score, pieces=tuple(map(sung_piece, phrases))),
    )


def sung_piece(sung: PhraseMel) -> Piece:
    """A phrase with its durations, f0 and curves, that sings the same when it is read again."""
    phrase, phones, grid = sung.phrase, sung.phones, sung.grid
    begin_sec = phones[0].start_sec
    before_sec = phrase.notes[0].start_sec - begin_sec
    notes = [Note(before_sec, midi=None)] if before_sec > 0 else []
    offset = len(notes)
    heads = [word.notes[0] for word in phrase.words for _ in word.symbols]
    for note in phrase.notes:
        notes.append(Note(note.end_sec - note.start_sec, note.midi, slur=note.slur))
    phonemes = tuple(
        Phoneme(phone.symbol, head + offset, i == 0 or phone.start_sec >= _start(phrase, head), sec)
        for i, (phone, head, sec) in enumerate(
            zip(phones, heads, (phone.duration_sec for phone in phones), strict=True)
        )
    )
    body = slice(HEAD_FRAMES, grid.frames - TAIL_FRAMES)
    curves = {
        name: Curve(values[body].astype(np.float32), grid.frame_sec)
        for name, values in {"f0": sung.f0, **sung.curves}.items()
    }
    return Piece(begin_sec, tuple(notes), phonemes, curves, phrase.piece.where, phrase.language)


def _start(phrase, head: int) -> float:
    return phrase.notes[head].start_sec - 1e-6


def _song_sec(score: Score) -> float:
    """Of its notes, or of given durations, which may reach beyond them."""
    ends = [score.duration_sec]
    for piece in score.pieces:
        phonemes = piece.phonemes or ()
        given = [p.duration_sec for p in phonemes if p.duration_sec is not None]
        if given and len(given) == len(phonemes):
            silence = given[-1] if phonemes[-1].symbol == SILENCE else 0.0
            ends.append(piece.offset_sec + sum(given) - silence)
    return max(ends)
