"""Notes on an axis of their own, the line that they make, and durations that fill their words."""

import numpy as np
import pytest
from random_batches import grow, random_batch

from diffsinger_jax.models.variance_inputs import notes_of_batch
from diffsinger_jax.modules.length_regulator import fit_to_words, word_of, word_sums
from diffsinger_jax.modules.melody import (
    ALL_RESTS_MIDI,
    Notes,
    fill_rests,
    note_line,
    sine_kernel,
    smooth_frames,
)


@pytest.mark.parametrize("width", [1, 5, 6])
def test_smoothing_is_a_convolution_with_edges_held(width):
    rng = np.random.default_rng(0)
    x, lengths = rng.normal(size=(2, 20)).astype("f4"), [20, 13]
    mask = np.arange(20)[None] < np.array(lengths)[:, None]
    kernel = sine_kernel(width)
    assert kernel.sum() == pytest.approx(1)
    ours = np.asarray(smooth_frames(x * mask, mask, kernel))
    back = (width - 1) // 2
    for row, length in enumerate(lengths):
        padded = np.pad(x[row, :length], (back, width - 1 - back), mode="edge")
        wanted = np.convolve(padded, kernel[::-1], mode="valid")
        np.testing.assert_allclose(ours[row, :length], wanted, atol=1e-6)
        assert not ours[row, length:].any()


def test_the_line_holds_each_note_and_moves_between_them():
    frames = np.array([[30, 20, 0]])
    notes = Notes(
        midi=np.array([[60.0, 64.0, -1.0]], "f4"),
        rest=np.zeros((1, 3), bool),
        frames=frames,
        glide=frames * 0,
        mel2note=np.concatenate([np.full(30, 1), np.full(20, 2), np.zeros(4)])[None].astype("i4"),
    )
    line = np.asarray(note_line(notes, 100.0))[0]
    assert np.allclose(line[:25], 60) and np.allclose(line[35:50], 64) and not line[50:].any()
    assert np.all(np.diff(line[:50]) >= -1e-5)


def test_rests_take_the_pitch_of_the_nearest_note_the_earlier_of_two():
    nan = np.nan
    assert fill_rests(np.array([nan, 60.0, nan, 64.0, nan, nan])).tolist() == [
        60, 60, 60, 64, 64, 64,
    ]  # fmt: skip
    assert fill_rests(np.array([nan, nan])).tolist() == [ALL_RESTS_MIDI] * 2


def test_the_notes_of_a_batch_are_its_onsets():
    batch = random_batch()
    notes = notes_of_batch(batch)
    for row in range(3):
        phonemes = int((batch.tokens[row] > 0).sum())
        firsts = np.flatnonzero(batch.onset[row, :phonemes])
        edges = np.append(firsts, phonemes)
        midi = batch.note_midi[row, firsts]
        count = len(firsts)
        assert np.asarray(notes.frames)[row, :count].tolist() == [
            int(batch.ph_frames[row, a:b].sum()) for a, b in zip(edges, edges[1:], strict=False)
        ]
        assert np.asarray(notes.rest)[row, :count].tolist() == (midi == 0).tolist()
        filled = fill_rests(np.where(midi > 0, midi, np.nan))
        assert np.asarray(notes.midi)[row, :count].tolist() == filled.tolist()
        assert np.all(np.asarray(notes.midi)[row, count:] == -1)
    more = notes_of_batch(grow(batch, frames=5, phonemes=3))
    assert np.array_equal(more.midi[:, : notes.midi.shape[1]], notes.midi)
    assert np.array_equal(more.mel2note[:, : notes.mel2note.shape[1]], notes.mel2note)


def test_durations_fill_their_words_up_to_rounding():
    onset = np.array([[1, 0, 1, 0, 0, 0], [0, 1, 0, 0, 1, 0]])
    word = np.asarray(word_of(onset))
    assert word.tolist() == [[1, 1, 2, 2, 2, 2], [1, 1, 1, 1, 2, 2]]
    frames = np.array([[1.0, 3.0, 0.2, 0.2, 0.4, 0.2], [2.0, 2.0, 2.0, 2.0, 0.0, 0.0]], "f4")
    wanted = np.array([[8, 10], [20, 7]])
    fitted = np.asarray(fit_to_words(frames, word, wanted))
    assert fitted.tolist() == [[2, 6, 2, 2, 4, 2], [5, 5, 5, 5, 0, 0]]
    assert np.asarray(word_sums(fitted.astype("f4"), word))[0, :2].tolist() == [8, 10]
