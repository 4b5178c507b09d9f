"""What a student makes small, as a pure function of a batch."""

from __future__ import annotations

import jax

from diffsinger_jax.diffusion.samplers.estimates import PredictX0
from diffsinger_jax.engine.losses import Losses, LossFn, row_noise, spread_places
from diffsinger_jax.engine.metrics import Mean
from diffsinger_jax.engine.state import Params
from diffsinger_jax.models.acoustic import AcousticModel
from diffsinger_jax.modules.layers import masked
from diffsinger_jax.tasks.acoustic.losses import DIFFUSION_LOSSES
from diffsinger_jax.tasks.acoustic.stage_losses import denoiser_inputs
from diffsinger_jax.tasks.distill.lessons import LESSONS, Drawn, Plan
from diffsinger_jax.types import Batch

TEACHER, AVERAGE = "teacher", "average"
"""Among the params: those of the teacher, and the student's moving average, that differ from it."""
_SHARED = 2**31 - 1
"""In the place of a row's number: what all rows of a batch draw together."""


def distill_loss(
    student: AcousticModel, teacher: AcousticModel, plan: Plan, *, method: str, distance: str
) -> LossFn:
    """The distance between the student's estimate of x_0 and its lesson's, on real frames.

    What the teacher is asked, and what the average is, has no gradient.

    Args:
      student: the model, with its process.
      teacher: the same model with the teacher's.
      plan: of the student.
      method: a name in `LESSONS`.
      distance: a name in `DIFFUSION_LOSSES`.
    """
    make_lesson, measure = LESSONS[method], DIFFUSION_LOSSES[distance]

    def parts(params: Params, batch: Batch, key: jax.Array, rows: jax.Array, train: bool) -> Losses:
        cond, prior = denoiser_inputs(student.model, student.scaling, params, batch)
        cond, prior = jax.lax.stop_gradient((cond, prior))

        def estimates(model: AcousticModel, changed: Params) -> PredictX0:
            return model.estimator({**params, **changed}, batch.mask, cond, prior)

        x0 = masked(student.scaling.scale(batch.mel), batch.mask)
        drawn = Drawn(
            x0=x0,
            prior=prior,
            eps=masked(row_noise(key, rows, x0.shape[1:]), batch.mask),
            place=spread_places(jax.random.fold_in(key, _SHARED), rows),
        )
        average = estimates(student, params.get(AVERAGE, {}))
        lesson = jax.lax.stop_gradient(
            make_lesson(student.path, plan, estimates(teacher, params[TEACHER]), average, drawn)
        )
        error = measure(estimates(student, {})(lesson.x_t, lesson.t) - lesson.target)
        return {"distillation": Mean.of(error, batch.mask[..., None])}

    return LossFn(parts, {"distillation": 1.0})
