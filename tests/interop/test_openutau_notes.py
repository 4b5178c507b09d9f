"""Notes read off f0, for voices whose encoder is told notes and OpenUtau, which gives none."""

import numpy as np

from diffsinger_jax.interop.openutau.graph_notes import notes_of_pitch
from diffsinger_jax.pitch import midi_to_hz
from diffsinger_jax.types import Vocabulary

VOCABULARY = Vocabulary(("SP", "AP", "N", "a", "i", "k", "s"))
FRAMES_PER_SEC = 100.0


def notes(symbols, durations, keys):
    """Keys and frames of each phoneme's note, of phonemes sung at these keys."""
    tokens = np.array([[VOCABULARY.phonemes.index(s) + 1 for s in symbols.split()]], np.int32)
    f0 = midi_to_hz(np.repeat(np.array(keys, np.float32), durations))[None].astype(np.float32)
    found = notes_of_pitch(tokens, np.array([durations], np.int32), f0, VOCABULARY, FRAMES_PER_SEC)
    midi, sec = (np.asarray(x)[0] for x in found)
    return midi.tolist(), np.round(sec * FRAMES_PER_SEC).astype(int).tolist()


def test_a_note_begins_with_its_vowel_and_ends_with_the_next():
    symbols, durations = "SP k a s i N SP", [8, 3, 20, 4, 10, 6, 8]
    midi, frames = notes(symbols, durations, [50, 51, 60, 61, 62, 64, 40])
    assert midi == [0, 60, 60, 62, 62, 64, 0]
    # A rest reaches to the vowel after its consonants, a consonant is of the note it leads to.
    assert frames == [11, 24, 24, 10, 10, 6, 8]


def test_what_leads_to_no_vowel_is_of_the_note_before_and_a_rest_parts_phrases():
    midi, frames = notes("a s AP k i SP", [10, 4, 5, 3, 9, 8], [57, 57, 57, 65, 65, 65])
    assert midi == [57, 57, 0, 65, 65, 0]
    assert frames == [14, 14, 8, 9, 9, 8]


def test_a_key_is_the_vowels_mean_pitch_rounded():
    wave = 60.2 + 0.5 * np.sin(np.arange(40))
    tokens = np.array([[1, 4, 1]], np.int32)
    pitch = np.concatenate([np.full(8, 30.0), wave, np.full(8, 90.0)])
    f0 = midi_to_hz(pitch)[None].astype(np.float32)
    durations = np.array([[8, 40, 8]], np.int32)
    midi, _ = notes_of_pitch(tokens, durations, f0, VOCABULARY, FRAMES_PER_SEC)
    assert np.asarray(midi)[0].tolist() == [0, round(wave.mean()), 0]


def test_consonants_without_any_vowel_have_no_note():
    midi, frames = notes("SP s SP", [8, 20, 8], [60, 60, 60])
    assert midi == [0, 0, 0] and frames == [28, 0, 8]
