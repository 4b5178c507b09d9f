"""The reference's numbers: slices that travel with the tests, and whole folders where they lie."""

import json
import os
from pathlib import Path

import flax.traverse_util
import jax.numpy as jnp
import numpy as np
import pytest
from golden import BOUND, BOUNDS, differences, import_folder

from diffsinger_jax.corpus.info import corpus_info_from_dict
from diffsinger_jax.diffusion.schedule import make_schedule
from diffsinger_jax.interop.schedule_buffers import schedule_buffers
from diffsinger_jax.models.acoustic import acoustic_model
from diffsinger_jax.old_names import renamed
from diffsinger_jax.voices.sampling import sampling_from_dict

HERE = Path(__file__).parent
SLICES = sorted(HERE.glob("golden_*.npz"))
SHARED = Path(os.environ.get("DIFFSINGER_GOLDEN", HERE.parents[2] / "shared" / "golden"))
"""A folder of golden folders; any checkpoint of the four kinds with its cases.npz will do."""
FOLDERS = sorted(file.parent for file in SHARED.glob("*/phone_set.json"))


def require_near(found):
    assert found
    too_far = {n: d for n, d in found.items() if not d <= BOUNDS.get(n, BOUND)}
    assert not too_far, too_far


@pytest.mark.parametrize("file", SLICES, ids=lambda file: file.stem)
def test_slices_agree(file):
    with np.load(file) as arrays:
        cases = dict(arrays)
    described = json.loads(str(cases.pop("description")))
    params = flax.traverse_util.unflatten_dict(
        {
            tuple(name.split("/")[1:]): jnp.asarray(value)
            for name, value in cases.items()
            if name.startswith("params/")
        }
    )
    info = corpus_info_from_dict(described["corpus"], file.name)
    sampling = sampling_from_dict(renamed(described)["sampling"], file.name)
    acoustic = acoustic_model(described["model"], described["schedule"], "eps", info)
    require_near(differences(acoustic, params, cases, sampling))


@pytest.mark.slow
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_whole_folders_agree(folder):
    pytest.importorskip("torch")
    done = import_folder(folder)
    voice = done.voice
    with np.load(folder / "cases.npz") as arrays:
        cases = dict(arrays)
    found = differences(voice.acoustic, voice.params, cases, voice.sampling)
    require_near(found)
    buffers = schedule_buffers(make_schedule(voice.schedule))
    for name in (n for n in cases if n.startswith("out_schedule_")):
        ours = buffers[name.removeprefix("out_schedule_")]
        np.testing.assert_allclose(ours, cases[name], rtol=1e-6, atol=1e-7)
    recorded = {name.removeprefix("out_") for name in cases if name.startswith("out_")}
    inputs = {"x0", "eps", "t", "p_sample_noise", "ddpm_noise", "pndm10_noise", "pred_mel2ph"}
    compared_elsewhere = {"pred_f0_denorm"} | {n for n in recorded if n.startswith("schedule_")}
    assert recorded - inputs - compared_elsewhere == set(found)


def test_the_slices_stay_small():
    assert len(SLICES) == 5 and sum(file.stat().st_size for file in SLICES) < 3_000_000
