"""The reference's numbers: slices that travel with the tests."""

import json
from pathlib import Path

import flax.traverse_util
import jax.numpy as jnp
import numpy as np
import pytest
from golden_reference import BOUND, BOUNDS, model_differences

from diffsinger_jax.corpus.info import corpus_info_from_dict
from diffsinger_jax.models.acoustic import acoustic_model
from diffsinger_jax.old_names import renamed
from diffsinger_jax.voices.sampling import sampling_from_dict

HERE = Path(__file__).parent
SLICES = sorted(HERE.glob("golden_*.npz"))


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
    require_near(model_differences(acoustic, params, cases, sampling))


def test_the_slices_stay_small():
    assert len(SLICES) == 5 and sum(file.stat().st_size for file in SLICES) < 3_000_000
