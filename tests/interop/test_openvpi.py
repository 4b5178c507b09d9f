"""What an openvpi/DiffSinger experiment says in its files."""

import json

import pytest
import yaml

from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.flat_config import FlatConfig
from diffsinger_jax.interop.openvpi.config import mel_range, model_settings, read_names
from diffsinger_jax.interop.openvpi.phonemes import phoneme_table

DICTIONARIES = {"ja": ["a", "k", "sh", "cl"], "zh": ["a", "b", "sh"]}


def test_ids_are_sorted_names_and_a_merged_group_is_its_first():
    table = phoneme_table(
        DICTIONARIES, ["cl"], [["zh/a", "ja/a"], ["zh/sh", "ja/sh"], ["ja/k", "zh/b"]], "here"
    )
    assert table.names == ("AP", "SP", "cl", "ja/a", "ja/k", "ja/sh")
    assert table.merged == (("ja/a", "zh/a"), ("ja/k", "zh/b"), ("ja/sh", "zh/sh"))
    assert table.cross_lingual == (4, 5, 6)
    alone = phoneme_table({"zh": ["b", "a"]}, [], [], "here")
    assert alone.names == ("AP", "SP", "a", "b") and alone.cross_lingual == ()


def test_groups_that_overlap_are_one():
    table = phoneme_table(DICTIONARIES, [], [["ja/a", "zh/a"], ["zh/a", "zh/b"]], "here")
    assert ("ja/a", "zh/a", "zh/b") in table.merged


@pytest.mark.parametrize(
    "dictionaries,groups,said",
    [
        ({"ja": ["a/b"]}, [], "the dictionary of ja has the phoneme 'a/b'"),
        (DICTIONARIES, [["ja/x", "zh/a"]], "merged_phoneme_groups has 'ja/x'"),
    ],
)
def test_what_gives_no_ids_is_one_sentence(dictionaries, groups, said):
    with pytest.raises(InputError, match=said):
        phoneme_table(dictionaries, [], groups, "here")


def experiment(folder, **config):
    (folder / "dictionary-ja.txt").write_text("ka\tk a\n")
    (folder / "lang_map.json").write_text(json.dumps({"ja": 1}))
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return FlatConfig({"dictionaries": {"ja": "x"}, **config}, folder / "config.yaml")


def test_a_key_that_is_missing_is_the_behaviour_of_before(tmp_path):
    config = experiment(
        tmp_path, hidden_size=8, enc_layers=2, residual_layers=3, residual_channels=4,
        dilation_cycle_length=2, use_energy_embed=True,
    )  # fmt: skip
    found = model_settings(config, read_names(config, tmp_path))
    assert (found["trunk"], found["denoiser_layers"], found["dilation_cycle"]) == ("wavenet", 3, 2)
    assert found["curves"] == ["energy"] and not found["scaled_curves"] and not found["stretch"]
    assert found["auxiliary"] == "none" and found["positions"] == "sinusoid"
    rotary = FlatConfig({**config.values, "use_rope": True, "rel_pos": True}, config.path)
    blocks = model_settings(rotary, read_names(config, tmp_path))["encoder_settings"]
    assert blocks["block_settings"]["rotary"] == "interleaved"


@pytest.mark.parametrize(
    "changes,said",
    [
        ({"f0_embed_type": "discrete"}, "f0_embed_type is 'discrete'"),
        ({"backbone_type": "unet"}, "backbone_type is 'unet', this program knows wavenet"),
        ({"use_rope": True, "num_heads": 4}, "no multiple of num_heads 4 times 2"),
        ({"ffn_act": "tanh"}, "ffn_act is 'tanh'"),
    ],
)
def test_settings_that_are_unknown_here_are_one_sentence(tmp_path, changes, said):
    config = experiment(
        tmp_path, hidden_size=12, enc_layers=1, residual_layers=1, residual_channels=4,
        dilation_cycle_length=1, **changes,
    )  # fmt: skip
    with pytest.raises(InputError, match=said):
        model_settings(config, read_names(config, tmp_path))


def test_without_its_dictionary_nothing_is_read(tmp_path):
    config = FlatConfig({"dictionaries": {"zh": "x"}}, tmp_path / "config.yaml")
    with pytest.raises(InputError, match="has no dictionary-zh.txt"):
        read_names(config, tmp_path)


def test_the_mels_range_is_one_number_or_one_for_each_bin(tmp_path):
    path = tmp_path / "config.yaml"
    low, high = mel_range(FlatConfig({"spec_min": [-12], "spec_max": [0]}, path), 3)
    assert low.tolist() == [-12] * 3 and high.tolist() == [0] * 3
    with pytest.raises(InputError, match="expected one number or 3"):
        mel_range(FlatConfig({"spec_min": [-12, -1], "spec_max": [0]}, path), 3)
    with pytest.raises(InputError, match="does not lie below"):
        mel_range(FlatConfig({"spec_min": [1], "spec_max": [0]}, path), 3)
