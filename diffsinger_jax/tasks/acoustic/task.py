"""The training program: stage 1, the auxiliary mel and the predictors; stage 2, the denoiser.

    open the corpus -> batch plan -> model -> for each stage: restore or start,
    [read a batch -> one update -> log -> save -> evaluate] ... -> write the voice

With `config.sampling.k_step = "auto"` the boundary is found between the two, with a stage of its
own for the learned predictor; stage 2 then learns the steps below it and the voice starts there.

Where a stage starts: its own last checkpoint in the workdir, else the averaged params of the
stage before it, else the voice of `config.start_from`, else random params.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from diffsinger_jax.atomic_write import atomic_write
from diffsinger_jax.diffusion.boundary import has_learned, learned_boundary
from diffsinger_jax.engine.hosts import broadcast, is_primary, log_primary
from diffsinger_jax.engine.report import describe_devices, describe_params
from diffsinger_jax.engine.run_config import (
    check_layout,
    read_config,
    require_same,
    write_config,
)
from diffsinger_jax.engine.sharding import data_mesh
from diffsinger_jax.engine.state import Params, split_params
from diffsinger_jax.engine.typed_config import as_dict, plain
from diffsinger_jax.engine.workdir import Workdir, open_workdir
from diffsinger_jax.errors import InputError
from diffsinger_jax.models.acoustic import acoustic_model
from diffsinger_jax.models.diffsinger import AUXILIARY_PARAMS
from diffsinger_jax.old_names import completed
from diffsinger_jax.pipeline.mix import MixedCorpus
from diffsinger_jax.tasks.acoustic.config import (
    AUTO,
    STAGES,
    AcousticConfig,
    acoustic_config,
    check_stage,
)
from diffsinger_jax.tasks.acoustic.measurements import measure_error, measure_margins, measure_prior
from diffsinger_jax.tasks.acoustic.stage_run import run_stage
from diffsinger_jax.tasks.acoustic.stages import (
    DENOISER_PARAMS,
    AcousticRun,
    auxiliary_stage,
    boundary_predictor,
    boundary_stage,
    denoiser_stage,
    require_finished,
)
from diffsinger_jax.tasks.acoustic.start import (
    describe_start,
    frozen_paths,
    open_training_corpus,
    require_paths,
    start_params,
    start_voice,
    with_voice,
)
from diffsinger_jax.tasks.shards import make_plan, named_key
from diffsinger_jax.voices.voice import Voice, empty_batch, save_voice, voice_shapes

AUXILIARY_VOICE = "voice_auxiliary"
"""The folder of the voice that --stage=auxiliary leaves, to be measured."""
FIXED_SECTIONS = ("kind", "model", "schedule", "process", "corpus", "start_from", "freeze")
"""Of the config, that the weights depend on."""


def train_voice(
    given: Any,
    workdir: str | Path,
    stage: str = "all",
    *,
    profile: tuple[int, int] | None = None,
) -> Voice | None:
    """Trains the stages and writes the voice to `workdir/voice`.

    Args:
      given: what a config of configs/ gives, or its sections as nested dicts.
      workdir: checkpoints, metrics, pictures and the voice go here; a run that was cut off goes
        on from what is there.
      stage: of `STAGE_CHOICES`; a single one builds on those before it, which must be finished.
      profile: steps of each stage between which a trace is written to `workdir/profile`.

    Returns:
      The voice; of the stage auxiliary alone one that sings the auxiliary mel (k_step 0), in
      `workdir/voice_auxiliary`; None for the stage boundary.

    Raises:
      InputError: if the corpus or the config does not fit, or the workdir cannot be reached.
    """
    config = _checked_config(given, stage)
    with open_workdir(workdir) as opened:
        run = open_run(config, opened, profile)
        params = _begin(run, stage)
        if config.has_auxiliary:
            params = run_stage(run, auxiliary_stage(run), params)
        if stage == "auxiliary":
            return keep_voice(run, _auxiliary_only(config), params, AUXILIARY_VOICE)
        if stage == "boundary":
            run_stage(run, *boundary_stage(run, params))
            log_primary(f"to see k: diffsinger-jax boundary --workdir {opened}")
            return None
        if config.sampling.k_step == AUTO:
            run = run._replace(config=with_boundary(config, settle_boundary(run, params)))
        if config.has_auxiliary and "prior_scale" not in frozen_paths(config):
            params = {**params, **measure_prior(run, params)}
        params = run_stage(run, denoiser_stage(run), params)
        return keep_voice(run, run.config, params, "voice")


def _checked_config(given: Any, stage: str) -> AcousticConfig:
    """With the model of the voice that it starts from; fits the stage."""
    config = acoustic_config(with_voice(as_dict(given)))
    check_stage(config, stage)
    return config


def _begin(run: AcousticRun, stage: str) -> Params:
    """The params before the first stage, once all is checked, kept and said."""
    check_run(run, stage)
    _check_stages(run.config, run.workdir)
    return begin_run(run, FIXED_SECTIONS)


def begin_run(run: AcousticRun, fixed_sections: Sequence[str]) -> Params:
    """The params before the first step, once the config is kept and what is trained is said.

    Args:
      run: checked.
      fixed_sections: of the config, that the weights depend on.

    Raises:
      InputError: if the workdir holds a run with others.
    """
    before, now = read_config(run.workdir), plain(run.config)
    if before is not None:
        require_same(completed(before), now, fixed_sections, run.workdir)
    write_config(now, run.workdir)
    for sentence in describe_start(run.config, run.corpus):
        log_primary(sentence)
    describe_devices(run.config.mesh.fsdp)
    params = initial_params(run)
    describe_params(params)
    return params


def keep_voice(run: AcousticRun, config: AcousticConfig, params: Params, folder: str) -> Voice:
    """Writes the voice into a folder of the workdir."""
    voice = make_voice(config, run.corpus, params)
    if is_primary():
        save_voice(run.workdir.folder / folder, voice)
    run.workdir.copy()
    log_primary(f"the voice is in {run.workdir}/{folder}")
    return voice


def _auxiliary_only(config: AcousticConfig) -> AcousticConfig:
    """The config of a voice that sings the auxiliary mel, whatever its denoiser is."""
    return dataclasses.replace(
        config, sampling=dataclasses.replace(config.sampling, k_step=0, steps=1)
    )


def open_run(
    config: AcousticConfig, workdir: Workdir, profile: tuple[int, int] | None = None
) -> AcousticRun:
    """What the stages of a run share.

    Raises:
      InputError: if devices or corpus do not fit.
    """
    check_layout(
        devices=jax.device_count(),
        hosts=jax.process_count(),
        microbatches=config.microbatches,
        fsdp=config.mesh.fsdp,
    )
    corpus = open_training_corpus(config)
    acoustic = acoustic_model(config.model, config.schedule, config.process, corpus.info)
    mesh = data_mesh(fsdp=config.mesh.fsdp)
    return AcousticRun(config, workdir, corpus, mesh, acoustic, profile)


def check_run(run: AcousticRun, stage: str) -> None:
    """What can be known with the data, the devices and the workdir, but before any compiling.

    Raises:
      InputError: for the first thing that does not fit.
    """
    config, frozen = run.config, frozen_paths(run.config)
    shapes = voice_shapes(run.acoustic)
    require_paths(shapes, frozen)
    for name, trained in (("auxiliary", AUXILIARY_PARAMS), ("denoiser", DENOISER_PARAMS)):
        if config.stage(name).steps and stage in ("all", name):
            if not split_params(shapes, trained, frozen)[0]:
                raise InputError(
                    f"config.freeze leaves the stage {name} nothing to train; freeze less, or "
                    f"give it no steps (--config.{name}.steps=0)"
                )
    stages = ("auxiliary", "denoiser") if config.has_auxiliary else ("denoiser",)
    for name in stages if stage == "all" else (stage,):
        # Says which example fits no bucket.
        make_plan(config, run.corpus, config.stage(name).frames_per_batch)
    if stage in ("boundary", "denoiser") and config.has_auxiliary:
        require_finished(run, "auxiliary")


def initial_params(run: AcousticRun) -> Params:
    """Random ones, the same in every run with the config's seed; or the voice's to start from."""
    key = named_key(run.config, "init")
    init = jax.jit(run.acoustic.model.init)
    fresh = init(key, empty_batch(run.acoustic))["params"]
    return start_params(run.config, fresh)


def settle_boundary(run: AcousticRun, params: Params) -> int:
    """K by `config.boundary.method`; found once and kept in the workdir, so that a run resumes."""
    file, method = run.workdir.folder / "boundary_step.json", run.config.boundary.method
    known = json.loads(file.read_text()) if is_primary() and file.exists() else {}
    found = int(broadcast(np.int32(known["k_step"] if known.get("method") == method else -1)))
    if found >= 0:
        return found
    k_step = BOUNDARY_METHODS[method](run, params)
    log_primary(
        f"the boundary by the {method} method: k = {k_step} of {run.config.schedule['steps']}"
    )
    if is_primary():
        with atomic_write(file) as partial:
            partial.write_text(json.dumps({"method": method, "k_step": k_step}) + "\n")
    return k_step


def with_boundary(config: AcousticConfig, k_step: int) -> AcousticConfig:
    """The config for a k that was found: steps below it are learnt, the voice starts there."""
    steps = min(config.sampling.steps, k_step)
    sampling = dataclasses.replace(config.sampling, k_step=k_step, steps=steps)
    denoiser = dataclasses.replace(config.denoiser, t_below=k_step)
    return dataclasses.replace(config, sampling=sampling, denoiser=denoiser)


def make_voice(config: AcousticConfig, corpus: MixedCorpus, params: Params) -> Voice:
    """The finished voice, with its weights on the host."""
    start = start_voice(config.start_from)
    return Voice(
        name=config.name,
        info=corpus.info,
        model=config.model,
        schedule=config.schedule,
        process=config.process,
        sampling=config.voice_sampling,
        dictionary=config.dictionary,
        params=jax.tree.map(np.asarray, params),
        requires=start.requires if start else _requires(config.model),
        timing=start.timing if start else "nearest",
        ranges={**(start.ranges if start else {}), **corpus.info.ranges},
    )


def _requires(model: Mapping[str, Any]) -> tuple[str, ...]:
    """What a score must give to a model that does not predict it."""
    durations, pitch = model.get("durations", True), model.get("pitch", "note_residual")
    reads_f0 = model.get("pitch_input", "continuous") != "none"
    return ("durations",) * (not durations) + ("f0",) * (pitch == "none" and reads_f0)


def _learned(run: AcousticRun, params: Params) -> int:
    params = run_stage(run, *boundary_stage(run, params))
    margins = measure_margins(
        boundary_predictor(run.config),
        run.acoustic,
        params,
        run.corpus,
        run.mesh,
        frames_per_batch=run.config.boundary.frames_per_batch,
    )
    if not has_learned(margins):
        raise InputError(
            "the boundary predictor cannot tell real mels from auxiliary ones even at the first "
            f"step after {run.config.boundary.steps} steps; raise config.boundary.steps, or take "
            "config.boundary.method=closed_form"
        )
    return learned_boundary(margins)


def _closed_form(run: AcousticRun, params: Params) -> int:
    error = measure_error(
        run.acoustic,
        params,
        run.corpus,
        run.mesh,
        frames_per_batch=run.config.boundary.frames_per_batch,
    )
    return error.boundary(run.acoustic.path)


BOUNDARY_METHODS = {"learned": _learned, "closed_form": _closed_form}
"""How `k_step = "auto"` finds k, by the name in a config."""


def _check_stages(config: AcousticConfig, workdir: Workdir) -> None:
    """Refuses to go on with a stage that was trained in another way."""
    before, now = read_config(workdir), plain(config)
    if before is not None:
        before = completed(before)
        for name in STAGES:
            was, wanted = before[name]["optimizer"], config.stage(name).optimizer
            if (workdir.checkpoints / name).exists() and was != wanted:
                raise InputError(
                    f"the stage {name} in {workdir} was trained with {was}, not with {wanted}; "
                    f"give a fresh --workdir, or --config.{name}.optimizer={was}"
                )
        trained = workdir.checkpoints / "boundary"
        sizes = ("channels", "layers")
        if trained.exists() and any(before["boundary"][x] != now["boundary"][x] for x in sizes):
            raise InputError(
                f"{trained} holds a boundary predictor of another size; remove it, or give the "
                "config.boundary that it was started with"
            )
