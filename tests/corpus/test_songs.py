"""Splits by song."""

from __future__ import annotations

from pathlib import Path

import pytest

from diffsinger_jax.corpus.rows import song_of
from diffsinger_jax.corpus.songs import SungSong, assign_splits
from diffsinger_jax.errors import InputError


def songs(*names):
    return [SungSong(n, song_of(n), Path(n), (), (), "x", "ja") for n in names]


def test_stretches_of_a_song_go_to_the_same_split():
    splits = assign_splits(songs("a_1", "a_2", "b_1", "b_2", "c#0001"), ["b"], ["c"])
    assert splits == dict(
        [("a_1", "train"), ("a_2", "train"), ("b_1", "test"), ("b_2", "test")],
        **{"c#0001": "validation"},
    )


def test_a_prefix_of_part_of_a_song_holds_out_nothing_and_is_named():
    with pytest.raises(InputError, match="'zz'.*test split"):
        assign_splits(songs("a_1", "b_1"), ["zz"], [])
    with pytest.raises(InputError, match="'a_1'"):
        assign_splits(songs("a_1", "a_2", "b_1"), ["a_1"], [])


def test_splits_may_not_overlap():
    with pytest.raises(InputError, match="claimed by"):
        assign_splits(songs("ab", "ac", "d"), ["a"], ["ab"])


def test_a_corpus_may_be_all_test():
    assert assign_splits(songs("ab", "ac"), ["a"], []) == {"ab": "test", "ac": "test"}
