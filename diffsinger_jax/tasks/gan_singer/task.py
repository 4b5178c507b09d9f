"""The training program of GAN-Singer: the auxiliary model against discriminators of its mel.

    open the corpus -> batch plan -> model -> restore or start -> [read a batch -> one update of
    both sides -> log -> save -> evaluate] ... -> write the voice, which sings its auxiliary mel

Where it starts: its own last checkpoint in the workdir, else the voice of `config.start_from` with
discriminators that know nothing yet, else random params.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from diffsinger_jax.engine.adversarial import DISCRIMINATORS, GENERATOR
from diffsinger_jax.engine.report import describe_params
from diffsinger_jax.engine.run_config import require_no_stage
from diffsinger_jax.engine.sharding import replicated, shard
from diffsinger_jax.engine.state import Params, split_params
from diffsinger_jax.engine.typed_config import as_dict
from diffsinger_jax.engine.workdir import open_workdir
from diffsinger_jax.models.diffsinger import AUXILIARY_PARAMS
from diffsinger_jax.models.mel_discriminators import CONDITIONS, MelDiscriminators
from diffsinger_jax.tasks.acoustic.stages import AcousticRun, auxiliary_stage
from diffsinger_jax.tasks.acoustic.start import frozen_paths, with_voice
from diffsinger_jax.tasks.acoustic.task import (
    FIXED_SECTIONS,
    begin_run,
    check_run,
    keep_voice,
    open_run,
)
from diffsinger_jax.tasks.acoustic.validation import Validator
from diffsinger_jax.tasks.gan_singer.config import DiscriminatorsConfig, gan_singer_config
from diffsinger_jax.tasks.gan_singer.losses import gan_singer_losses
from diffsinger_jax.tasks.shard_report import shard_describer
from diffsinger_jax.tasks.shards import (
    AdversarialLearning,
    adversarial_shard_task,
    make_plan,
    named_key,
    trained_params,
)
from diffsinger_jax.voices.voice import Voice

NAME = "gan_singer"
"""For the log, and the folder of checkpoints."""


def train_gan_singer(
    given: Any,
    workdir: str | Path,
    stage: str = "all",
    *,
    profile: tuple[int, int] | None = None,
) -> Voice:
    """Trains a GAN-Singer and writes the voice to `workdir/voice`.

    Args:
      given: what a config of configs/ gives, or its sections as nested dicts.
      workdir: checkpoints, metrics, pictures and the voice go here; a run that was cut off goes
        on from what is there.
      stage: "all"; there are no others.
      profile: steps between which a trace is written to `workdir/profile`.

    Returns:
      The voice, which sings its auxiliary mel (k_step 0).

    Raises:
      InputError: if the corpus or the config does not fit, or the workdir cannot be reached.
    """
    config = gan_singer_config(with_voice(as_dict(given)))
    require_no_stage("a GAN-Singer", stage)
    with open_workdir(workdir) as opened:
        run = open_run(config, opened, profile)
        check_run(run, "auxiliary")
        params = begin_run(run, (*FIXED_SECTIONS, "discriminators"))
        learning = gan_singer_learning(run, config.discriminators, params)
        describe_params(learning.trained[DISCRIMINATORS])
        task = adversarial_shard_task(config, run.corpus, run.mesh, learning)
        return keep_voice(run, config, trained_params(task, run.context), "voice")


def gan_singer_learning(
    run: AcousticRun, section: DiscriminatorsConfig, params: Params
) -> AdversarialLearning:
    """What is trained, and how it is looked at."""
    config, acoustic = run.config, run.acoustic
    trained, frozen = split_params(params, AUXILIARY_PARAMS, frozen_paths(config))
    auxiliary = auxiliary_stage(run)
    discriminators = make_discriminators(section)
    losses = gan_singer_losses(
        acoustic.model,
        acoustic.scaling,
        discriminators,
        CONDITIONS[section.condition],
        {**auxiliary.loss_fn.weights, **dataclasses.asdict(section.weights)},
        starts_after=section.starts_after,
    )
    plan, _ = make_plan(config, run.corpus, config.auxiliary.frames_per_batch)
    validator = Validator(run, auxiliary._replace(name=NAME), plan.buckets)
    key = named_key(config, DISCRIMINATORS)
    of_both = {
        GENERATOR: trained,
        DISCRIMINATORS: initial_discriminators(
            discriminators, section.condition, acoustic.model.mel_bins, key
        ),
    }
    return AdversarialLearning(
        name=NAME,
        section=config.auxiliary,
        losses=losses,
        discriminators_section=section,
        trained=of_both,
        frozen=shard(frozen, replicated(run.mesh)),
        evaluate=validator.run,
        describe=shard_describer(run.context, run.corpus, NAME, config.auxiliary),
        minutes=config.stop_after_minutes,
    )


def make_discriminators(section: DiscriminatorsConfig) -> MelDiscriminators:
    """Those of a config."""
    return MelDiscriminators(section.windows, section.bands, section.channels)


def initial_discriminators(
    discriminators: MelDiscriminators, condition: str, mel_bins: int, key: jax.Array
) -> Params:
    """Their random params."""
    frames = max(discriminators.windows)
    shown = CONDITIONS[condition](jnp.zeros((1, frames, mel_bins)), jnp.zeros((1, frames)))
    places = jnp.zeros((1, len(discriminators.windows)))
    init = jax.jit(discriminators.init)
    return init(key, shown, jnp.full(1, frames), places)["params"]
