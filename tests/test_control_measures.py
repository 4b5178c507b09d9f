"""What benchmarks/controls.py hears of a control, on sounds where it is known."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import controls  # noqa: E402

from diffsinger_jax.audio.augmentation import augmented_frames  # noqa: E402
from diffsinger_jax.audio.mel import log_mel  # noqa: E402
from diffsinger_jax.types import MEL_SPECS, Vocabulary  # noqa: E402

SPEC = MEL_SPECS["24k_hop256"]
WORDS = Vocabulary(("SP", "s", "a"))
F0 = 220.0


def vowel(tilt=1.0, noise=0.0, formant_hz=800.0, seconds=0.6, f0=F0):
    """Harmonics with a formant, falling off by `tilt`, and white noise."""
    time = np.arange(int(seconds * SPEC.sample_rate)) / SPEC.sample_rate
    wav = noise * np.random.default_rng(0).normal(size=len(time))
    for order in range(1, int(SPEC.fmax / f0)):
        heard = order**-tilt / (1 + ((order * f0 - formant_hz) / 150) ** 2)
        wav += 0.1 * (heard + 1e-3) * np.sin(2 * np.pi * order * f0 * time)
    return wav.astype(np.float32)


def pair(wav, f0=F0):
    mel = log_mel(wav, SPEC)
    return {"f0": np.full(len(mel), f0)}, mel


@pytest.mark.parametrize("name", ["24k_hop256", "44k_hop512"])
def test_twice_the_amplitude_is_six_decibels(name):
    spec, wav = MEL_SPECS[name], vowel()
    levels = [
        controls.level_db(({"f0": np.ones(len(mel))}, mel), spec)
        for mel in (log_mel(wav, spec), log_mel(2 * wav, spec))
    ]
    assert levels[1] - levels[0] == pytest.approx(6.02, abs=0.05)


def test_noise_between_the_harmonics_and_harmonics_above_are_heard():
    quiet, breathy = (controls.aperiodic_db(pair(vowel(noise=n)), SPEC) for n in (1e-4, 3e-2))
    assert quiet < -15 and breathy > quiet + 3
    lax, tense = (controls.high_share_db(pair(vowel(tilt=t)), SPEC) for t in (2.0, 0.5))
    assert tense > lax + 3
    low = pair(vowel(f0=110.0), 110.0)
    assert np.isnan(controls.aperiodic_db(low, SPEC))  # its harmonics are one for a mel


def test_a_formant_that_moves_is_found_where_it_went():
    before, up = pair(vowel()), 2.0 ** (4 / 12)
    after = pair(vowel(formant_hz=800.0 * up))
    assert controls.envelope_shift(before, after, SPEC) == pytest.approx(4, abs=1.5)
    assert controls.envelope_shift(after, before, SPEC) == pytest.approx(-4, abs=1.5)
    assert controls.envelope_shift(before, before, SPEC) == 0.0


def test_a_consonant_that_is_sung_faster_is_shorter():
    noise = 0.05 * np.random.default_rng(0).normal(size=int(0.2 * SPEC.sample_rate))
    wav = np.concatenate([noise.astype("f4"), vowel(seconds=0.4)])
    frames = int(0.5 * SPEC.frames_per_sec)
    lasts, ways = [], []
    for speed in (1.0, 1.6):
        mel = augmented_frames(wav, SPEC, 0, frames, speed=speed)
        example = {"tokens": [2, 3], "ph_frames": np.array([20, frames - 20])}
        example = {**example, "f0": np.full(frames, F0)}
        lasts.append(controls.consonant_sec((example, mel), SPEC, WORDS))
        ways.append(controls.way_sec((example, mel), SPEC, WORDS))
    assert ways[1] < 0.9 * ways[0]
    assert lasts[0] == pytest.approx(0.2, abs=0.03) and lasts[1] < 0.75 * lasts[0]


def test_controls_are_moved_in_their_units():
    example = {"energy": np.full(3, -30.0), "speed": np.ones(3)}
    assert np.all(controls.moved(example, "energy", 6.0)["energy"] == -24.0)
    assert np.all(controls.moved(example, "speed", 1.5)["speed"] == 1.5)
