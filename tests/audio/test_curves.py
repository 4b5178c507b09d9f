"""Control curves and augmented mels: their properties, and openvpi/DiffSinger's numbers."""

from pathlib import Path

import numpy as np
import pytest

from diffsinger_jax.audio.augmentation import augmented_mel, speed_of_hop
from diffsinger_jax.audio.curves import (
    Separation,
    extract_curves,
    level_db,
    resample_curve,
    separate,
    smooth,
    tension,
)
from diffsinger_jax.audio.f0 import interpolate_f0
from diffsinger_jax.audio.mel import frame_count, log_mel
from diffsinger_jax.types import MEL_SPECS

SPEC = MEL_SPECS["44k_hop512"]
HERE = Path(__file__).parent
F0_HZ = 10 * SPEC.sample_rate / SPEC.win  # whole periods in a window


@pytest.fixture(scope="module")
def golden():
    with np.load(HERE / "golden_curves.npz") as arrays:
        return dict(arrays)


def near(ours, theirs, bound=1e-5):
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= bound * (theirs.max() - theirs.min())


def voice(harmonics, breath=0.0, seconds=0.5):
    """Harmonics of these amplitudes, and white noise."""
    times = np.arange(int(seconds * SPEC.sample_rate)) / SPEC.sample_rate
    noise = breath * np.random.default_rng(0).standard_normal(len(times))
    tones = [a * np.sin(2 * np.pi * F0_HZ * k * times) for k, a in enumerate(harmonics, 1)]
    wav = sum(tones) + noise
    return wav, np.full(frame_count(len(wav), SPEC), F0_HZ)


def test_the_curves_are_openvpis(golden):
    wav, f0 = golden["in_wav"], golden["in_f0_raw"]
    parts = Separation(golden["in_harmonic_wav"], np.zeros_like(golden["in_harmonic_wav"]))
    curves = extract_curves(wav, f0, SPEC, separation=parts)
    near(curves["energy"], golden["out_energy_0.06"])
    near(curves["voicing"], golden["out_voicing"])
    near(curves["tension"], golden["out_tension"])
    near(tension(parts.harmonic, f0, SPEC), golden["out_tension_raw"])
    near(interpolate_f0(f0), golden["out_f0_interp"])
    near(smooth(level_db(wav, len(f0), SPEC), 10), golden["out_energy_0.12"])


def test_augmented_mels_are_openvpis(golden):
    for key_shift, speed in ((2, 0.8), (-4, 1)):
        theirs = golden[f"out_mel_key{key_shift:+d}_speed{speed}"]
        ours = augmented_mel(golden["in_wav"], SPEC, key_shift=key_shift, speed=speed)
        near(ours[:, ::4], theirs)


def test_resampled_curves_are_openvpis(golden):
    for name, theirs in golden.items():
        if name.startswith("out_curve_ts"):
            step, count = name.removeprefix("out_curve_ts").split("_n")
            ours = resample_curve(golden["in_curve"], float(step), int(count), SPEC.frames_per_sec)
            near(ours, theirs)


def test_an_augmented_mel_without_augmentation_is_the_mel(golden):
    np.testing.assert_allclose(
        augmented_mel(golden["in_wav"], SPEC), log_mel(golden["in_wav"], SPEC), atol=1e-4
    )
    assert speed_of_hop(SPEC, 1.37) == 701 / 512


def test_levels_add_up_in_decibels_and_reach_eighty_below_the_loudest():
    wav, f0 = voice([0.3])
    level = level_db(wav, len(f0), SPEC)
    middle = slice(5, -5)
    np.testing.assert_allclose(level[middle], 20 * np.log10(0.3 / np.sqrt(2)), atol=1e-6)
    np.testing.assert_allclose(
        level_db(2 * wav, len(f0), SPEC), level + 20 * np.log10(2), atol=1e-9
    )
    wav[len(wav) // 2 :] = 0.0
    half = level_db(wav, len(f0), SPEC)
    assert half.min() == half.max() - 80.0


@pytest.mark.parametrize("second", [0.05, 0.3])
def test_tension_is_the_share_of_what_lies_above_the_fundamental(second):
    wav, f0 = voice([0.3, second])
    ratio = second / np.hypot(0.3, second)
    middle = tension(wav, f0, SPEC)[8:-8]
    np.testing.assert_allclose(middle, np.log(ratio / (1 - ratio)), atol=0.01)


def test_the_separation_parts_breath_from_voice():
    clean, f0 = voice([0.3, 0.2, 0.1])
    breathy, _ = voice([0.3, 0.2, 0.1], breath=0.1)

    def rms(x):
        return np.sqrt(np.mean(x[4096:-4096] ** 2))

    quiet, loud = separate(clean, f0, SPEC), separate(breathy, f0, SPEC)
    assert rms(loud.aperiodic) > 5 * rms(quiet.aperiodic)
    np.testing.assert_allclose(rms(loud.harmonic), rms(clean), rtol=0.3)
    again = separate(breathy, f0, SPEC)
    np.testing.assert_array_equal(loud.aperiodic, again.aperiodic)


def test_smoothing_keeps_what_is_constant_and_the_length():
    assert smooth(np.zeros(0), 5).shape == (0,)
    for width in (0, 2, 3, 5, 10):
        np.testing.assert_allclose(smooth(np.full(7, 3.0), width), 3.0)


def test_f0_is_filled_in_on_the_log_scale_and_held_at_its_ends():
    filled = interpolate_f0(np.array([0, 100.0, 0, 400.0, 0]))
    np.testing.assert_allclose(filled, [100, 100, 200, 400, 400])
    assert not interpolate_f0(np.zeros(3)).any()
