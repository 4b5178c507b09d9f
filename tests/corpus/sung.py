"""Songs made up for tests: tones for vowels, noise for consonants, labels and notes that fit."""

from __future__ import annotations

from pathlib import Path

import mido
import numpy as np

from diffsinger_jax.audio.wav import write_wav
from diffsinger_jax.corpus.songs import Label, SungNote

RATE = 24_000
SYLLABLES = (("k", "a"), ("s", "o"), ("m", "i"), ("t", "e"), ("n", "u"), ("", "a"), ("", "N"))


def make_song(
    pitches: list[int], note_sec: float = 0.4, rest_sec: float = 0.5, phrase: int = 4
) -> tuple[list[Label], list[SungNote]]:
    """Phrases of `phrase` notes with rests around them; consonants of 60 ms before the notes."""
    labels, notes, now = [], [], 0.0
    consonant_sec = 0.06
    for start in range(0, len(pitches), phrase):
        labels.append(Label("SP", now, now + rest_sec))
        now += rest_sec
        for n in range(start, min(start + phrase, len(pitches))):
            consonant, vowel = SYLLABLES[n % len(SYLLABLES)]
            if consonant:  # takes its time from what is before
                last = labels[-1]
                labels[-1] = Label(last.symbol, last.start_sec, now - consonant_sec)
                labels.append(Label(consonant, now - consonant_sec, now))
            labels.append(Label(vowel, now, now + note_sec))
            notes.append(SungNote(now, now + note_sec, float(pitches[n])))
            now += note_sec
    labels.append(Label("SP", now, now + rest_sec))
    return labels, notes


def sing(labels: list[Label], notes: list[SungNote], transpose: float = 0.0) -> np.ndarray:
    """f32[L] at `RATE`."""
    rng = np.random.default_rng(0)
    time = np.arange(int(labels[-1].end_sec * RATE)) / RATE
    wav = 1e-4 * rng.standard_normal(len(time))
    f0 = np.zeros(len(time))
    for note in notes:
        inside = (time >= note.start_sec) & (time < note.end_sec)
        f0[inside] = 440.0 * 2.0 ** ((note.midi + transpose - 69.0) / 12.0)
    phase = 2 * np.pi * np.cumsum(f0) / RATE
    for harmonic in range(1, 9):
        wav += np.where(f0 > 0, 0.2 / harmonic * np.sin(harmonic * phase), 0.0)
    for label in labels:
        if label.symbol in ("k", "s", "t"):
            inside = (time >= label.start_sec) & (time < label.end_sec)
            wav[inside] = 0.02 * rng.standard_normal(int(inside.sum()))
    return wav.astype(np.float32)


def write_pjs_song(
    root: Path,
    name: str,
    labels: list[Label],
    notes: list[SungNote],
    wav: np.ndarray | None = None,
) -> None:
    """One song in the layout of PJS."""
    folder = root / name
    folder.mkdir(parents=True)
    write_wav(folder / f"{name}_song.wav", sing(labels, notes) if wav is None else wav, RATE)
    lines = [
        f"{round(x.start_sec * 1e7)} {round(x.end_sec * 1e7)} {x.symbol.replace('SP', 'pau')}\n"
        for x in labels
    ]
    (folder / f"{name}.lab").write_text("".join(lines))
    write_midi(folder / f"{name}.mid", notes)


def write_midi(path: Path, notes: list[SungNote]) -> None:
    """Notes at 120 quarters a minute, 480 ticks to a quarter: 960 ticks a second."""
    track, now = mido.MidiTrack(), 0
    for note in notes:
        start, end = round(note.start_sec * 960), round(note.end_sec * 960)
        pitch = int(note.midi)
        track.append(mido.Message("note_on", note=pitch, velocity=90, time=start - now))
        track.append(mido.Message("note_off", note=pitch, velocity=0, time=end - start))
        now = end
    midi = mido.MidiFile(ticks_per_beat=480)
    midi.tracks.append(track)
    midi.save(path)
