"""What a vocoder folder says of its mel, and what is done about it."""

import dataclasses
import json

import numpy as np
import pytest

from diffsinger_jax.errors import InputError
from diffsinger_jax.pitch import fill_unvoiced
from diffsinger_jax.synthesis.rendering import open_renderer
from diffsinger_jax.types import MEL_SPECS
from diffsinger_jax.voices.vocoder_spec import (
    log_factor,
    read_vocoder_spec,
    require_same_mel,
)

HIFI_GAN = {
    "sampling_rate": 44100, "hop_size": 512, "win_size": 2048, "n_fft": 2048, "num_mels": 128,
    "fmin": 40, "fmax": 16000,
}  # fmt: skip


def write_config(folder, **changes):
    config = {name: v for name, v in {**HIFI_GAN, **changes}.items() if v != "left out"}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def test_the_community_vocoder_reads_the_community_mel(tmp_path):
    assert read_vocoder_spec(write_config(tmp_path)) == MEL_SPECS["44k_hop512"]


def test_no_upper_edge_means_up_to_the_top(tmp_path):
    assert read_vocoder_spec(write_config(tmp_path, fmax=None)).fmax == 22_050


def test_every_field_that_differs_is_named():
    with pytest.raises(InputError, match=r"sample_rate: 24000 here, 44100 there; hop: 128 here"):
        require_same_mel(MEL_SPECS["24k_hop128"], MEL_SPECS["44k_hop512"], "nsf")
    require_same_mel(MEL_SPECS["44k_hop512"], MEL_SPECS["44k_hop512"], "nsf")


def test_only_the_base_of_the_logarithm_may_differ():
    natural = MEL_SPECS["44k_hop512"]
    common = dataclasses.replace(natural, log_base="10")
    require_same_mel(common, natural, "nsf")
    assert log_factor(common, natural) == pytest.approx(np.log(10))
    assert log_factor(natural, common) == pytest.approx(1 / np.log(10))
    assert log_factor(natural, natural) == 1
    for field in dataclasses.fields(natural):
        if field.name == "log_base":
            continue
        value = getattr(natural, field.name)
        other = {field.name: "other" if isinstance(value, str) else value + 1}
        with pytest.raises(InputError, match=f"{field.name}: "):
            require_same_mel(natural, dataclasses.replace(common, **other), "nsf")


def test_unvoiced_stretches_are_filled_on_a_line():
    f0 = np.array([0, 200, 0, 0, 0, 800, 0], np.float32)
    filled = fill_unvoiced(f0)
    np.testing.assert_allclose(filled, [200, 200, 200 * 2**0.5, 400, 400 * 2**0.5, 800, 800])
    assert filled.dtype == np.float32
    np.testing.assert_array_equal(fill_unvoiced(0 * f0), 0 * f0)


def test_a_fitting_folder_of_another_program_is_told_how_to_become_ours(tmp_path):
    with pytest.raises(InputError, match="import vocoder model.ckpt"):
        open_renderer(write_config(tmp_path), MEL_SPECS["44k_hop512"])
    with pytest.raises(InputError, match="sample_rate: 24000 here"):
        open_renderer(tmp_path, MEL_SPECS["24k_hop128"])


@pytest.mark.parametrize(
    "changes, said",
    [({"hop_size": "left out"}, "has no hop_size"), ({"fmin": "low"}, "fmin is 'low'")],
)
def test_a_broken_config_is_one_sentence(tmp_path, changes, said):
    with pytest.raises(InputError, match=said):
        read_vocoder_spec(write_config(tmp_path, **changes))


def test_a_file_that_is_not_json_is_one_sentence(tmp_path):
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read"):
        read_vocoder_spec(tmp_path)
