"""How a batch is shown to the denoiser in training."""

import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.tasks.acoustic.regularizers import Regularizers, slow_errors

KEY = jax.random.key(3)
LENGTHS = np.array([40, 9, 16, 25])
MASK = jnp.asarray(np.arange(40) < LENGTHS[:, None])
NUMBERED = jnp.broadcast_to(jnp.arange(40.0)[None, :, None], (4, 40, 1))


def crop(key, rows, mask, *arrays):
    return Regularizers(crop_frames=16).crop(key, rows, mask, *arrays)


def test_a_crop_is_a_stretch_of_the_piece_and_reaches_all_of_it():
    starts = []
    for seed in range(200):
        mask, cut = crop(jax.random.key(seed), jnp.arange(4), MASK, NUMBERED)
        start = np.asarray(cut[:, 0, 0])
        np.testing.assert_array_equal(cut[..., 0], start[:, None] + np.arange(16))
        np.testing.assert_array_equal(mask.sum(axis=1), np.minimum(LENGTHS, 16))
        starts.append(start)
    np.testing.assert_array_equal(np.min(starts, axis=0), 0)
    np.testing.assert_array_equal(np.max(starts, axis=0), [24, 0, 0, 9])


def test_a_row_is_cut_alike_whatever_stands_beside_it():
    _, all_rows = crop(KEY, jnp.arange(4), MASK, NUMBERED)
    _, last = crop(KEY, jnp.arange(3, 4), MASK[3:], NUMBERED[3:])
    np.testing.assert_array_equal(all_rows[3:], last)
    longer = jnp.pad(MASK, ((0, 0), (0, 8))), jnp.pad(NUMBERED, ((0, 0), (0, 8), (0, 0)))
    np.testing.assert_array_equal(crop(KEY, jnp.arange(4), *longer)[1], all_rows)
    short = crop(KEY, jnp.arange(4), MASK[:, :16], NUMBERED[:, :16])
    np.testing.assert_array_equal(short[1], NUMBERED[:, :16])


def test_slow_errors_are_standard_normal_at_their_cells_and_straight_between():
    rows = jnp.arange(300)
    errors = np.asarray(slow_errors(KEY, rows, (21, 12)))
    assert errors.shape == (300, 21, 12)
    cells = errors[:, ::8, ::8]
    np.testing.assert_allclose([cells.mean(), cells.std()], [0.0, 1.0], atol=0.08)
    bends = np.abs(np.diff(errors, n=2, axis=1)).max(axis=(0, 2))
    np.testing.assert_array_equal(bends > 1e-4, (np.arange(1, 20) % 8) == 0)
    np.testing.assert_array_equal(errors[7:8], slow_errors(KEY, rows[7:8], (21, 12)))


def test_errors_are_on_the_prior_alone_and_as_large_as_asked_for():
    cond, prior = jnp.ones((400, 16, 4)), jnp.zeros((400, 16, 8))
    shown, wrong = Regularizers(prior_error=0.5).show(KEY, jnp.arange(400), cond, prior)
    np.testing.assert_array_equal(shown, cond)
    size = np.asarray(wrong[:, 0, 0])
    assert 0.2 < size.std() < 0.4  # 0.5 / sqrt(3) = 0.29
    assert 0.1 < np.std(np.abs(size)) / np.mean(np.abs(size)) and np.abs(size).max() < 2.0
