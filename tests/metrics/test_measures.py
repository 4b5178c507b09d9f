import numpy as np
import pytest

from diffsinger_jax.metrics import measures as metrics
from diffsinger_jax.types import MelSpec

SPEC = MelSpec()  # 80 bins, log10


def mel_of(seed, frames=60):
    rng = np.random.default_rng(seed)
    mel = rng.normal(-2.0, 0.3, (frames, SPEC.n_mels))
    mel[:10] = -5.0  # silence
    return mel


def compute(measures):
    return {name: measure.compute() for name, measure in measures.items()}


def test_mcd_is_the_distance_in_db_of_smooth_spectra():
    """A ripple of cosine 5 and a dB amplitude: the distance is its RMS, in dB of amplitude."""
    true = mel_of(0)
    ripple = np.cos(np.pi * 5 * (np.arange(80) + 0.5) / 80)
    for amplitude_db in (1.0, 6.0):
        predicted = true + amplitude_db / 20 * ripple  # log10 of amplitude
        rms_db = amplitude_db * np.sqrt(np.mean(ripple**2))
        assert metrics.mcd(true, predicted, SPEC).compute() == pytest.approx(rms_db)


def test_mcd_by_the_formula():
    true, predicted = mel_of(0), mel_of(1)
    m = np.arange(80)
    total = []
    for t in range(10, 60):
        squares = 0.0
        for n in range(1, 14):
            basis = np.cos(np.pi * n * (m + 0.5) / 80)
            c, c_hat = (2 / 80 * np.log(10) * (x[t] @ basis) for x in (true, predicted))
            squares += (c - c_hat) ** 2
        total.append(10 / np.log(10) * np.sqrt(2 * squares))
    assert metrics.mcd(true, predicted, SPEC).compute() == pytest.approx(np.mean(total))
    assert metrics.mcd(true, predicted, SPEC).n == 50


def test_mcd_does_not_hear_loudness_but_log_base():
    true = mel_of(0)
    assert metrics.mcd(true, true + 0.3, SPEC).compute() == pytest.approx(0, abs=1e-9)
    natural = MelSpec(log_base="e")
    assert metrics.mcd(true * np.log(10), mel_of(1) * np.log(10), natural).compute() == (
        pytest.approx(metrics.mcd(true, mel_of(1), SPEC).compute())
    )


def test_dtw_forgives_time():
    phase = np.cumsum(np.random.default_rng(0).uniform(0, 0.4, 60))  # a ripple that walks
    true = -2 + 0.5 * np.cos(np.arange(80) / 8 + phase[:, None])
    late = np.concatenate([np.repeat(true[:1], 4, axis=0), true[:-4]])
    assert metrics.mcd_dtw(true, true, SPEC).compute() == 0
    assert (
        metrics.mcd_dtw(true, late, SPEC).compute() < 0.3 * metrics.mcd(true, late, SPEC).compute()
    )
    slow = np.repeat(true, 2, axis=0)
    assert metrics.mcd_dtw(true, slow, SPEC).compute() == pytest.approx(0)


def test_detail_is_one_for_itself_and_scales():
    true = mel_of(0)
    assert compute(metrics.detail(true, true, SPEC)) == {"detail_time": 1, "detail_frequency": 1}
    blurred = compute(metrics.detail(true, 0.5 * true, SPEC))
    assert list(blurred.values()) == pytest.approx([0.5, 0.5])
    smeared = np.repeat(true[::4], 4, axis=0)
    assert metrics.detail(true, smeared, SPEC)["detail_time"].compute() < 0.5
    assert metrics.detail(true, smeared, SPEC)["detail_frequency"].compute() == pytest.approx(
        1, abs=0.1
    )


def test_silence_counts_for_nothing():
    true, predicted = mel_of(0), mel_of(1)
    noisy = predicted.copy()
    noisy[:10] = np.random.default_rng(2).normal(size=(10, 80))
    assert metrics.mcd(true, noisy, SPEC) == metrics.mcd(true, predicted, SPEC)
    assert metrics.detail(true, noisy, SPEC) == metrics.detail(true, predicted, SPEC)


def test_pitch():
    true = np.array([0, 0, 220, 220, 440, 440, 220, 330, 0.0])
    predicted = np.array([0, 100, 220, 220, 440, 440, 440, 0, 0]) * np.array(
        [1, 1, 1, 2 ** (30 / 1200), 1, 2 ** (-90 / 1200), 1, 1, 1]
    )
    measured = compute(metrics.pitch(true, predicted))
    assert measured["vuv_error"] == 2 / 9
    # An octave that the tracker mistook is counted, and is in no mean.
    assert measured["f0_gross_error"] == 1 / 5
    assert measured["f0_fine_rmse_cents"] == pytest.approx(np.sqrt((30**2 + 90**2) / 4))
    assert measured["f0_median_cents"] == pytest.approx(30)
    assert measured["f0_within_50_cents"] == 3 / 5
    x, y = [0, 0, 1200, 1200], [0, 30, 1200, 1110]
    assert measured["f0_correlation"] == pytest.approx(np.corrcoef(x, y)[0, 1])


def test_the_residual_correlation_is_1_for_the_truth_and_0_for_noise():
    rng = np.random.default_rng(0)
    true, auxiliary = rng.normal(-2, 0.1, (2, 200, 80))
    noise = auxiliary + rng.normal(0, 0.1, true.shape)
    halfway = (true + auxiliary) / 2
    values = [
        metrics.residual_correlation(true, mel, auxiliary, SPEC).compute()
        for mel in (true, halfway, noise)
    ]
    assert values == pytest.approx([1, 1, 0], abs=0.03)


def test_durations():
    measured = compute(metrics.durations(np.array([10, 20]), np.array([13.0, 16.0]), SPEC))
    assert measured["duration_error_ms"] == pytest.approx(3.5 / 187.5 * 1000)
    assert measured["duration_rmse_frames"] == pytest.approx(np.sqrt(12.5))


def test_any_split_gives_the_same():
    rng = np.random.default_rng(0)
    true = np.where(rng.random(90) < 0.2, 0, rng.uniform(100, 400, 90))
    predicted = np.where(rng.random(90) < 0.2, 0, true * rng.uniform(0.9, 1.1, 90))
    whole = compute(metrics.pitch(true, predicted))
    for cut in (0, 1, 37, 90):
        parts = [
            metrics.pitch(a, b)
            for a, b in zip(*(np.split(x, [cut]) for x in (true, predicted)), strict=True)
        ]
        assert compute(metrics.merge_all(parts)) == pytest.approx(whole)


def test_measured_on_nothing_is_nan():
    nothing = compute(metrics.pitch(np.zeros(5), np.zeros(5)))
    assert nothing.pop("vuv_error") == 0
    assert all(np.isnan(value) for value in nothing.values())


def test_sounds_apart():
    rng = np.random.default_rng(0)
    wav = rng.normal(0, 0.1, 6000)
    assert metrics.stft_distance(wav, wav).compute() == 0
    # Twice as loud: |X - 2 X| / |X| = 1, and the logarithms are ln 2 apart.
    assert metrics.stft_distance(wav, 2 * wav).compute() == pytest.approx(1 + np.log(2), rel=1e-3)
    assert metrics.stft_distance(wav, np.zeros(6000)).compute() > 2


def test_mels_apart_in_natural_logarithms():
    spec = MelSpec(n_mels=4)
    mel = np.zeros((3, 4))
    assert metrics.mel_distance(mel, mel - 2, spec).compute() == pytest.approx(2 * np.log(10))
