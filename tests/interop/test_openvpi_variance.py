"""openvpi's variance configs as settings of our model, and every parameter's place in its files."""

import flax.traverse_util
import numpy as np
import pytest
from small_variance import MODEL, TRUNK, small_variance_model

from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.flat_config import FlatConfig
from diffsinger_jax.interop.openvpi.config import Names
from diffsinger_jax.interop.openvpi.phonemes import PhonemeTable
from diffsinger_jax.interop.openvpi.variance_config import variance_ranges, variance_settings
from diffsinger_jax.interop.openvpi.variance_names import variance_links
from diffsinger_jax.models.scaling import PITCH
from diffsinger_jax.models.variance_model import variance_model
from diffsinger_jax.types import Vocabulary
from diffsinger_jax.voices.variance import variance_shapes

NAMES = Names(PhonemeTable(("AP", "SP", "a"), (), ()), ("zh",), ("one",))
BACKBONE = {"num_layers": 2, "num_channels": 8, "dilation_cycle_length": 2}
CONFIG = {
    "hidden_size": 8,
    "enc_layers": 1,
    "predict_dur": True,
    "dur_prediction_args": {"num_layers": 2, "hidden_size": 8, "dropout": 0.1},
    "predict_pitch": True,
    "use_melody_encoder": True,
    "melody_encoder_args": {"hidden_size": 8, "enc_layers": 1},
    "pitch_prediction_args": {"repeat_bins": 4, "pitd_clip_max": 10.0, "backbone_args": BACKBONE},
    "predict_energy": True,
    "predict_tension": True,
    "variances_prediction_args": {"total_repeat_bins": 4, "backbone_args": BACKBONE},
    "tension_logit_max": 9.0,
}


def config(**changes):
    return FlatConfig({**CONFIG, **changes}, "config.yaml")


def test_a_config_becomes_a_model():
    found = variance_settings(config(), NAMES)
    assert found["durations"] == "fs2" and found["score_inputs"] == "words" and not found["scaled"]
    assert found["curves"] == ["energy", "tension"] and found["curve_settings"]["repeats"] == 2
    assert found["melody_settings"]["heads"] == 2 and "glides" not in found["melody_settings"]
    ranges = variance_ranges(config())
    assert ranges[PITCH] == (-8, 8, -12, 10) and ranges["tension"] == (-10, 9, -10, 9)
    assert ranges["energy"] == (-96, -12, -96, 0)
    given = variance_settings(config(predict_dur=False, use_melody_encoder=False), NAMES)
    assert given["durations"] == "none" and given["score_inputs"] == "durations"
    variance = variance_model(given, {"name": "linear", "steps": 4}, "eps", Vocabulary(("a",) * 3))
    assert "line_embedding" in variance_shapes(variance)


@pytest.mark.parametrize(
    "changes,said",
    [
        ({"variances_prediction_args": {"total_repeat_bins": 5, "backbone_args": BACKBONE}}, "5, "),
        ({"dur_prediction_args": {"log_offset": 0.5}}, "log_offset is 0.5"),
        ({"melody_encoder_args": {"hidden_size": 9, "enc_layers": 1}}, "9 is no multiple"),
        ({"pitch_prediction_args": {"backbone_type": "unet"}}, "backbone_type is 'unet'"),
    ],
)
def test_what_is_wrong_in_a_config_is_one_sentence(changes, said):
    with pytest.raises(InputError, match=said):
        variance_settings(config(**changes), NAMES)


@pytest.mark.parametrize("durations", ["fs2", "resnet"])
@pytest.mark.parametrize("trunk", ["wavenet", "lynxnet2"])
def test_every_parameter_has_its_tensors_both_ways(durations, trunk):
    settings = TRUNK if trunk == "wavenet" else {
        "trunk": "lynxnet2", "repeats": 2, "channels": 8, "layers": 1, "kernel_size": 3
    }  # fmt: skip
    variance = small_variance_model(
        durations=durations,
        voicing_settings={},
        stretch=True,
        melody_settings={**MODEL["melody_settings"], "glides": 2},
        pitch_settings=settings,
        curves=("energy",),
        curve_settings=settings,
    )
    model = variance.model
    shapes = flax.traverse_util.flatten_dict(variance_shapes(variance), sep="/")
    cached = {"pitch_trunk": True, "curve_trunk": False}
    links = variance_links(shapes, model, "velocity", cached=cached)
    rng, seen = np.random.default_rng(0), set()
    assert {link.ours for link in links} == set(shapes)
    for link in links:
        value = rng.normal(size=shapes[link.ours].shape)
        tensors = link.to_theirs(value)
        assert not seen & tensors.keys()
        seen |= tensors.keys()
        assert {n: x.shape for n, x in tensors.items()} == link.shapes(value.shape)
        assert np.array_equal(link.to_ours(tensors), value)
    with pytest.raises(KeyError):
        variance_links(["voicing_out/dense/kernel"], model, "velocity", cached=cached)
