"""Places of a mel: told apart by what the auxiliary mel shows, with the spread that they have."""

import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.diffusion.places import (
    GROUPS,
    HEIGHTS,
    MOVEMENTS,
    VARIANCES,
    frame_features,
    local_height,
    measure_places,
)

BINS, FRAMES = 24, 4800


def comb():
    """f64[T, D] from -1 between harmonics to 1 on them; they rise by a bin in 40 frames."""
    return np.cos(2 * np.pi * (np.arange(BINS) - np.arange(FRAMES)[:, None] / 40) / 6)


def harmonics(seed):
    """A comb over the bins, whose loudness moves more and more, after a silence; f32[T, D]."""
    rng = np.random.default_rng(seed)
    mel = 0.3 * comb()
    mel += 0.01 * np.repeat([1, 3, 9], FRAMES // 3)[:, None] * rng.normal(size=(FRAMES, 1))
    mel[:600] -= 2.0
    return mel.astype(np.float32)


def measured(residual, mel):
    """The table of one piece."""
    features = (*frame_features(jnp.asarray(mel[None])), local_height(jnp.asarray(mel[None])))
    return measure_places([residual], *(np.asarray(x[0]) for x in features))


def test_frames_are_grouped_by_level_and_movement():
    mel = harmonics(0)
    group = np.asarray(measured(np.ones_like(mel), mel).places(jnp.asarray(mel[None])).group[0])
    assert set(group[6:594]) <= set(range(MOVEMENTS, GROUPS)) and (group >= MOVEMENTS).sum() == 600
    assert np.median(group[800:1500]) < np.median(group[1800:3100]) < np.median(group[3400:])


def test_what_is_quieter_on_harmonics_is_known_to_be():
    mel, rng = harmonics(1), np.random.default_rng(2)
    spread = np.where(comb() > 0.5, 0.2, 1.0)
    table = measured((spread * rng.normal(size=mel.shape)).astype(np.float32), mel)
    assert table.variance.shape == (GROUPS, HEIGHTS, BINS)
    level = np.asarray(table.places(jnp.asarray(mel[None])).level[0])[600:]
    variance, inner = np.take(VARIANCES, level), comb()[600:]
    assert variance[inner > 0.8].mean() < 0.4 and variance[inner < 0].mean() > 1.0


def test_padding_with_zeros_changes_nothing():
    mel = jnp.asarray(harmonics(3))[None]
    table = measured(np.ones((FRAMES, BINS), np.float32), np.asarray(mel[0]))
    short, long = (
        jax.jit(table.places)(jnp.pad(mel, ((0, 0), (0, more), (0, 0)))) for more in (0, 40)
    )
    for plain, padded in zip(short, long, strict=True):
        np.testing.assert_array_equal(padded[:, :FRAMES], plain)
