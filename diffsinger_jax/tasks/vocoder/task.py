"""The training program of a vocoder: recordings in, a vocoder folder out.

    open the recordings -> restore or start -> [cut a batch -> one update of both sides -> log ->
    save -> evaluate] ... -> write the vocoder

Where it starts: its own last checkpoint in the workdir, else the vocoder of `config.start_from`
with discriminators that know nothing yet, else random params.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.audio.mel import mel_filterbank
from diffsinger_jax.engine import report
from diffsinger_jax.engine.adversarial import (
    DISCRIMINATORS,
    GENERATOR,
    AdversarialState,
    adversarial_step,
    create_adversarial_state,
)
from diffsinger_jax.engine.compile import CompiledStep
from diffsinger_jax.engine.hosts import is_primary, log_primary
from diffsinger_jax.engine.loop import RunContext, TrainTask, train
from diffsinger_jax.engine.microbatches import microbatching
from diffsinger_jax.engine.optimizers import at_progress, make_learning_rate, make_optimizer
from diffsinger_jax.engine.run_config import (
    check_layout,
    read_config,
    require_no_stage,
    require_same,
    write_config,
)
from diffsinger_jax.engine.sharding import (
    data_mesh,
    replicate,
    shard,
    state_shardings,
)
from diffsinger_jax.engine.state import Params
from diffsinger_jax.engine.typed_config import as_dict, plain
from diffsinger_jax.engine.workdir import Workdir, open_workdir
from diffsinger_jax.engine.writer import Writer
from diffsinger_jax.errors import InputError
from diffsinger_jax.models.discriminators import Discriminators
from diffsinger_jax.old_names import completed
from diffsinger_jax.pipeline.recordings import PreparedRecordings, open_recordings
from diffsinger_jax.tasks.vocoder.config import VocoderConfig, check_recordings, vocoder_config
from diffsinger_jax.tasks.vocoder.data import (
    SegmentShape,
    VocoderRun,
    batch_arrays,
    batch_names,
    held_out_cuts,
    train_batches,
)
from diffsinger_jax.tasks.vocoder.losses import MelView, Segments, vocoder_losses
from diffsinger_jax.tasks.vocoder.validation import VocoderValidator
from diffsinger_jax.types import MelSpec
from diffsinger_jax.voices.vocoder import (
    NeuralVocoder,
    load_vocoder,
    make_generator,
    save_vocoder,
)

NAME = "vocoder"
"""Of the section in the config, the folder of checkpoints, and the folder that is written."""
FIXED_SECTIONS = ("kind", "generator", "discriminators", "recordings", "start_from", "unvoiced")
"""Of the config, that the weights depend on."""


def train_vocoder(
    given: Any,
    workdir: str | Path,
    stage: str = "all",
    *,
    profile: tuple[int, int] | None = None,
) -> NeuralVocoder:
    """Trains a vocoder and writes it to `workdir/vocoder`.

    Args:
      given: what a config of configs/ gives, or its sections as nested dicts.
      workdir: checkpoints, metrics, pictures and the vocoder go here; a run that was cut off goes
        on from what is there.
      stage: "all"; a vocoder has no others.
      profile: steps between which a trace is written to `workdir/profile`.

    Raises:
      InputError: if the recordings or the config do not fit, or the workdir cannot be reached.
    """
    config = vocoder_config(as_dict(given))
    require_no_stage("a vocoder", stage)
    check_layout(
        devices=jax.device_count(),
        hosts=jax.process_count(),
        microbatches=config.microbatches,
        fsdp=config.mesh.fsdp,
    )
    with open_workdir(workdir) as opened:
        return _train(open_run(config, opened, profile))


def open_run(
    config: VocoderConfig, workdir: Workdir, profile: tuple[int, int] | None = None
) -> VocoderRun:
    """Recordings, what to start from, and devices.

    Raises:
      InputError: if they do not fit each other.
    """
    recordings = open_recordings(config.recordings)
    vocoder = start_vocoder(config, recordings)
    context = RunContext(config, workdir, data_mesh(fsdp=config.mesh.fsdp), profile)
    multiple = max(config.microbatches, context.mesh.size)
    check_recordings(config, vocoder.mel, recordings.info, multiple)
    return VocoderRun(config, context, recordings, vocoder)


def _train(run: VocoderRun) -> NeuralVocoder:
    config, workdir, start = run.config, run.context.workdir, run.vocoder
    before = read_config(workdir)
    if before is not None:
        require_same(completed(before), plain(config), FIXED_SECTIONS, workdir)
    write_config(plain(config), workdir)
    if config.start_from:
        log_primary(f"training starts from the vocoder {start.name} ({config.start_from})")
    report.describe_devices(config.mesh.fsdp)

    state = train(vocoder_task(run), run.context)
    params = jax.tree.map(np.asarray, replicate(run.context.mesh, state.ema))
    licence = _licence(run.recordings, start)
    trained = dataclasses.replace(start, name=config.name, params=params, licence=licence)
    if is_primary():
        save_vocoder(workdir.folder / NAME, trained)
    workdir.copy()
    log_primary(f"the vocoder is in {workdir}/{NAME}")
    return trained


def start_vocoder(config: VocoderConfig, recordings: PreparedRecordings) -> NeuralVocoder:
    """The vocoder of `config.start_from`, or one of the config's sizes with no params yet.

    Raises:
      InputError: if it cannot be read, or the sizes do not fit each other or the recordings' mel.
    """
    if config.start_from:
        try:
            return load_vocoder(config.start_from)
        except InputError as error:
            raise InputError(f"config.start_from: {error}") from error
    model, mel = dataclasses.asdict(config.generator), recordings.info.mel
    make_generator(model, mel, "config.generator", advice="correct it, or prepare another mel")
    return NeuralVocoder(config.name, mel, model, config.unvoiced, params={})


def vocoder_task(run: VocoderRun) -> TrainTask:
    """What the loop needs of a vocoder's training."""
    config, section, mesh = run.config, run.config.vocoder, run.context.mesh
    generator, spec = run.vocoder.generator, run.vocoder.mel
    discriminators = Discriminators(**dataclasses.asdict(config.discriminators))
    optimizers = {side: make_optimizer(section) for side in (GENERATOR, DISCRIMINATORS)}
    weights = dataclasses.asdict(section.weights)
    losses = vocoder_losses(
        generator,
        discriminators,
        mel_views(section.mel_views, spec),
        weights,
        starts_after=section.adversarial_after,
    )
    validator = VocoderValidator(held_out_cuts(run), generator, spec, mesh)
    pictures = run.context.workdir.folder / "pictures"

    def start() -> AdversarialState:
        params = initial_params(run, discriminators)
        report.describe_params(params)
        state = create_adversarial_state(params, optimizers)
        return shard(state, state_shardings(mesh, state))

    def update(
        state: AdversarialState, fixed: Params, batch: Segments, progress: jax.Array
    ) -> tuple[AdversarialState, dict]:
        return adversarial_step(
            state,
            fixed,
            batch,
            jax.random.fold_in(jax.random.key(config.seed), 1),
            losses=losses,
            optimizers={side: at_progress(one, progress) for side, one in optimizers.items()},
            ema_decay=config.ema_decay,
            microbatching=microbatching(mesh, config.microbatches),
        )

    def evaluate(step: int, state: AdversarialState, writer: Writer) -> None:
        params = replicate(mesh, state.ema)
        validator.run(step, params, writer, pictures, config.songs_shown)

    shape = SegmentShape(section.rows, section.frames)
    return TrainTask(
        name=NAME,
        steps=section.steps,
        start=start,
        fixed={},
        update=update,
        learning_rate=make_learning_rate(section.learning_rate),
        weights=weights,
        shapes={shape: batch_arrays(run, shape)},
        shape_of=lambda step: shape,
        batches=lambda steps_done: train_batches(run, steps_done),
        frames_of=lambda step: section.rows * section.frames,
        names_of=lambda step: batch_names(run, step),
        describe=lambda compiled, steps_done: _describe(run, compiled, steps_done),
        evaluate=evaluate,
        minutes=config.stop_after_minutes,
    )


def initial_params(run: VocoderRun, discriminators: Discriminators) -> Params:
    """Of both sides: the generator's from the vocoder to start from, if it has some."""
    spec, frames = run.vocoder.mel, run.config.vocoder.frames
    generator_key, key = jax.random.split(jax.random.key(run.config.seed))
    mel, f0 = np.zeros((1, 1, spec.n_mels), np.float32), np.zeros((1, 1), np.float32)
    params = run.vocoder.params or _init(run.vocoder.generator, generator_key, mel, f0)
    wav = np.zeros((1, frames * spec.hop), np.float32)
    return {
        GENERATOR: jax.tree.map(jnp.array, dict(params)),  # a copy: the state is donated
        DISCRIMINATORS: _init(discriminators, key, wav),
    }


def _describe(run: VocoderRun, compiled: Mapping[Any, CompiledStep], steps_done: int) -> None:
    """Size and FLOP of a training, and where its checkpoints go."""
    section, per_sec = run.config.vocoder, run.vocoder.mel.frames_per_sec
    rows, frames = section.rows, section.frames
    seconds = run.recordings.info.frames["train"].sum() / per_sec
    (program,) = compiled.values()
    log_primary(
        f"stage {NAME}: steps {steps_done} to {section.steps}; {seconds:,.0f} s of recordings, "
        f"{rows * frames / per_sec:.1f} s of sound a step; {rows} x {frames} frames compiled in "
        f"{program.compile_sec:.1f} s, {program.flops / 1e9:.2f} GFLOP and "
        f"{program.memory_bytes / 1e6:.1f} MB on a device\n"
        f"  checkpoints go to {run.context.workdir.checkpoints / NAME}"
    )


def mel_views(pairs: Any, spec: MelSpec) -> tuple[MelView, ...]:
    """The resolutions of the mel loss, each over all frequencies.

    Args:
      pairs: (samples of the transform, mel bins) of each.
      spec: whose sample rate they have.
    """
    specs = [
        MelSpec(
            sample_rate=spec.sample_rate,
            hop=n_fft // 4,
            n_fft=n_fft,
            win=n_fft,
            n_mels=bins,
            fmin=0.0,
            fmax=spec.sample_rate / 2,
        )
        for n_fft, bins in pairs
    ]
    return tuple(MelView(one.n_fft, jnp.asarray(mel_filterbank(one))) for one in specs)


def _init(module: nn.Module, key: jax.Array, *inputs: np.ndarray) -> Params:
    """Random params of a module; on CPUs well-made code for them takes minutes to compile."""
    quickly = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else {}
    return jax.jit(module.init, compiler_options=quickly)(key, *inputs)["params"]


def _licence(recordings: PreparedRecordings, start: NeuralVocoder) -> str:
    """Of the recordings, and of the weights that the training started from."""
    parts = [recordings.info.licence]
    if start.licence and start.licence != recordings.info.licence:
        parts.append(f"trained from {start.name}: {start.licence}")
    return "; ".join(part for part in parts if part)
