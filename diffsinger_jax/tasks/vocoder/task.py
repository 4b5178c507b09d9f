"""The training program of a vocoder: recordings in, a vocoder folder out.

    open the recordings -> restore or start -> [cut a batch -> one update of both sides -> log ->
    save -> evaluate] ... -> write the vocoder

Where it starts: its own last checkpoint in the workdir, else the vocoder of `config.start_from`
with discriminators that know nothing yet, else random params.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from diffsinger_jax.audio.mel import mel_filterbank
from diffsinger_jax.engine import report
from diffsinger_jax.engine.compile import CompiledStep
from diffsinger_jax.engine.hosts import is_primary, log_primary
from diffsinger_jax.engine.loop import RunContext, TrainTask, train
from diffsinger_jax.engine.optimizers import make_learning_rate, make_optimizer
from diffsinger_jax.engine.run_config import (
    read_config,
    require_same,
    write_config,
)
from diffsinger_jax.engine.sharding import (
    batch_sharded,
    compile_isolated,
    data_mesh,
    global_batch,
    microbatch_sum,
    replicate,
    shard,
    state_shardings,
)
from diffsinger_jax.engine.state import Params
from diffsinger_jax.engine.supervised import compile_inline
from diffsinger_jax.engine.workdir import Workdir, open_workdir
from diffsinger_jax.engine.writer import Writer
from diffsinger_jax.errors import InputError
from diffsinger_jax.models.discriminators import Discriminators
from diffsinger_jax.pipeline.recordings import PreparedRecordings, open_recordings
from diffsinger_jax.pipeline.segments import draw_cut, segment_batches
from diffsinger_jax.pitch import fill_unvoiced
from diffsinger_jax.tasks.config_check import check_keys, check_layout
from diffsinger_jax.tasks.vocoder.config import check_recordings, check_vocoder_config
from diffsinger_jax.tasks.vocoder.losses import (
    AdversarialState,
    MelView,
    Segments,
    adversarial_step,
    create_adversarial_state,
)
from diffsinger_jax.tasks.vocoder.validation import VocoderValidator, middle_cuts
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
PREPARE_F0 = {"zero": lambda f0: f0, "filled": fill_unvoiced}
"""How f0 is made ready, by the name in a config."""


class SegmentShape(NamedTuple):
    """Of a batch over all devices."""

    rows: int
    frames: int


def train_vocoder(
    config: ConfigDict,
    workdir: str | Path,
    stage: str = "all",
    *,
    profile: tuple[int, int] | None = None,
) -> NeuralVocoder:
    """Trains a vocoder and writes it to `workdir/vocoder`.

    Args:
      config: see configs/vocoder_base.py.
      workdir: checkpoints, metrics, pictures and the vocoder go here; a run that was cut off goes
        on from what is there.
      stage: "all"; a vocoder has no others.
      profile: steps between which a trace is written to `workdir/profile`.

    Raises:
      InputError: if the recordings or the config do not fit, or the workdir cannot be reached.
    """
    check_keys(config)
    check_vocoder_config(config, stage)
    check_layout(
        devices=jax.device_count(),
        hosts=jax.process_count(),
        row_groups=config.row_groups,
        fsdp=config.mesh.fsdp,
    )
    with open_workdir(workdir) as opened:
        return _train(config, opened, profile)


def _train(config: ConfigDict, workdir: Workdir, profile: tuple[int, int] | None) -> NeuralVocoder:
    recordings = open_recordings(config.recordings)
    vocoder = start_vocoder(config, recordings)
    run = RunContext(config, workdir, data_mesh(fsdp=config.mesh.fsdp), profile)
    multiple = max(config.row_groups, run.mesh.size)
    check_recordings(config, vocoder.mel, recordings.info, multiple)
    before = read_config(workdir)
    if before is not None:
        require_same(before, config, FIXED_SECTIONS, workdir, new_fields={"kind": "acoustic"})
    write_config(config, workdir)
    if config.start_from:
        log_primary(f"training starts from the vocoder {vocoder.name} ({config.start_from})")
    report.describe_devices(config.mesh.fsdp)

    work = vocoder_task(run, recordings, vocoder)
    state = train(work, run)
    params = jax.tree.map(np.asarray, replicate(run.mesh, state.ema))
    trained = dataclasses.replace(
        vocoder, name=config.name, params=params, licence=_licence(recordings, vocoder)
    )
    if is_primary():
        save_vocoder(workdir.folder / NAME, trained)
    workdir.copy()
    log_primary(f"the vocoder is in {workdir}/{NAME}")
    return trained


def start_vocoder(config: ConfigDict, recordings: PreparedRecordings) -> NeuralVocoder:
    """The vocoder of `config.start_from`, or one of the config's sizes with no params yet.

    Raises:
      InputError: if it cannot be read, or the sizes do not fit each other or the recordings' mel.
    """
    if config.start_from:
        try:
            return load_vocoder(config.start_from)
        except InputError as error:
            raise InputError(f"config.start_from: {error}") from error
    model, mel = config.generator.to_dict(), recordings.info.mel
    make_generator(model, mel, "config.generator", advice="correct it, or prepare another mel")
    return NeuralVocoder(config.name, mel, model, config.unvoiced, params={})


def vocoder_task(
    run: RunContext, recordings: PreparedRecordings, vocoder: NeuralVocoder
) -> TrainTask:
    """What the loop needs of a vocoder's training.

    Args:
      run: where it is trained.
      recordings: what it learns from.
      vocoder: what it starts from.
    """
    config, settings, mesh = run.config, run.config.vocoder, run.mesh
    generator, spec, info = vocoder.generator, vocoder.mel, recordings.info
    judges = Discriminators(**_tuples(config.discriminators.to_dict()))
    learning_rate = make_learning_rate(settings.learning_rate.to_dict())
    optimizers = {
        side: make_optimizer(
            learning_rate,
            name=settings.optimizer,
            betas=tuple(settings.betas),
            weight_decay=settings.weight_decay,
            clip_norm=settings.clip_norm,
        )
        for side in ("generator", "discriminators")
    }
    groups, views = max(config.row_groups, mesh.size), mel_views(settings.mel_views, spec)
    rows, frames = settings.rows, settings.frames
    cuts = dict(frames=frames, most_semitones=settings.most_semitones, seed=config.seed)
    prepare_f0 = PREPARE_F0[vocoder.unvoiced]

    def start() -> AdversarialState:
        init_key, key = jax.random.split(jax.random.key(config.seed))
        mel, f0 = np.zeros((1, 1, spec.n_mels), np.float32), np.zeros((1, 1), np.float32)
        makers = vocoder.params or _init(generator, init_key, mel, f0)
        sound = np.zeros((1, frames * spec.hop), np.float32)
        params = {
            # A copy: training gives the buffers away.
            "generator": jax.tree.map(jnp.array, dict(makers)),
            "discriminators": _init(judges, key, sound),
        }
        report.describe_params(params)
        state = create_adversarial_state(params, optimizers)
        return shard(state, state_shardings(mesh, state))

    def update(
        state: AdversarialState, fixed: Params, batch: Segments
    ) -> tuple[AdversarialState, dict]:
        return adversarial_step(
            state,
            batch,
            jax.random.fold_in(jax.random.key(config.seed), 1),
            generator=generator,
            discriminators=judges,
            optimizers=optimizers,
            views=views,
            weights=settings.weights.to_dict(),
            ema_decay=config.ema_decay,
            judged_after=settings.adversarial_after,
            microbatch_sum=microbatch_sum(mesh, groups),
            isolate=compile_isolated if config.row_groups > 1 else compile_inline,
        )

    def batches(steps_done: int) -> Iterator[Segments]:
        for segment in segment_batches(
            recordings.split("train", prepare_f0),
            info.frames["train"],
            spec,
            rows=rows,
            start_step=steps_done,
            host_index=jax.process_index(),
            host_count=jax.process_count(),
            read_threads=config.read_threads,
            **cuts,
        ):
            yield global_batch(mesh, Segments(*segment))

    def names_of(step: int) -> str:
        drawn = [
            draw_cut(info.frames["train"], step=step - 1, row=row, **cuts) for row in range(rows)
        ]
        return ", ".join(
            f"{info.names['train'][one.recording]} from frame {one.start_frame}" for one in drawn
        )

    held_out = []
    if "validation" in info.names:
        held_out = middle_cuts(
            recordings.split("validation", prepare_f0),
            spec,
            most=config.evaluate_pieces,
            frames=config.evaluate_frames,
        )
    validator = VocoderValidator(held_out, generator, spec, mesh)

    def evaluate(step: int, state: AdversarialState, writer: Writer) -> None:
        validator.run(
            step,
            replicate(mesh, state.ema),
            writer,
            run.workdir.folder / "pictures",
            config.songs_shown,
        )

    def describe(programs: Mapping[SegmentShape, CompiledStep], steps_done: int) -> None:
        seconds = info.frames["train"].sum() / spec.frames_per_sec
        (program,) = programs.values()
        log_primary(
            f"stage {NAME}: steps {steps_done} to {settings.steps}; {seconds:,.0f} s of "
            f"recordings, {rows * frames / spec.frames_per_sec:.1f} s of sound a step; {rows} x "
            f"{frames} frames compiled in {program.compile_sec:.1f} s, "
            f"{program.flops / 1e9:.2f} GFLOP and "
            f"{program.memory_bytes / 1e6:.1f} MB on a device\n"
            f"  checkpoints go to {run.workdir.checkpoints / NAME}"
        )

    shape, sharding = SegmentShape(rows, frames), batch_sharded(mesh)
    arrays = Segments((rows, frames * spec.hop), (rows, frames, spec.n_mels), (rows, frames))
    return TrainTask(
        name=NAME,
        steps=settings.steps,
        start=start,
        fixed={},
        update=update,
        learning_rate=learning_rate,
        shapes={
            shape: Segments(
                *(jax.ShapeDtypeStruct(x, jnp.float32, sharding=sharding) for x in arrays)
            )
        },
        shape_of=lambda step: shape,
        batches=batches,
        frames_of=lambda step: rows * frames,
        names_of=names_of,
        describe=describe,
        evaluate=evaluate,
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


def _tuples(settings: dict[str, Any]) -> dict[str, Any]:
    """What flags may have made lists."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}


def _licence(recordings: PreparedRecordings, start: NeuralVocoder) -> str:
    """Of the recordings, and of the weights that the training started from."""
    parts = [recordings.info.licence]
    if start.licence and start.licence != recordings.info.licence:
        parts.append(f"trained from {start.name}: {start.licence}")
    return "; ".join(part for part in parts if part)
