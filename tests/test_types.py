"""The arithmetic of a mel representation."""

import numpy as np
import pytest

from diffsinger_jax.types import MEL_SPECS


@pytest.mark.parametrize("name", MEL_SPECS)
def test_logarithms_of_a_representation_say_the_same_of_amplitudes(name):
    spec, amplitude = MEL_SPECS[name], np.array([1e-4, 0.5, 2.0])
    mel = spec.log(amplitude)
    np.testing.assert_allclose(spec.natural_log(mel), np.log(amplitude))
    np.testing.assert_allclose(spec.log_base_ln * mel, np.log(amplitude))
    np.testing.assert_allclose(spec.decibels(mel), 20 * np.log10(amplitude))
    assert spec.decibels(spec.silence) == pytest.approx(20 * np.log10(spec.log_floor))


@pytest.mark.parametrize("name", MEL_SPECS)
def test_frames_seconds_and_samples(name):
    spec = MEL_SPECS[name]
    assert spec.seconds(spec.frames(1.5)) == pytest.approx(1.5)
    assert spec.samples(10) == pytest.approx(spec.seconds(10) * spec.sample_rate)
    assert spec.sec_per_frame == pytest.approx(1 / spec.frames_per_sec)
    halves = [spec.nearest_frame((frame + 0.5001) * spec.sec_per_frame) for frame in range(3)]
    assert halves == [1, 2, 3]
