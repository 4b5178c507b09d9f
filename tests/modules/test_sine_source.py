"""The vocoder's sines: on pitch after ten minutes, smooth over frame borders."""

import jax
import numpy as np
import pytest

from diffsinger_jax.modules.sine_source import HARMONICS, HarmonicSource, cycles, sine_source

RATE, HOP, INNER = 44_100, 512, 64
INNER_RATE = RATE * INNER / HOP


def exact_cycles(f0, rate, n, *, glide):
    """The formula of `cycles` in float64, nothing taken modulo anything."""
    step = np.asarray(f0, np.float64)[..., None] / rate
    place = np.arange(1, n + 1)
    inside = step * place
    if glide:
        change = np.diff(step, axis=1, append=step[:, -1:])
        inside = inside + change * place * (place - 1) / (2 * n)
    start = np.cumsum(inside[..., -1:], axis=1) - inside[..., -1:]
    return (start + inside).reshape(len(step), -1)


def wrapped(x):
    return x - np.round(x)


@pytest.mark.parametrize("rate, n, glide", [(RATE, HOP, False), (INNER_RATE, INNER, True)])
def test_ten_minutes_at_440_hz(rate, n, glide):
    frames = round(600 * RATE / HOP)
    places = np.array([0, n // 3, n - 1])  # of every frame

    def at_places(f0):
        phase = cycles(f0, sample_rate=rate, samples_per_frame=n, glide=glide)
        return phase.reshape(-1, n)[:, places]

    ours = np.asarray(jax.jit(at_places)(np.full((1, frames), 440.0, np.float32)), np.float64)
    seconds = (np.arange(frames)[:, None] * n + places + 1) / rate
    error = np.unwrap(wrapped(ours - 440.0 * seconds).ravel(), period=1.0)
    drift, start = np.polyfit(seconds.ravel(), error, 1)  # cycles per second
    assert abs(1200 * np.log2(1 + drift / 440)) < 1e-3  # cents; 0.1 is asked for
    noise = error - (start + drift * seconds.ravel())
    assert np.abs(noise).max() < 4e-6  # cycles: -92 dB
    minute = len(noise) // 10
    assert noise[-minute:].std() < 1.2 * noise[:minute].std()


def sweep(frames=200):
    """An octave up and down with vibrato, f32[1, T]."""
    t = np.arange(frames)
    cents = 1200 * np.sin(2 * np.pi * t / frames) + 60 * np.sin(2 * np.pi * t / 15)
    return (330 * 2 ** (cents / 1200)).astype(np.float32)[None]


def click(wave, reference, n):
    """Largest error of the second difference around frame borders, and over all samples."""
    error = np.abs(np.diff(np.asarray(wave, np.float64), 2) - np.diff(reference, 2))
    border = np.arange(n, len(wave) - 2, n)
    return max(error[border - 2].max(), error[border - 1].max(), error[border].max()), error.max()


def test_a_sweep_has_no_clicks_at_frame_borders():
    f0 = sweep()
    ours = jax.jit(lambda f: sine_source(f, sample_rate=INNER_RATE, samples_per_frame=INNER))(f0)
    phase = exact_cycles(f0, INNER_RATE, INNER, glide=True)[0]
    at_border, anywhere = click(ours[0, :, 0], np.sin(2 * np.pi * phase), INNER)
    assert anywhere < 3e-5 and at_border < 3e-5
    # And the formula itself moves smoothly: its frequency has no step.
    hz = np.diff(phase) * INNER_RATE
    assert np.abs(np.diff(hz)).max() < 1.1 * np.abs(np.diff(f0)).max() / INNER + 1e-6


def test_harmonics_have_no_clicks_either():
    f0 = sweep()
    source = HarmonicSource(RATE, HOP)
    params = {"kernel": np.ones((HARMONICS + 1, 1), np.float32), "bias": np.zeros(1, np.float32)}
    ours = jax.jit(lambda f: source.apply({"params": params}, f, None))(f0)
    phase = exact_cycles(f0, RATE, HOP, glide=False)[0]
    waves = 0.1 * np.sin(2 * np.pi * phase[:, None] * np.arange(1, HARMONICS + 2))
    at_border, anywhere = click(ours[0, :, 0], np.tanh(waves.sum(axis=1)), HOP)
    assert anywhere < 1e-4 and at_border < 1e-4  # nine sines, the ninth with nine times the error


def test_what_is_random_follows_from_the_key_and_stays_when_a_row_grows():
    source = HarmonicSource(RATE, 8)
    f0 = np.array([[220.0, 230.0, 0.0, 0.0, 180.0]], np.float32)
    params = {"kernel": np.full((HARMONICS + 1, 1), 0.3, np.float32), "bias": np.zeros(1, "f4")}

    @jax.jit
    def render(seed, f0):
        return source.apply({"params": params}, f0, jax.random.key(seed))

    one, longer = render(1, f0), render(1, np.pad(f0, ((0, 0), (0, 3))))
    np.testing.assert_array_equal(one, render(1, f0))
    assert np.abs(one - render(2, f0)).max() > 1e-3
    np.testing.assert_allclose(longer[:, : one.shape[1]], one, atol=1e-6)
