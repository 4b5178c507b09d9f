"""How `benchmarks/accelerator.py` trains, and what it brings back: weights and what goes on.

A library. The files that come back are small ones of numpy alone: of each stage its averaged
weights in bfloat16; of the stage at work also its params (float32) and its optimizer's state
(bfloat16: a few thousand steps forget the rounding); and the small files of the workdir.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np
from absl import logging

from diffsinger_jax.atomic_write import atomic_write
from diffsinger_jax.cli import runtime
from diffsinger_jax.engine.checkpoint import Checkpoints
from diffsinger_jax.engine.clock import is_out_of_time
from diffsinger_jax.engine.state import TrainState, join_params, split_params
from diffsinger_jax.engine.workdir import Workdir
from diffsinger_jax.errors import InputError
from diffsinger_jax.pipeline.packed import packed_config
from diffsinger_jax.tasks.acoustic.config import AcousticConfig, acoustic_config
from diffsinger_jax.tasks.acoustic.measurements import measure_prior
from diffsinger_jax.tasks.acoustic.stage_run import stage_task
from diffsinger_jax.tasks.acoustic.stages import AcousticRun, auxiliary_stage, denoiser_stage
from diffsinger_jax.tasks.acoustic.start import frozen_paths
from diffsinger_jax.tasks.acoustic.task import initial_params, make_voice, open_run, train_voice
from diffsinger_jax.voices.voice import save_voice

FILE_BYTES = 15_000_000
"""Of a file that comes back, at most."""
SMALL_FILES = ("config.json", "minutes.json", "metrics.jsonl", "checkpoints/prior_scale.json")
"""Of a workdir."""
BF16 = "|bf16"
"""Behind the name of an array that is bfloat16, which numpy's files have as u16."""
STAGES = {"auxiliary": auxiliary_stage, "denoiser": denoiser_stage}


def train(flags: argparse.Namespace) -> None:
    """Trains until its minutes are spent or a SIGTERM comes, and writes what comes back."""
    runtime.keep_freed_memory()
    runtime.remember_compiled_programs()  # what comes back is gathered by some of them again
    logging.set_verbosity(logging.FATAL)  # as in `diffsinger-jax train`
    given = packed_config(flags.corpus)
    if flags.train_minutes is not None:
        given["stop_after_minutes"] = flags.train_minutes
    config = acoustic_config(given)
    if flags.resume is not None and not (flags.workdir / "checkpoints").exists():
        unpack(config, flags.workdir, flags.resume)
    try:
        train_voice(given, flags.workdir)
    finally:  # of a SIGTERM, too: the state is saved by then
        pack(config, flags.workdir, flags.out)


def make_voice_of(flags: argparse.Namespace) -> None:
    """Writes the voice of the averaged weights into `workdir/voice`, finished or not."""
    config = acoustic_config(packed_config(flags.corpus))
    if flags.resume is not None and not (flags.workdir / "checkpoints").exists():
        unpack(config, flags.workdir, flags.resume)
    run = open_run(config, Workdir(flags.workdir.absolute()))
    params = initial_params(run)
    states = dict(stage_states(run, params))
    if "denoiser" not in states:
        raise InputError(f"the denoiser in {flags.workdir} is not trained yet; go on training")
    for state in states.values():
        params = join_params(params, state.ema)
    params = {**params, **measure_prior(run, params)}
    save_voice(flags.workdir / "voice", make_voice(config, run.corpus, params), dtype="bfloat16")
    print(f"the voice is in {flags.workdir / 'voice'}")


def pack(config: AcousticConfig, workdir: Path, out: Path) -> None:
    """Writes the last checkpoint of each stage and the small files of a workdir into `out`."""
    run = open_run(config, Workdir(workdir.absolute()))
    weights: dict[str, np.ndarray] = {}
    resume: dict[str, np.ndarray] = {}
    for name in SMALL_FILES:
        if (workdir / name).exists():
            weights[f"file/{name}"] = np.frombuffer((workdir / name).read_bytes(), np.uint8)
    for name, state in stage_states(run, initial_params(run)):
        weights[f"{name}/step"] = np.asarray(state.step)
        weights |= halved(named(f"{name}/ema", state.ema))
        if not is_finished(run, name, int(state.step)):
            resume |= named(f"{name}/params", state.params)
            resume |= halved(named(f"{name}/opt_state", state.opt_state))
    out.mkdir(parents=True, exist_ok=True)
    write_split(out, "weights", weights)
    write_split(out, "resume", resume)


def unpack(config: AcousticConfig, workdir: Path, out: Path) -> None:
    """The inverse: checkpoints and small files in an empty workdir.

    Raises:
      InputError: if nothing came back.
    """
    arrays = read_split(out)
    if not arrays:
        raise InputError(f"there are no weights_N.npz in {out}; give the --out of an earlier run")
    for name in SMALL_FILES:
        if (content := arrays.get(f"file/{name}")) is not None:
            (workdir / name).parent.mkdir(parents=True, exist_ok=True)
            (workdir / name).write_bytes(content.tobytes())
    run = open_run(config, Workdir(workdir.absolute()))
    params = initial_params(run)
    for name in STAGES:
        if f"{name}/step" not in arrays:
            continue
        state = start_state(run, name, params)
        step = arrays[f"{name}/step"]
        ema = filled(f"{name}/ema", state.ema, arrays)
        state = TrainState(
            step=jax.device_put(step),
            params=filled(f"{name}/params", ema, arrays),
            ema=jax.tree.map(lambda x: x + 0, ema),
            opt_state=filled(f"{name}/opt_state", state.opt_state, arrays),
        )
        checkpoints = _checkpoints(run, name)
        checkpoints.save(int(step), state)
        checkpoints.close()


def stage_states(run: AcousticRun, params: Any) -> Iterator[tuple[str, TrainState]]:
    """The last state of each stage that has one."""
    for name in STAGES:
        if (run.workdir.checkpoints / name).is_dir():
            checkpoints = _checkpoints(run, name)
            if checkpoints.latest() is not None:
                yield name, checkpoints.restore(start_state(run, name, params))
            checkpoints.close()


def start_state(run: AcousticRun, name: str, params: Any) -> TrainState:
    """A stage's state before its first step."""
    stage = STAGES[name](run)
    trained, frozen = split_params(params, stage.trained, frozen_paths(run.config))
    return stage_task(run, stage, trained, frozen).start()


def is_finished(run: AcousticRun, name: str, step: int) -> bool:
    """By its steps or by its minutes."""
    minutes = run.config.stage_minutes(name)
    return step >= run.config.stage(name).steps or is_out_of_time(run.workdir, name, minutes)


def _checkpoints(run: AcousticRun, name: str) -> Checkpoints:
    return Checkpoints(run.workdir.checkpoints / name, keep=run.config.keep_checkpoints)


def named(prefix: str, tree: Any) -> dict[str, np.ndarray]:
    """Arrays by the path that each has in the tree."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {prefix + jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def filled(prefix: str, tree: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """The tree with the arrays that `named` gave, and its own where there is none."""

    def of(path: Any, leaf: jax.Array) -> jax.Array:
        value = arrays.get(prefix + jax.tree_util.keystr(path), leaf)
        return jax.device_put(np.asarray(value, leaf.dtype), leaf.sharding)

    return jax.tree_util.tree_map_with_path(of, tree)


def halved(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """float32 as bfloat16, for a file; all else as it is."""
    return {
        name + BF16 if x.dtype == np.float32 else name: x.astype(ml_dtypes.bfloat16).view(np.uint16)
        if x.dtype == np.float32
        else x
        for name, x in arrays.items()
    }


def write_split(out: Path, kind: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Files `kind_N.npz` of at most `FILE_BYTES`, each whole; those of an earlier call go.

    An array is never split.
    """
    files: list[dict[str, np.ndarray]] = [{}]
    for name, array in arrays.items():
        if files[-1] and sum(x.nbytes for x in files[-1].values()) + array.nbytes > FILE_BYTES:
            files.append({})
        files[-1][name] = array
    for number, content in enumerate(files):
        with atomic_write(out / f"{kind}_{number}.npz") as partial:
            np.savez(partial, allow_pickle=False, **content)
    for old in out.glob(f"{kind}_*.npz"):
        if int(old.stem.rpartition("_")[2]) >= len(files):
            old.unlink()


def read_split(out: Path) -> dict[str, np.ndarray]:
    """All arrays of both kinds; bfloat16 as float32."""
    arrays = {}
    for file in sorted([*out.glob("weights_*.npz"), *out.glob("resume_*.npz")]):
        with np.load(file, allow_pickle=False) as content:
            for name in content.files:
                value = content[name]
                if name.endswith(BF16):
                    name, value = name.removesuffix(BF16), value.view(ml_dtypes.bfloat16)
                    value = value.astype(np.float32)
                arrays[name] = value
    return arrays
