"""Alignment of made-up sound: boundaries are found where they were put."""

import numpy as np
import pytest

from diffsinger_jax.audio.wav import write_wav
from diffsinger_jax.corpus.align_texts import align_texts
from diffsinger_jax.corpus.forced_alignment import align_phones
from diffsinger_jax.corpus.speech import find_utterances, spoken_song

PHONES = ("AA1", "S", "IY0", "M")


def made_up(rng, with_rest):
    """(mel, phones, frames) of a recording: each phone has an envelope of its own."""
    envelopes = np.random.default_rng(5).normal(size=(5, 40)) * 2.0
    order = rng.permutation(4)
    symbols = ["SP", *(PHONES[i] for i in order[:2]), "SP", *(PHONES[i] for i in order[2:]), "SP"]
    kinds = [4, *order[:2], 4, *order[2:], 4]
    frames = rng.integers(8, 30, len(kinds))
    frames[3] *= with_rest
    rows = np.repeat(envelopes[kinds], frames, axis=0)
    return rows + 0.3 * rng.normal(size=rows.shape), symbols, frames


def test_boundaries_are_found_and_rests_are_left_out_where_nobody_pauses():
    rng = np.random.default_rng(0)
    made = [made_up(rng, with_rest=n % 2) for n in range(24)]
    found = align_phones([m for m, _, _ in made], [s for _, s, _ in made], iterations=12)
    off = []
    for durations, (mel, _, frames) in zip(found, made, strict=True):
        assert durations.sum() == len(mel)
        off.append(np.abs(np.cumsum(durations) - np.cumsum(frames)))
    # Slopes look two frames ahead and back.
    assert np.median(off) <= 2 and np.max(off) <= 4
    assert all(durations[3] == 0 for durations in found[0::2])
    assert all(durations[3] >= 4 for durations in found[1::2])


def test_a_recording_that_is_too_short_is_cut_evenly():
    (durations,) = align_phones([np.zeros((4, 40))], [["SP", "AA1", "SP"]], iterations=2)
    assert durations.sum() == 4


def test_texts_become_textgrids_that_the_corpus_reads(tmp_path):
    rate, rng = 16_000, np.random.default_rng(1)
    for name in ("a", "b"):
        wav = 0.1 * rng.normal(size=rate).astype(np.float32)
        write_wav(tmp_path / f"{name}.wav", wav, rate)
        (tmp_path / f"{name}.txt").write_text("Hello, world.", "utf-8")
    written = align_texts(
        find_utterances(tmp_path), lambda w: ("AA1",) if w == "hello" else ("S", "IY0"), 2
    )
    assert [path.name for path in written] == ["a.TextGrid", "b.TextGrid"]
    for utterance in find_utterances(tmp_path):
        song = spoken_song(utterance, "en")
        assert not song.faults and not song.doubts
        assert [p.symbol for p in song.phonemes if p.symbol != "SP"] == ["AA1", "S", "IY0"]
        assert song.phonemes[-1].end_sec == pytest.approx(1.0)
