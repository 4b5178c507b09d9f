"""The training program of DiffGAN-TTS's denoiser: a voice in, one of one, two or four calls out.

    open the corpus and the base voice -> batch plan -> restore or start -> [read a batch -> one
    update of both sides -> log -> save -> evaluate] ... -> write the voice

Encoder, predictors and auxiliary decoder are the base voice's and stay as they are.

The two-stage form starts from the diffused auxiliary mel of the base. Its first stage asks that the
base's diffused mel be near the diffused real one at every t; with the same noise on both sides that
distance is alpha_t times the one of the mels, which is what a voice's auxiliary stage makes small.
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
from diffsinger_jax.models.joint_discriminator import JointDiscriminator
from diffsinger_jax.tasks.acoustic.stages import (
    AUXILIARY,
    DENOISER_PARAMS,
    DIFFUSION,
    AcousticRun,
    Stage,
    denoiser_stage,
)
from diffsinger_jax.tasks.acoustic.start import frozen_paths
from diffsinger_jax.tasks.acoustic.task import FIXED_SECTIONS, begin_run, keep_voice, open_run
from diffsinger_jax.tasks.acoustic.validation import Validator
from diffsinger_jax.tasks.diffgan.config import DiffGanConfig, diffgan_config, with_base
from diffsinger_jax.tasks.diffgan.losses import diffgan_losses
from diffsinger_jax.tasks.shard_report import shard_describer
from diffsinger_jax.tasks.shards import (
    AdversarialLearning,
    adversarial_shard_task,
    make_plan,
    named_key,
    trained_params,
)
from diffsinger_jax.voices.voice import Voice, empty_batch

NAME = "diffgan"
"""Of the section in the config, and the folder of checkpoints."""


def train_diffgan(
    given: Any,
    workdir: str | Path,
    stage: str = "all",
    *,
    profile: tuple[int, int] | None = None,
) -> Voice:
    """Trains a denoiser on the voice `config.start_from` and writes it to `workdir/voice`.

    Args:
      given: what a config of configs/ gives, or its sections as nested dicts.
      workdir: checkpoints, metrics, pictures and the voice go here; a run that was cut off goes
        on from what is there.
      stage: "all"; there are no others.
      profile: steps between which a trace is written to `workdir/profile`.

    Raises:
      InputError: if base voice, corpus or config do not fit, or the workdir cannot be reached.
    """
    config = diffgan_config(with_base(as_dict(given)))
    require_no_stage("a DiffGAN", stage)
    with open_workdir(workdir) as opened:
        run = open_run(config, opened, profile)
        params = begin_run(run, (*FIXED_SECTIONS, "sampling", "discriminators"))
        params = {**params, "denoiser": fresh_denoiser(run)}
        learning = diffgan_learning(run, config, params)
        describe_params(learning.trained[DISCRIMINATORS])
        task = adversarial_shard_task(config, run.corpus, run.mesh, learning)
        return keep_voice(run, config, trained_params(task, run.context), "voice")


def diffgan_learning(
    run: AcousticRun, config: DiffGanConfig, params: Params
) -> AdversarialLearning:
    """What is trained, and how it is looked at."""
    acoustic, section = run.acoustic, config.diffgan
    trained, frozen = split_params(params, DENOISER_PARAMS, frozen_paths(config))
    discriminator = JointDiscriminator(
        section.timesteps, acoustic.model.speakers, config.discriminators.width
    )
    losses = diffgan_losses(
        acoustic,
        discriminator,
        dataclasses.asdict(section.weights),
        depth=section.k_step,
        starts_from_auxiliary=section.is_shallow,
        starts_after=section.starts_after,
    )
    plan, _ = make_plan(config, run.corpus, section.frames_per_batch)
    shown = Stage(NAME, DENOISER_PARAMS, denoiser_stage(run).loss_fn, shown=(AUXILIARY, DIFFUSION))
    return AdversarialLearning(
        name=NAME,
        section=section,
        losses=losses,
        discriminators_section=config.discriminators,
        trained={
            GENERATOR: trained,
            DISCRIMINATORS: initial_discriminator(discriminator, acoustic.model.mel_bins, config),
        },
        frozen=shard(frozen, replicated(run.mesh)),
        evaluate=Validator(run, shown, plan.buckets).run,
        describe=shard_describer(run.context, run.corpus, NAME, section),
        minutes=config.stop_after_minutes,
    )


def fresh_denoiser(run: AcousticRun) -> Params:
    """Random params of the denoiser, which has another process than the base voice's."""
    key = named_key(run.config, "denoiser")
    return jax.jit(run.acoustic.model.init)(key, empty_batch(run.acoustic))["params"]["denoiser"]


def initial_discriminator(
    discriminator: JointDiscriminator, mel_bins: int, config: DiffGanConfig
) -> Params:
    """Its random params."""
    key = named_key(config, DISCRIMINATORS)
    x, row = jnp.zeros((1, 8, mel_bins)), jnp.zeros(1, jnp.int32)
    return jax.jit(discriminator.init)(key, (x, x), row, row, jnp.ones((1, 8), bool))["params"]
