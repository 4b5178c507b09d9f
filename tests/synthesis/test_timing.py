"""Whatever is predicted, the score's time grid holds."""

import numpy as np
import pytest

from diffsinger_jax.synthesis.timing import VOWEL_SHARE, fit_to_score


def random_piece(rng, crowded=False):
    """Stretches of one to four phonemes, the first of which fills."""
    sizes = rng.integers(1, 5, size=rng.integers(1, 12))
    starts = np.concatenate([np.arange(n) == 0 for n in sizes])
    low, high = (0, 4) if crowded else (6, 80)
    edges = np.concatenate([[0], np.cumsum(rng.integers(low, high, size=len(sizes)))])
    start_frames = np.repeat(edges[:-1], sizes)
    predicted = rng.exponential(12.0, size=len(starts)) - 1.0
    return predicted, starts, start_frames, int(edges[-1])


@pytest.mark.parametrize("seed", range(40))
def test_every_onset_is_where_the_score_has_it(seed):
    predicted, starts, start_frames, total = random_piece(np.random.default_rng(seed))
    frames = fit_to_score(
        predicted, starts=starts, fills=starts, start_frames=start_frames, total_frames=total
    )
    begins = np.cumsum(frames) - frames
    np.testing.assert_array_equal(begins[starts], start_frames[starts])
    assert frames.sum() == total
    assert frames.min() >= 1


@pytest.mark.parametrize("seed", range(40))
def test_crowded_notes_keep_the_grid_and_lose_phonemes_only_where_they_must(seed):
    predicted, starts, start_frames, total = random_piece(np.random.default_rng(seed), crowded=True)
    frames = fit_to_score(
        predicted, starts=starts, fills=starts, start_frames=start_frames, total_frames=total
    )
    assert frames.sum() == total
    stretch = np.cumsum(starts)
    for number in range(1, stretch[-1] + 1):
        inside = frames[stretch == number]
        assert (inside >= 1).all() or inside.sum() < len(inside)


def fit(predicted, fills, total):
    starts = np.arange(len(predicted)) == 0
    return fit_to_score(
        np.asarray(predicted, float),
        starts=starts,
        fills=np.asarray(fills, bool),
        start_frames=np.zeros(len(predicted), int),
        total_frames=total,
    )


def test_consonants_keep_their_predicted_length_and_the_vowel_takes_the_rest():
    np.testing.assert_array_equal(fit([30, 4, 6], [1, 0, 0], 50), [40, 4, 6])


def test_long_consonants_are_scaled_together_and_leave_the_vowel_its_share():
    frames = fit([10, 60, 30], [1, 0, 0], 50)
    assert frames[0] == VOWEL_SHARE * 50
    np.testing.assert_array_equal(frames[1:], [20, 10])


def test_vowels_of_one_note_share_by_prediction():
    np.testing.assert_array_equal(fit([10, 20, 3], [1, 1, 0], 63), [20, 40, 3])


def test_one_phoneme_fills_everything():
    np.testing.assert_array_equal(fit([3], [1], 17), [17])
    np.testing.assert_array_equal(fit([3], [1], 0), [0])


def test_the_vowel_survives_when_there_are_fewer_frames_than_phonemes():
    np.testing.assert_array_equal(fit([2, 9, 5], [1, 0, 0], 2), [1, 1, 0])
    np.testing.assert_array_equal(fit([2, 9, 5], [1, 0, 0], 1), [1, 0, 0])


def test_a_prediction_that_is_not_a_number_does_no_harm():
    assert fit([np.nan, 5, -3], [1, 0, 0], 40).sum() == 40


def test_a_piece_that_does_not_begin_with_an_onset_is_a_bug():
    with pytest.raises(ValueError, match="first phoneme"):
        fit_to_score(
            np.ones(2),
            starts=np.array([False, True]),
            fills=np.array([True, True]),
            start_frames=np.array([0, 3]),
            total_frames=9,
        )
