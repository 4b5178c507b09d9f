"""Songs cut at rests, and the frames of their phonemes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sung import make_song

from diffsinger_jax.corpus.align import align
from diffsinger_jax.corpus.features import SongFeatures
from diffsinger_jax.corpus.nuclei import is_nucleus, is_rest
from diffsinger_jax.corpus.pieces import EDGE_REST_SEC, cut_song, make_example
from diffsinger_jax.corpus.songs import SungSong
from diffsinger_jax.types import MEL_SPECS, Vocabulary

SPEC = MEL_SPECS["24k_hop256"]


def song_of(count, **kwargs):
    labels, notes = make_song([60 + n % 5 for n in range(count)], **kwargs)
    nuclei = [i for i, x in enumerate(labels) if is_nucleus(x.symbol, "ja")]
    return align(labels, nuclei, notes)


@pytest.mark.parametrize("max_piece_sec", [3.0, 6.0, 12.0])
@pytest.mark.parametrize("rest_sec", [0.15, 0.3, 2.0])
def test_pieces_begin_and_end_with_rests_and_hold_every_sung_phoneme_once(max_piece_sec, rest_sec):
    song = song_of(40, rest_sec=rest_sec)
    pieces = cut_song(song, max_piece_sec)
    for piece in pieces:
        assert is_rest(piece[0].symbol) and is_rest(piece[-1].symbol)
        assert piece[0].duration_sec <= EDGE_REST_SEC and piece[-1].duration_sec <= EDGE_REST_SEC
        assert piece[-1].end_sec - piece[0].start_sec <= max_piece_sec
    sung = [p for piece in pieces for p in piece if not is_rest(p.symbol)]
    assert sung == [p for p in song if not is_rest(p.symbol)]
    for before, after in zip(pieces, pieces[1:], strict=False):
        assert before[-1].end_sec <= after[0].start_sec + 1e-9


def test_what_cannot_be_cut_stays_whole():
    song = song_of(40, phrase=40)
    assert len(cut_song(song, 5.0)) == 1


@pytest.mark.parametrize("note_sec", [0.4, 0.137, 0.0913])
def test_durations_sum_to_the_frames_and_boundaries_do_not_drift(note_sec):
    song = song_of(12, note_sec=note_sec, rest_sec=0.31)
    frames = int(song[-1].end_sec * SPEC.frames_per_sec) + 2
    features = SongFeatures(
        np.zeros((frames, 80), np.float32), np.arange(frames, dtype=np.float32), 0.0, 1, 0.5, 0
    )
    vocabulary = Vocabulary(tuple(sorted({p.symbol for p in song})), ("x",), ("ja",))
    whole = SungSong("s", "s", None, (), song, "x", "ja")
    for piece in cut_song(song, 6.0):
        example = make_example("s#1", piece, whole, features, SPEC, vocabulary)
        assert example["ph_frames"].sum() == len(example["f0"]) == len(example["mel"])
        assert example["ph_frames"].min() >= 1
        assert example["onset"][0] == 1
        start = example["f0"][0]  # here f0 is the number of the frame
        ends = start + np.cumsum(example["ph_frames"])
        np.testing.assert_allclose(
            ends, [p.end_sec * SPEC.frames_per_sec for p in piece], atol=0.501 + 1e-6
        )


def test_a_phoneme_of_no_length_gets_a_frame_of_its_neighbour():
    song = list(song_of(4))
    song[1] = dataclasses.replace(song[1], start_sec=song[2].start_sec - 1e-4)
    song[0] = dataclasses.replace(song[0], end_sec=song[1].start_sec)
    features = SongFeatures(np.zeros((400, 80), np.float32), np.zeros(400, np.float32), 0, 1, 0, 0)
    vocabulary = Vocabulary(tuple(sorted({p.symbol for p in song})), ("x",), ("ja",))
    whole = SungSong("s", "s", None, (), tuple(song), "x", "ja")
    example = make_example("s#1", song, whole, features, SPEC, vocabulary)
    assert example["ph_frames"][1] == 1 and example["ph_frames"].sum() == len(example["f0"])
