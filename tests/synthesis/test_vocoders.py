"""What a vocoder folder says of its mel."""

import json

import pytest

from diffsinger_jax.errors import InputError
from diffsinger_jax.synthesis.vocoders import (
    read_vocoder_spec,
    require_built_in,
    require_same_mel,
)
from diffsinger_jax.types import MEL_SPECS

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


def test_a_fitting_folder_is_still_not_supported(tmp_path):
    with pytest.raises(InputError, match="only the built-in vocoder"):
        require_built_in(MEL_SPECS["44k_hop512"], write_config(tmp_path))


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
