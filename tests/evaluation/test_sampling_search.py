"""The search finds the setting that its criterion names, with a voice whose answers are known."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffsinger_jax.diffusion.processes import straight_path
from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.diffusion.schedule import linear_schedule
from diffsinger_jax.errors import InputError
from diffsinger_jax.evaluation import sampling_search
from diffsinger_jax.evaluation.sampling_search import CRITERIA, search
from diffsinger_jax.types import MelSpec

SPEC = MelSpec(n_mels=20)


class Corpus:
    def source(self, split):
        assert split == "validation"
        rng = np.random.default_rng(0)
        ints = {"tokens": [1], "slur": [0], "onset": [1], "language": [0], "ph_frames": [200]}
        return [
            {
                "name": "song#0",
                "speaker": 0,
                **{name: np.array(value, np.int32) for name, value in ints.items()},
                "f0": np.full(200, 200, np.float32),
                "mel": rng.normal(-2, 0.3, (200, 20)).astype(np.float32),
            }
        ]


class Voice:
    """Half the detail in its auxiliary mel; temperature brings detail, k brings errors."""

    info = types.SimpleNamespace(mel=SPEC)
    path = linear_schedule(50).path
    sampling = Sampling(10, 10, temperature=0.0)
    curves = predicted_curves = ()
    speaks = False

    def __init__(self, errors):
        self.errors = errors

    def sample_mel(self, batch, keys, sampling):
        k_step, temperature = sampling.k_step, sampling.temperature
        middle = jnp.asarray(batch.mel).mean(axis=(1, 2), keepdims=True)
        detail = 0.5 + 0.5 * temperature
        noise = jax.vmap(lambda key: jax.random.normal(key, batch.mel.shape[1:]))(keys)
        assert k_step == 0 or 1 <= sampling.steps <= min(k_step, 20)
        return middle + detail * (batch.mel - middle) + self.errors * k_step * noise


@pytest.fixture(autouse=True)
def without_dnsmos(monkeypatch):
    monkeypatch.setattr(sampling_search.dnsmos, "installed", lambda: False)


@pytest.mark.parametrize(
    "errors,expected",
    [
        (0.0, {"temperature": 1.0}),
        (0.0005, {"temperature": 1.0, "k_step": 5}),
        (0.5, {"k_step": 0, "temperature": 0.0}),
    ],
)
def test_neither_the_blurred_nor_the_noisy_setting_is_chosen(errors, expected):
    setting, rows = search(Voice(errors), Corpus(), k_steps=(0, 5, 40, 80), temperatures=(0.4, 1))
    assert {name: getattr(setting, name) for name in expected} == expected
    assert "auxiliary mel" in rows and len(rows) == 1 + 2 * 2  # k = 80 is beyond the schedule


def test_a_flow_is_tried_from_shares_of_its_path(monkeypatch):
    voice = Voice(0.0)
    voice.path, voice.sampling = straight_path(), Sampling(0.6, 7, "euler")
    tried = []

    def remembered(voice, examples, sampling, **how):
        tried.append(sampling)
        return {"nsim": 0.7, "modulation_distance": 1.0 + sampling.k_step}

    monkeypatch.setattr(sampling_search, "measure_mels", remembered)
    setting, _ = search(voice, Corpus(), temperatures=(1.0,))
    assert [s.k_step for s in tried] == list(sampling_search.DEPTHS)
    assert {s.steps for s in tried[1:]} == {7} and setting.k_step == 0


def test_no_audible_noise_then_the_least_modulation_distance():
    auxiliary = {"dnsmos_ovrl": 3.0, "modulation_distance": 5.0}
    rows = {
        "auxiliary": auxiliary,
        "better": {"dnsmos_ovrl": 2.99, "modulation_distance": 2.0},
        "noisy": {"dnsmos_ovrl": 2.5, "modulation_distance": 1.0},
        "noisier": {"dnsmos_ovrl": 2.0, "modulation_distance": 0.5},
    }
    order = sorted(rows, key=lambda name: CRITERIA["dnsmos"](rows[name], auxiliary))
    assert order == ["better", "auxiliary", "noisy", "noisier"]


def test_noise_on_a_blurred_mel_is_not_taken_for_the_movement_that_it_lacks():
    auxiliary = {"nsim": 0.7, "modulation_distance": 3.2}  # as the shipped voice's are
    rows = {
        "sharper": {"nsim": 0.695, "modulation_distance": 3.1},
        "auxiliary": auxiliary,
        "a little noise": {"nsim": 0.67, "modulation_distance": 2.1},
        "much noise": {"nsim": 0.54, "modulation_distance": 1.9},
    }
    order = sorted(rows, key=lambda name: CRITERIA["modulation"](rows[name], auxiliary))
    assert order == list(rows)


def test_without_dnsmos_the_modulation_spectrum_decides():
    assert sampling_search.default_criterion() == "modulation"


def test_a_k_beyond_the_schedule_is_one_sentence():
    with pytest.raises(InputError, match="0 to 50 for this voice, got 80"):
        search(Voice(0.0), Corpus(), k_steps=(80,))
