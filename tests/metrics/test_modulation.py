import numpy as np
import pytest

from diffsinger_jax.metrics.measures import merge_all
from diffsinger_jax.metrics.modulation import BAND_EDGES_HZ, band_powers_db, modulation
from diffsinger_jax.types import MelSpec
from tests.metrics.mels import SPEC, blurred, noisy, random_mel


def compute(true, predicted):
    return {name: m.compute() for name, m in modulation(true, predicted, SPEC).items()}


def test_equal_mels_have_no_distance():
    assert compute(random_mel(0), random_mel(0)) == {
        "modulation_distance": 0,
        "modulation_excess": 0,
    }


def test_blur_falls_short_and_noise_overshoots():
    true = random_mel(0)
    short, over = compute(true, blurred(true)), compute(true, noisy(true, 0.4))
    assert short["modulation_excess"] < -3 and over["modulation_excess"] > 3
    assert short["modulation_distance"] > 3 and over["modulation_distance"] > 3


def test_another_sample_of_the_same_distribution_is_near():
    true = random_mel(0, frames=2000)
    assert compute(true, random_mel(1, frames=2000))["modulation_distance"] < 1.5


@pytest.mark.parametrize("hop", [128, 256])
def test_a_band_holds_the_variance_of_what_moves_in_it(hop):
    spec = MelSpec(hop=hop)
    t = np.arange(round(0.64 * spec.frames_per_sec)) / spec.frames_per_sec
    for band in range(1, len(BAND_EDGES_HZ) - 1):
        # On a frequency of the transform, within the band with its neighbours.
        rate = round(np.mean(BAND_EDGES_HZ[band : band + 2]) * 0.64) / 0.64
        wave_db = 4 * np.sin(2 * np.pi * rate * t)
        powers = band_powers_db(np.tile(wave_db[:, None] / 20, (1, spec.n_mels)), spec)
        # The window leaves a sixth of it to each neighbour, perhaps in another band.
        np.testing.assert_allclose(powers[:, band], 10 * np.log10(4**2 / 2), atol=0.9)
        assert np.all(np.delete(powers, band, axis=1) < powers[:, [band]] - 5)


def test_it_adds_up_over_songs():
    pairs = [(random_mel(i), noisy(random_mel(i), 0.1 * i)) for i in (1, 2)]
    parts = [modulation(*pair, SPEC) for pair in pairs]
    merged = merge_all(parts)["modulation_distance"]
    assert merged.n == sum(part["modulation_distance"].n for part in parts)
    np.testing.assert_allclose(merged.true, sum(part["modulation_distance"].true for part in parts))


def test_where_nothing_is_long_enough_there_is_no_number():
    assert all(np.isnan(value) for value in compute(random_mel(0, 20), random_mel(1, 20)).values())
