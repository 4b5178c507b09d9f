"""The training program of Glow-TTS and Tacotron 2: prepared speech in, a voice out.

    open the corpus -> batch plan -> model -> restore or start -> [read a batch -> one update -> log
    -> save -> evaluate] ... -> write the voice

Both learn when each phoneme is spoken by themselves; the durations of the corpus are only compared
with theirs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import jax
import numpy as np

from diffsinger_jax.engine.hosts import is_primary, log_primary
from diffsinger_jax.engine.report import describe_devices, describe_params
from diffsinger_jax.engine.run_config import (
    check_layout,
    read_config,
    require_no_stage,
    require_same,
    write_config,
)
from diffsinger_jax.engine.sharding import data_mesh
from diffsinger_jax.engine.state import Params
from diffsinger_jax.engine.typed_config import as_dict, plain
from diffsinger_jax.engine.workdir import Workdir, open_workdir
from diffsinger_jax.errors import InputError
from diffsinger_jax.models.families import build_acoustic
from diffsinger_jax.pipeline.mix import open_corpora
from diffsinger_jax.tasks.acoustic.stages import AUXILIARY, AcousticRun, Stage
from diffsinger_jax.tasks.acoustic.validation import Validator
from diffsinger_jax.tasks.shard_report import shard_describer
from diffsinger_jax.tasks.shards import (
    Learning,
    make_plan,
    named_key,
    shard_task,
    trained_params,
)
from diffsinger_jax.tasks.speech.config import SpeechConfig, speech_config
from diffsinger_jax.tasks.speech.losses import LOSSES
from diffsinger_jax.types import CorpusInfo
from diffsinger_jax.voices.voice import Voice, empty_batch, load_voice, save_voice

NAME = "speech"
"""Of the section in the config and the folder of checkpoints."""
FIXED_SECTIONS = ("kind", "family", "model", "corpus", "start_from")
"""Of the config, that the weights depend on."""


def train_speech(
    given: Any,
    workdir: str | Path,
    stage: str = "all",
    *,
    profile: tuple[int, int] | None = None,
) -> Voice:
    """Trains a voice and writes it to `workdir/voice`.

    Args:
      given: what a config of configs/ gives, or its sections as nested dicts.
      workdir: checkpoints, metrics, pictures and the voice go here; a run that was cut off goes
        on from what is there.
      stage: "all"; there are no others.
      profile: steps between which a trace is written to `workdir/profile`.

    Raises:
      InputError: if the corpus or the config does not fit, or the workdir cannot be reached.
    """
    config = speech_config(as_dict(given))
    require_no_stage(f"a voice of {config.family}", stage)
    check_layout(
        devices=jax.device_count(),
        hosts=jax.process_count(),
        microbatches=config.microbatches,
        fsdp=config.mesh.fsdp,
    )
    with open_workdir(workdir) as opened:
        return _train(open_run(config, opened, profile), config)


def open_run(
    config: SpeechConfig, workdir: Workdir, profile: tuple[int, int] | None = None
) -> AcousticRun:
    """What a run has; its `config` and `acoustic` are those of the family.

    Raises:
      InputError: if the corpus cannot be read, or the voice to start from does not fit.
    """
    start = load_voice(config.start_from) if config.start_from else None
    corpus = open_corpora(config.corpus, base=start.info if start else None)
    if start and (start.family, dict(start.model)) != (config.family, plain(config)["model"]):
        raise InputError(
            f"config.start_from: the voice {start.name} is a {start.family} of other sizes than "
            f"config.model; give the config that it was trained with"
        )
    acoustic = build_acoustic(config.family, config.model, {}, "", corpus.info)
    mesh = data_mesh(fsdp=config.mesh.fsdp)
    return AcousticRun(cast(Any, config), workdir, corpus, mesh, acoustic, profile)


def _train(run: AcousticRun, config: SpeechConfig) -> Voice:
    before = read_config(run.workdir)
    if before is not None:
        require_same(before, plain(config), FIXED_SECTIONS, run.workdir)
    write_config(plain(config), run.workdir)
    describe_devices(config.mesh.fsdp)
    params = initial_params(run, config)
    describe_params(params)
    task = shard_task(config, run.corpus, run.mesh, speech_learning(run, config, params))
    voice = make_voice(config, run.corpus.info, trained_params(task, run.context))
    if is_primary():
        save_voice(run.workdir.folder / "voice", voice)
    run.workdir.copy()
    log_primary(f"the voice is in {run.workdir}/voice")
    return voice


def initial_params(run: AcousticRun, config: SpeechConfig) -> Params:
    """Random ones, the same in every run with the config's seed; or those to start from."""
    if config.start_from:
        start = load_voice(config.start_from).params
        return jax.tree.map(jax.numpy.array, dict(start))  # a copy: it is donated
    key = named_key(config, "init")
    return jax.jit(run.acoustic.model.init)(key, empty_batch(run.acoustic))["params"]


def speech_learning(run: AcousticRun, config: SpeechConfig, params: Params) -> Learning:
    """What is trained, and how it is looked at."""
    section = config.speech
    loss_fn = LOSSES[config.family].make(run.acoustic, section.weights)
    plan, _ = make_plan(config, run.corpus, section.frames_per_batch)
    stage = Stage(NAME, tuple(params), loss_fn, shown=(AUXILIARY,))
    return Learning(
        name=NAME,
        section=section,
        loss_fn=loss_fn,
        trained=params,
        frozen={},
        evaluate=Validator(run, stage, plan.buckets).run,
        describe=shard_describer(run.context, run.corpus, NAME, section),
        minutes=config.stop_after_minutes,
    )


def make_voice(config: SpeechConfig, info: CorpusInfo, params: Params) -> Voice:
    """The finished voice, with its weights on the host."""
    return Voice(
        name=config.name,
        info=info,
        model=plain(config)["model"],
        schedule={},
        process="",
        sampling=config.voice_sampling,
        dictionary=config.dictionary,
        params=jax.tree.map(np.asarray, params),
        family=config.family,
    )
