"""Labels and notes to phonemes with notes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from diffsinger_jax.corpus.align import align, match_notes
from diffsinger_jax.corpus.nuclei import is_nucleus
from diffsinger_jax.corpus.songs import Label, SungNote


def labels_of(*rows):
    """("a", 0.5), ... one after the other."""
    ends = np.cumsum([sec for _, sec in rows])
    return [Label(s, float(e - sec), float(e)) for (s, sec), e in zip(rows, ends, strict=True)]


def align_ja(labels, notes):
    nuclei = [i for i, x in enumerate(labels) if is_nucleus(x.symbol, "ja")]
    return align(labels, nuclei, notes)


def test_consonants_have_the_note_of_their_vowel_and_rests_last_to_the_next_onset():
    labels = labels_of(("SP", 0.9), ("k", 0.1), ("a", 0.45), ("s", 0.05), ("o", 0.5), ("SP", 1.0))
    notes = [SungNote(1.0, 1.5, 60.0), SungNote(1.5, 2.0, 62.0)]
    song = align_ja(labels, notes)
    assert [p.symbol for p in song] == ["SP", "k", "a", "s", "o", "SP"]
    assert [p.midi for p in song] == [0, 60, 60, 62, 62, 0]
    assert [p.onset for p in song] == [True, False, True, False, True, True]
    np.testing.assert_allclose([p.note_sec for p in song], [1.0, 0.5, 0.5, 0.5, 0.5, 1.0])


def test_a_vowel_over_two_notes_is_split_where_the_second_begins():
    labels = labels_of(("SP", 1.0), ("a", 1.0), ("SP", 0.5))
    song = align_ja(labels, [SungNote(1.0, 1.6, 60.0), SungNote(1.6, 2.0, 64.0)])
    assert [(p.symbol, p.midi, p.slur, p.onset) for p in song[1:3]] == [
        ("a", 60, False, True),
        ("a", 64, True, True),
    ]
    assert song[1].end_sec == song[2].start_sec == pytest.approx(1.6)


def test_of_two_vowels_on_one_note_only_the_first_is_the_onset():
    labels = labels_of(("SP", 1.0), ("a", 0.4), ("i", 0.4), ("t", 0.1), ("o", 0.5), ("SP", 0.5))
    song = align_ja(labels, [SungNote(1.0, 1.9, 60.0), SungNote(1.9, 2.4, 64.0)])
    assert [p.midi for p in song] == [0, 60, 60, 64, 64, 0]
    assert [p.onset for p in song] == [True, True, False, False, True, True]


def test_a_closure_ends_the_note_before_it_and_a_consonant_before_a_rest_too():
    labels = labels_of(
        ("SP", 1.0), ("a", 0.4), ("cl", 0.1), ("t", 0.1), ("e", 0.4), ("cl", 0.1), ("SP", 0.5)
    )
    song = align_ja(labels, [SungNote(1.0, 1.6, 60.0), SungNote(1.6, 2.0, 64.0)])
    assert [p.midi for p in song] == [0, 60, 60, 64, 64, 64, 0]
    assert not any(p.onset for p in song if p.symbol in ("cl", "t"))


def test_without_notes_each_vowel_has_one_up_to_the_next_onset():
    labels = labels_of(("SP", 1.0), ("k", 0.1), ("a", 0.4), ("n", 0.1), ("o", 0.5), ("SP", 1.0))
    song = align_ja(labels, None)
    assert [p.midi for p in song] == [0, None, None, None, None, 0]
    np.testing.assert_allclose([p.note_sec for p in song], [1.1, 0.5, 0.5, 0.5, 0.5, 1.0])


@pytest.mark.parametrize("seed", range(5))
def test_matching_finds_who_is_sung_on_what_when_singers_are_a_bit_off(seed):
    rng = np.random.default_rng(seed)
    notes, vowels, truth, now = [], [], [], 0.0
    for _ in range(30):
        kind = rng.choice(["one", "slur", "share"], p=[0.8, 0.1, 0.1])
        length, jitter = rng.uniform(0.3, 0.9), rng.uniform(-0.02, 0.02)
        first = len(notes)
        if kind == "slur":
            notes += [SungNote(now, now + length, 60), SungNote(now + length, now + 2 * length, 62)]
            vowels.append(Label("a", now + jitter, now + 2 * length))
            truth.append([first, first + 1])
            now += 2 * length
        else:
            notes.append(SungNote(now, now + length, 60))
            cuts = [now + jitter, now + length / 2, now + length][:: 1 if kind == "share" else 2]
            for start, end in itertools.pairwise(cuts):
                vowels.append(Label("a", start, end))
                truth.append([first])
            now += length
    assert match_notes(vowels, notes) == truth


def test_every_note_and_vowel_is_matched_whatever_the_times():
    rng = np.random.default_rng(1)
    for _ in range(20):
        starts = [np.sort(rng.uniform(0, 5, n)) for n in rng.integers(1, 9, 2)]
        vowels = [Label("a", s, s + 0.2) for s in starts[0]]
        notes = [SungNote(s, s + 0.2, 60) for s in starts[1]]
        matched = match_notes(vowels, notes)
        assert len(matched) == len(vowels) and all(matched)
        flat = [j for js in matched for j in js]
        assert flat == sorted(flat) and set(flat) == set(range(len(notes)))
