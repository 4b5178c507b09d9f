"""Compares exported acoustic graphs in ONNX Runtime with the voices themselves in JAX.

    python benchmarks/onnx_runtime.py --voices voices/a voices/b --beside a.onnx b.onnx

All are given the same phrase and called in turn:

    JAX      seconds of `Voice.sample_mel`, compiled before (p50)
    ORT      seconds of our exported graph
    x        JAX / ORT
    theirs   seconds of another program's export of the same voice, if there is one
    share    ORT / theirs
    depth0   largest difference of the auxiliary mels of JAX and of our graph, of their range
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import jax  # noqa: E402
import measure  # noqa: E402
import numpy as np  # noqa: E402

from diffsinger_jax.diffusion.sampling import Sampling  # noqa: E402
from diffsinger_jax.features import empty_batch  # noqa: E402
from diffsinger_jax.interop.openutau.acoustic_graph import acoustic_graph, reads_notes  # noqa: E402
from diffsinger_jax.types import Batch  # noqa: E402
from diffsinger_jax.voices.voice import Voice, load_voice  # noqa: E402

PHONEMES = 60


def phrase(voice: Voice, seconds: float) -> Batch:
    """One phoneme after the other, each as long, on one key; curves are zero, speed is 1."""
    spec = voice.info.mel
    frames = int(seconds * spec.frames_per_sec)
    empty = empty_batch(
        rows=1, frames=frames, phonemes=PHONEMES, mel_bins=spec.n_mels, curves=voice.curves
    )
    durations = np.diff(np.linspace(0, frames, PHONEMES + 1).astype(int))
    return empty._replace(
        tokens=np.ones((1, PHONEMES), np.int32),
        ph_frames=durations[None].astype(np.int32),
        mel2ph=np.repeat(np.arange(1, PHONEMES + 1), durations)[None].astype(np.int32),
        f0=np.full((1, frames), 220.0, np.float32),
        mask=np.ones((1, frames), bool),
        language=np.full((1, PHONEMES), -1, np.int32),
        curves={n: np.full((1, frames), n == "speed", np.float32) for n in voice.curves},
    )


def session(model: bytes, threads: int) -> Any:
    """A graph that is ready to run."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def feed(graph: Any, voice: Voice, batch: Batch, steps: int) -> dict[str, np.ndarray]:
    """The phrase as a graph takes it."""
    given = {
        "tokens": batch.tokens.astype(np.int64),
        "languages": np.zeros(batch.tokens.shape, np.int64),
        "durations": batch.ph_frames.astype(np.int64),
        "f0": batch.f0,
        "depth": np.float32(voice.sampling.k_step / voice.path.depth),
        "steps": np.int64(steps),
        "velocity": np.ones_like(batch.f0),
    }
    if "speaker_embedding" in voice.params:
        (table,) = voice.params["speaker_embedding"].values()
        given["spk_embed"] = np.tile(np.asarray(table[0]), (1, batch.f0.shape[1], 1))
    names = [value.name for value in graph.get_inputs()]
    return {name: np.asarray(given.get(name, np.zeros_like(batch.f0))) for name in names}


def compared(
    voice: Voice, beside: Path | None, flags: argparse.Namespace
) -> dict[str, str | float]:
    """A row."""
    batch, keys = phrase(voice, flags.seconds), jax.random.split(jax.random.key(0), 1)
    method = "euler" if voice.process == "velocity" else voice.sampling.method
    steps = min(flags.steps, int(voice.sampling.k_step)) if voice.path.discrete else flags.steps
    sampling = Sampling(voice.sampling.k_step, steps, method=method)
    started = time.perf_counter()
    ours = session(acoustic_graph(voice), flags.threads)
    export_sec = time.perf_counter() - started
    given = feed(ours, voice, batch, flags.steps)
    calls = {
        "JAX": lambda: np.asarray(voice.sample_mel(batch, keys, sampling)),
        "ORT": lambda: ours.run(None, given),
    }
    if beside is not None:
        theirs = session(beside.read_bytes(), flags.threads)
        same = feed(theirs, voice, batch, flags.steps)
        calls["theirs"] = lambda: theirs.run(None, same)
    spent = measure.in_turn(calls, flags.rounds)
    still = Sampling(0, 1, method=method)
    mel = np.asarray(voice.sample_mel(batch, keys, still))
    found = ours.run(None, given | {"depth": np.zeros((), np.float32)})[0]
    row = {"voice": voice.name, "seconds": flags.seconds, "steps": steps}
    row |= {"export s": export_sec}
    row |= {name: measure.percentile(seconds, 0.5) for name, seconds in spent.items()}
    row["x"] = measure.ratio(spent["JAX"], spent["ORT"])
    if beside is not None:
        row["share"] = measure.ratio(spent["ORT"], spent["theirs"])
    if reads_notes(voice):  # its graph is not given what the voice is
        return row
    return row | {"depth0": float(np.abs(mel - found).max() / np.ptp(mel))}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--voices", nargs="+", required=True, metavar="FOLDER")
    parser.add_argument("--beside", nargs="*", type=Path, default=[], metavar="FILE")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    measure.add_report_flags(parser)
    flags = parser.parse_args()
    others = [*flags.beside, *[None] * len(flags.voices)]
    rows = []
    for folder, other in zip(flags.voices, others, strict=False):
        rows.append(compared(load_voice(folder), other, flags))
        print(measure.line(rows[-1]), flush=True)
    import onnxruntime

    note = f"onnxruntime {onnxruntime.__version__}, {flags.threads} threads; {flags.rounds} rounds."
    measure.report(flags, "ONNX Runtime", rows, note)


if __name__ == "__main__":
    main()
