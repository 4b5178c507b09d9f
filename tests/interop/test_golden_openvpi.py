"""openvpi/DiffSinger's numbers: slices that travel with the tests."""

import json
from pathlib import Path

import flax.traverse_util
import numpy as np
import pytest
from golden_acoustic import batch_of, bins_first, frames_first, seeing_padding
from golden_measure import BOUND
from golden_muon import step_differences

from diffsinger_jax.corpus.info import corpus_info_from_dict
from diffsinger_jax.models.acoustic import acoustic_model

HERE = Path(__file__).parent


def read_slice(name):
    """(model, params, cases) of a part of a model that travels with the tests."""
    with np.load(HERE / f"{name}.npz") as arrays:
        cases = dict(arrays)
    described = json.loads(str(cases.pop("description")))
    params = {
        tuple(key.split("/")[1:]): value
        for key, value in cases.items()
        if key.startswith("params/")
    }
    info = corpus_info_from_dict(described["corpus"], name)
    acoustic = acoustic_model(described["model"], described["schedule"], described["process"], info)
    return seeing_padding(acoustic).model, flax.traverse_util.unflatten_dict(params), cases


def require_near(ours, theirs):
    assert np.abs(np.asarray(ours) - theirs).max() <= BOUND * np.ptp(theirs)


@pytest.mark.parametrize("mix", [False, True])
def test_the_condition_of_a_slice_agrees(mix):
    model, params, cases = read_slice("openvpi_acoustic_reflow_lynxnet")
    batch = batch_of(cases, model.curves, mix)
    ours = model.apply({"params": params}, cases["out_encoder_out"], batch, method="condition")
    require_near(ours, cases["out_decoder_inp_spk_mix" if mix else "out_decoder_inp"])


def test_one_call_of_a_slices_trunk_agrees():
    model, params, cases = read_slice("openvpi_acoustic_reflow_lynxnet2")
    x, cond = frames_first(cases["in_backbone_x"]), cases["out_decoder_inp"]
    prior, mask = np.zeros((*cond.shape[:2], model.mel_bins), "f4"), cases["in_mel2ph"] > 0
    arguments = x, cases["in_backbone_step"], cond, prior, mask
    ours = model.apply({"params": params}, *arguments, method="denoise")
    require_near(bins_first(ours), cases["out_backbone"])


def test_three_steps_of_muon_agree():
    with np.load(HERE / "openvpi_muon.npz") as recorded:
        found = step_differences(dict(recorded))
    assert len(found) == 36
    assert all(difference <= bound for difference, bound in found.values())
