"""The stages of a training: what each trains, from what, and in which batches."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from diffsinger_jax.engine.checkpoint import Checkpoints
from diffsinger_jax.engine.clock import is_out_of_time
from diffsinger_jax.engine.loop import RunContext
from diffsinger_jax.engine.losses import LossFn
from diffsinger_jax.engine.state import Params
from diffsinger_jax.engine.workdir import Workdir
from diffsinger_jax.errors import InputError
from diffsinger_jax.models.acoustic import AcousticModel
from diffsinger_jax.models.boundary_predictor import BoundaryPredictor
from diffsinger_jax.models.diffsinger import AUXILIARY_PARAMS
from diffsinger_jax.pipeline.mix import MixedCorpus
from diffsinger_jax.tasks.acoustic.boundary_losses import BOUNDARY_PARAMS, boundary_loss
from diffsinger_jax.tasks.acoustic.config import AcousticConfig
from diffsinger_jax.tasks.acoustic.regularizers import Regularizers
from diffsinger_jax.tasks.acoustic.stage_losses import auxiliary_loss, denoiser_loss
from diffsinger_jax.tasks.shards import named_key

DENOISER_PARAMS = ("denoiser",)
"""What stage 2 trains."""
AUXILIARY, DIFFUSION = "auxiliary", "diffusion"
"""The mels that a stage can show beside the recordings."""


class Stage(NamedTuple):
    """One part of the training.

    Attributes:
      name: of its section in the config and its folder of checkpoints.
      trained: top-level names of the params it trains.
      loss_fn: what it makes small.
      shown: mels that its evaluations draw and sound beside the recordings.
    """

    name: str
    trained: tuple[str, ...]
    loss_fn: LossFn
    shown: tuple[str, ...] = ()


class AcousticRun(NamedTuple):
    """What the stages of one run share.

    Attributes:
      config: see configs/base.py.
      workdir: of the run.
      corpus: what is sung.
      mesh: of all devices.
      acoustic: the model.
      profile: steps of a stage between which a trace is written; None for no trace.
    """

    config: AcousticConfig
    workdir: Workdir
    corpus: MixedCorpus
    mesh: Mesh
    acoustic: AcousticModel
    profile: tuple[int, int] | None = None

    @property
    def context(self) -> RunContext:
        """What the loop needs of it."""
        return RunContext(self.config, self.workdir, self.mesh, self.profile)


def auxiliary_stage(run: AcousticRun) -> Stage:
    """Stage 1."""
    weights = dataclasses.asdict(run.config.auxiliary.weights)
    loss_fn = auxiliary_loss(run.acoustic.model, run.acoustic.scaling, weights)
    return Stage("auxiliary", AUXILIARY_PARAMS, loss_fn, shown=(AUXILIARY,))


def boundary_stage(run: AcousticRun, params: Params) -> tuple[Stage, Params]:
    """Between the two: the boundary predictor, and `params` with its own to start from."""
    acoustic, predictor = run.acoustic, boundary_predictor(run.config)
    loss_fn = boundary_loss(predictor, acoustic.model, acoustic.scaling, acoustic.path)
    key = named_key(run.config, "predictor")
    z, t = jnp.zeros((1, 1, acoustic.model.mel_bins)), jnp.zeros(1, jnp.int32)
    start = jax.jit(predictor.init)(key, z, t, jnp.ones((1, 1), bool))["params"]
    return Stage("boundary", BOUNDARY_PARAMS, loss_fn), {**params, "boundary": start}


def boundary_predictor(config: AcousticConfig) -> BoundaryPredictor:
    """The predictor of a config's `boundary` section."""
    return BoundaryPredictor(channels=config.boundary.channels, layers=config.boundary.layers)


def denoiser_stage(run: AcousticRun) -> Stage:
    """Stage 2; of a voice without auxiliary mel the only one, which trains all."""
    loss_fn = denoiser_loss(
        run.acoustic.model,
        run.acoustic.scaling,
        run.acoustic.make_process,
        depth=run.config.denoiser.t_below,
        distance=run.config.denoiser.distance,
        weighting=run.config.denoiser.weighting,
        regularizers=regularizers(run.config),
    )
    if run.config.has_auxiliary:
        return Stage("denoiser", DENOISER_PARAMS, loss_fn, shown=(AUXILIARY, DIFFUSION))
    return Stage("denoiser", (*AUXILIARY_PARAMS, *DENOISER_PARAMS), loss_fn, shown=(DIFFUSION,))


def regularizers(config: AcousticConfig) -> Regularizers:
    """Those of a config's `denoiser` section, whose fields have the same names."""
    return Regularizers(**{name: getattr(config.denoiser, name) for name in Regularizers._fields})


def steps_done(run: AcousticRun, name: str) -> int:
    """Of a stage, by its last checkpoint; 0 where there is none."""
    folder = run.workdir.checkpoints / name
    if not folder.is_dir():
        return 0
    checkpoints = Checkpoints(folder, keep=run.config.keep_checkpoints)
    done = checkpoints.latest() or 0
    checkpoints.close()
    return done


def require_finished(run: AcousticRun, name: str) -> None:
    """Refuses to build on a stage that is not at its end.

    Raises:
      InputError: saying where the stage stands.
    """
    done, wanted = steps_done(run, name), run.config.stage(name).steps
    minutes = run.config.stage_minutes(name)
    if done < wanted and not is_out_of_time(run.workdir, name, minutes):
        raise InputError(
            f"the stage {name} in {run.workdir} stands at step {done} of {wanted}; "
            f"finish it first, with diffsinger-jax train --stage={name}"
        )
