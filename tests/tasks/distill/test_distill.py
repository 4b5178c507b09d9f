"""Distillation of voices: who learns from what, and that a student is an ordinary voice."""

import jax
import numpy as np
import pytest
from diffsinger_jax.configs import distill, distill_pjs_small
from random_batches import (
    INFO,
    MODEL,
    SCHEDULE,
    random_batch,
    random_params,
    small_acoustic_model,
)

from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.engine.losses import row_numbers
from diffsinger_jax.engine.typed_config import as_dict
from diffsinger_jax.errors import InputError
from diffsinger_jax.tasks.distill.config import distill_config, with_teacher
from diffsinger_jax.tasks.distill.lessons import Plan
from diffsinger_jax.tasks.distill.losses import AVERAGE, TEACHER, distill_loss
from diffsinger_jax.voices.voice import Voice, save_voice


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """The folder of a voice that samples residuals from k = 5."""
    path = tmp_path_factory.mktemp("teacher")
    voice = Voice(
        name="teacher",
        info=INFO,
        model=MODEL,
        schedule=SCHEDULE,
        process="residual",
        sampling=Sampling(5, 5),
        dictionary="ja",
        params=random_params(small_acoustic_model()),
    )
    save_voice(path, voice)
    return str(path)


SMALL = dict(denoiser_layers=1, predictor_layers=1)


@pytest.mark.slow
def test_the_student_alone_learns_and_of_real_frames_alone():
    teacher, student = (
        small_acoustic_model(process=name, **SMALL) for name in ("residual", "consistency_residual")
    )
    params = dict(random_params(teacher))
    rng = np.random.default_rng(1)
    for name in (TEACHER, AVERAGE):
        moved = jax.tree.map(
            lambda x: x + 0.1 * rng.normal(size=x.shape).astype("f4"), params["denoiser"]
        )
        params[name] = {"denoiser": moved}
    loss_fn = distill_loss(student, teacher, Plan(8, 1, 4), method="consistency", distance="l2")

    @jax.jit
    def gradient(params, batch):
        def loss(params):
            parts = loss_fn.parts(params, batch, jax.random.key(0), row_numbers(batch), True)
            return parts["distillation"].compute(), parts["distillation"].count

        return jax.grad(loss, has_aux=True)(params)

    batch = random_batch()
    found, count = gradient(params, batch)
    assert count == 12 * batch.mask.sum()
    found.pop("prior_scale")  # of the process; not trained
    for name, of_part in found.items():
        moves = [bool(np.any(x)) for x in jax.tree.leaves(of_part)]
        assert any(moves) == (name == "denoiser"), name
    poisoned = batch._replace(mel=np.where(batch.mask[..., None], batch.mel, 9.0))
    again, _ = gradient(params, poisoned)
    jax.tree.map(np.testing.assert_array_equal, again["denoiser"], found["denoiser"])


def test_a_student_has_its_teacher_s_model_and_a_process_and_sampling_of_its_own(teacher):
    given = distill.get_config()
    given.start_from = teacher
    config = distill_config(with_teacher(as_dict(given)))
    sampling = config.voice_sampling
    assert config.process == "consistency_residual" and sampling.method == "consistency"
    assert (sampling.k_step, sampling.steps, sampling.start) == (5, 1, "auxiliary")
    assert config.plan == Plan(5, 1, 25) and config.model["hidden"] == MODEL["hidden"]


def test_a_student_of_the_voice_that_ships_is_a_flow():
    config = distill_config(with_teacher(as_dict(distill_pjs_small.get_config())))
    assert config.process == "velocity" and config.voice_sampling.method == "euler"
    assert config.plan == Plan(0.3, 1, 10) and config.model["trunk"] == "lynxnet2"


@pytest.mark.parametrize(
    "changes,said",
    [
        ({"start_from": ""}, "start_from is empty; name the voice that is to be the teacher"),
        ({"distill.method": "reflow"}, "'reflow', but the teacher's process 'residual' is not"),
        ({"start_from": "pjs"}, "'consistency', but the teacher's process 'velocity' is none of"),
        ({"distill.method": "guess"}, "method is one of consistency, progressive, reflow"),
        ({"distill.method": "progressive", "distill.calls": 3}, "needs 6 steps; lower calls"),
        ({"distill.steps": 0}, "distill.steps is 0"),
    ],
)
def test_what_cannot_be_distilled_is_one_sentence(teacher, changes, said):
    config = distill.get_config()
    config.start_from = teacher
    config.update_from_flattened_dict(changes)
    with pytest.raises(InputError, match=said):
        distill_config(with_teacher(as_dict(config)))
