import numpy as np
import pytest

from diffsinger_jax.metrics.measures import merge
from diffsinger_jax.metrics.patches import Auc, patch_auc, patch_features, train_classifier
from tests.metrics.mels import SPEC, blurred, noisy, random_mel


def auc(spoil):
    """Trained on one pair of mels, applied to another."""
    everywhere = np.ones(2000, bool)
    recording, sample = random_mel(0, 2000), spoil(random_mel(1, 2000))
    classifier = train_classifier(
        *(patch_features(mel, everywhere, SPEC) for mel in (recording, sample))
    )
    return patch_auc(classifier, random_mel(2, 2000), spoil(random_mel(3, 2000)), SPEC).compute()


def test_another_sample_cannot_be_told_from_recordings():
    assert auc(lambda mel: mel) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("spoil", [blurred, noisy])
def test_what_is_blurred_or_noisy_can(spoil):
    assert auc(spoil) > 0.9


def test_the_area_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(0)
    recordings, samples = rng.integers(0, 9, 30), rng.integers(2, 11, 40)
    pairs = samples[:, None] - recordings[None, :]
    expected = np.mean((pairs > 0) + 0.5 * (pairs == 0))
    assert Auc(tuple(recordings), tuple(samples)).compute() == pytest.approx(expected)
    assert np.isnan(Auc().compute())


def test_it_adds_up_over_songs():
    both = merge(Auc((1.0,), (2.0, 0.5)), Auc((3.0,), (4.0,)))
    assert both == Auc((1.0, 3.0), (2.0, 0.5, 4.0))


def test_the_level_of_a_patch_says_nothing():
    mel = random_mel(0)
    everywhere = np.ones(len(mel), bool)
    louder = patch_features(mel + 0.5, everywhere, SPEC)
    np.testing.assert_allclose(louder, patch_features(mel, everywhere, SPEC), atol=1e-9)
