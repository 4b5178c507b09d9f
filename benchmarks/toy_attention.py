"""Whether alignment is learnt where it is known: toys that take a minute.

    python benchmarks/toy_attention.py
    python benchmarks/toy_attention.py --family glow_tts

Eight sentences of four to six phonemes, each phoneme a colour of mel. A Tacotron 2, to which each
lasts four frames, speaks them by itself after some hundred steps; printed is the share of sentences
that it ends where they end, of its steps that look at the right phoneme, and that do not look back.
To a Glow-TTS they last one to seven frames; printed is how many of their boundaries its search
finds, and how many are at most a frame away, beside cutting evenly.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import measure  # noqa: E402

from diffsinger_jax.models.families import build_acoustic  # noqa: E402
from diffsinger_jax.pipeline.collate import collate  # noqa: E402
from diffsinger_jax.pipeline.plan import Bucket  # noqa: E402
from diffsinger_jax.tasks.speech.losses import LOSSES  # noqa: E402
from diffsinger_jax.types import Batch, CorpusInfo, MelSpec, Vocabulary  # noqa: E402
from diffsinger_jax.voices.voice import empty_batch  # noqa: E402

BINS, PHONEMES, FRAMES, SENTENCES, NOISE = 12, 8, 4, 8, 0.05
PREDICTOR = dict(predictor_layers=1, predictor_hidden=8, predictor_dropout=0.0)
TACOTRON2 = dict(
    hidden=16,
    encoder_layers=1,
    kernel_size=3,
    dropout=0.0,
    reduction=2,
    decoder_hidden=32,
    prenet=16,
    attention=16,
    filters=4,
    postnet_layers=1,
    postnet_hidden=8,
    **PREDICTOR,
)
GLOW_TTS = dict(
    hidden=16,
    encoder_layers=1,
    heads=1,
    kernel_size=3,
    dropout=0.0,
    flow_blocks=2,
    flow_hidden=16,
    flow_layers=1,
    flow_kernel_size=3,
    search="mel",
    alignment_prior=1.0,
    **PREDICTOR,
)
WEIGHTS = {
    "tacotron2": {"mel": 1.0, "stop": 1.0, "diagonal": 1.0},
    "glow_tts": {"likelihood": 1.0, "search": 1.0, "duration": 1.0},
}


def sentences(colours: np.ndarray, rng: np.random.Generator, lengths: Sequence[int]) -> Batch:
    """A batch of them, of f32[PHONEMES, BINS] log mels, each phoneme as long as one of these."""
    examples = []
    for number in range(SENTENCES):
        tokens = rng.permutation(PHONEMES)[: 4 + number % 3]
        frames = rng.choice(lengths, len(tokens)).astype(np.int32)
        frames[-1] += frames.sum() % 2  # an even number of all
        mel = np.repeat(colours[tokens], frames, axis=0)
        mel += rng.normal(0.0, NOISE, mel.shape).astype(np.float32)
        f0 = np.full(len(mel), 200.0, np.float32)
        example = {"tokens": (tokens + 1).astype(np.int32), "ph_frames": frames, "speaker": 0}
        examples.append({**example, "mel": mel, "f0": f0})
    return collate(examples, Bucket(SENTENCES, 6 * max(lengths) + 2, 6), BINS)


def learn(family: str, acoustic: Any, batch: Batch, steps: int) -> Any:
    """Params after so many steps on one batch."""
    params = jax.jit(acoustic.model.init)(jax.random.key(0), empty_batch(acoustic))["params"]
    loss_fn, optimizer = LOSSES[family].make(acoustic, WEIGHTS[family]), optax.adam(3e-3)

    @jax.jit
    def step(params: Any, state: Any, number: jax.Array) -> tuple[Any, Any, jax.Array]:
        key = jax.random.fold_in(jax.random.key(1), number)
        loss, gradient = jax.value_and_grad(lambda p: loss_fn(p, batch, key, True)[0])(params)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, loss

    state = optimizer.init(params)
    for number in range(steps):
        params, state, loss = step(params, state, np.int32(number))
        if number % 100 == 0:
            print(f"step {number}: loss {float(loss):.3f}", flush=True)
    return params


def spoken_row(params: Any, acoustic: Any, batch: Batch) -> dict[str, Any]:
    """How a Tacotron 2 looks at the sentences as it speaks them."""
    speak = jax.jit(lambda p: acoustic.speak(p, batch, jax.random.split(jax.random.key(2), 8)))
    spoken = jax.tree.map(np.asarray, speak(params))
    wanted = batch.mask.sum(axis=1) // TACOTRON2["reduction"]
    number = np.arange(spoken.weights.shape[1])
    right = spoken.weights.argmax(axis=2) == number[None] // (FRAMES // TACOTRON2["reduction"])
    real = number[None] < wanted[:, None]
    goes_on = np.diff(spoken.weights.argmax(axis=2), axis=1) >= 0
    return {
        "ends where it should": float(np.mean(spoken.steps == wanted)),
        "looks where it should": float(right[real].mean()),
        "never looks back": float(goes_on[real[:, 1:]].mean()),
    }


def aligned_row(params: Any, acoustic: Any, batch: Batch) -> dict[str, Any]:
    """How many boundaries a Glow-TTS's search finds."""
    real = np.asarray(batch.tokens)[:, 1:] > 0  # a boundary before each phoneme but the first
    counts, frames = (np.asarray(batch.tokens) > 0).sum(axis=1), np.asarray(batch.mask).sum(axis=1)
    even = np.arange(1, real.shape[1] + 1)[None] * (frames / counts)[:, None]
    found = np.cumsum(jax.jit(acoustic.align)(params, batch), axis=1)[:, :-1]
    true = np.cumsum(batch.ph_frames, axis=1)[:, :-1]
    return {
        "boundaries found": float(np.mean((found == true)[real])),
        "within a frame": float(np.mean((abs(found - true) <= 1)[real])),
        "cut evenly": float(np.mean((abs(even - true) <= 1)[real])),
    }


TOYS: Mapping[str, tuple[Mapping[str, Any], Sequence[int], Callable[..., dict[str, Any]]]] = {
    "tacotron2": (TACOTRON2, (FRAMES,), spoken_row),
    "glow_tts": (GLOW_TTS, range(1, 8), aligned_row),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--family", choices=TOYS, default="tacotron2")
    measure.add_report_flags(parser)
    flags = parser.parse_args(arguments)
    model, lengths, row_of = TOYS[flags.family]
    spec = MelSpec(n_mels=BINS)
    low, high = np.full(BINS, -4.0, np.float32), np.full(BINS, -2.0, np.float32)
    info = CorpusInfo("toy", spec, Vocabulary(tuple("abcdefgh")), low, high)
    acoustic = build_acoustic(flags.family, model, {}, "", info)
    rng = np.random.default_rng(0)
    colours = rng.uniform(-4.0, -2.0, (PHONEMES, BINS)).astype(np.float32)
    batch = sentences(colours, rng, lengths)
    params = learn(flags.family, acoustic, batch, flags.steps)
    row = {"steps": flags.steps, **row_of(params, acoustic, batch)}
    measure.report(flags, f"Alignment of a toy, {flags.family}", [row], f"{SENTENCES} sentences.")


if __name__ == "__main__":
    main()
