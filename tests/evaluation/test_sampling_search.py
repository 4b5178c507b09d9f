"""The search finds the setting that its criterion names, with a voice whose answers are known."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffsinger_jax.evaluation.sampling_search import SamplingSetting, search
from diffsinger_jax.types import MelSpec

SPEC = MelSpec(n_mels=20)


class Corpus:
    def source(self, split):
        assert split == "validation"
        rng = np.random.default_rng(0)
        ints = {"tokens": [1], "slur": [0], "onset": [1], "language": [0], "ph_frames": [60]}
        return [
            {
                "name": "song#0",
                "speaker": 0,
                **{name: np.array(value, np.int32) for name, value in ints.items()},
                "f0": np.full(60, 200, np.float32),
                "mel": rng.normal(-2, 0.3, (60, 20)).astype(np.float32),
            }
        ]


class Voice:
    """Half the recording's detail in its blurry mel; temperature brings detail, k brings errors."""

    info = types.SimpleNamespace(mel=SPEC)
    schedule = {"steps": 50}
    curves = ()

    def __init__(self, errors):
        self.errors = errors

    def sample_mel(self, batch, keys, *, k_step, steps=None, temperature=0.0):
        middle = jnp.asarray(batch.mel).mean(axis=(1, 2), keepdims=True)
        detail = 0.5 + 0.5 * temperature
        noise = jax.vmap(lambda key: jax.random.normal(key, batch.mel.shape[1:]))(keys)
        assert k_step == 0 or 1 <= steps <= min(k_step, 20)
        return middle + detail * (batch.mel - middle) + self.errors * k_step * noise


@pytest.mark.parametrize(
    "errors,expected",
    [(0.0, {"temperature": 1.0}), (0.002, {"temperature": 1.0, "k_step": 5})],
)
def test_detail_nearest_to_the_recordings_is_chosen(errors, expected):
    setting, rows = search(Voice(errors), Corpus(), k_steps=(5, 40, 80), temperatures=(0.4, 1.0))
    assert {name: getattr(setting, name) for name in expected} == expected
    assert "auxiliary mel" in rows and len(rows) == 1 + 2 * 2  # k = 80 is beyond the schedule


def test_where_all_are_too_far_off_the_nearest_is_chosen():
    setting, _ = search(Voice(0.5), Corpus(), k_steps=(5, 40), temperatures=(0.4,))
    assert setting == SamplingSetting(5, 5, 0.4)
