"""Whether a Tacotron 2 learns to look along the diagonal, and to stop: a toy that takes a minute.

    python benchmarks/toy_attention.py

Eight sentences of four to six phonemes, each phoneme a colour of mel that lasts four frames. After
some hundred steps the model speaks them by itself; printed is the share of sentences that it ends
where they end, of its steps that look at the right phoneme, and that do not look back.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import measure  # noqa: E402

from diffsinger_jax.models.families import build_acoustic  # noqa: E402
from diffsinger_jax.models.tacotron2 import Tacotron2Model  # noqa: E402
from diffsinger_jax.pipeline.collate import collate  # noqa: E402
from diffsinger_jax.pipeline.plan import Bucket  # noqa: E402
from diffsinger_jax.tasks.speech.losses import tacotron2_loss  # noqa: E402
from diffsinger_jax.types import Batch, CorpusInfo, MelSpec, Vocabulary  # noqa: E402
from diffsinger_jax.voices.voice import empty_batch  # noqa: E402

BINS, PHONEMES, FRAMES, SENTENCES = 12, 8, 4, 8
MODEL = dict(
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
    predictor_layers=1,
    predictor_hidden=8,
    predictor_dropout=0.0,
)
WEIGHTS = {"mel": 1.0, "stop": 1.0, "diagonal": 1.0}


def sentences(colours: np.ndarray, rng: np.random.Generator) -> Batch:
    """A batch of them, of f32[PHONEMES, BINS] log mels."""
    examples = []
    for number in range(SENTENCES):
        tokens = rng.permutation(PHONEMES)[: 4 + number % 3]
        lengths = np.full(len(tokens), FRAMES, np.int32)
        mel = np.repeat(colours[tokens], FRAMES, axis=0)
        f0 = np.full(len(mel), 200.0, np.float32)
        example = {"tokens": (tokens + 1).astype(np.int32), "ph_frames": lengths, "speaker": 0}
        examples.append({**example, "mel": mel, "f0": f0})
    return collate(examples, Bucket(SENTENCES, 6 * FRAMES, 6), BINS)


def learn(acoustic: Tacotron2Model, batch: Batch, steps: int) -> Any:
    """Params after so many steps on one batch."""
    params = jax.jit(acoustic.model.init)(jax.random.key(0), empty_batch(acoustic))["params"]
    loss_fn, optimizer = tacotron2_loss(acoustic, WEIGHTS), optax.adam(3e-3)

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


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=400)
    measure.add_report_flags(parser)
    flags = parser.parse_args(arguments)
    spec = MelSpec(n_mels=BINS)
    low, high = np.full(BINS, -4.0, np.float32), np.full(BINS, -2.0, np.float32)
    info = CorpusInfo("toy", spec, Vocabulary(tuple("abcdefgh")), low, high)
    acoustic = build_acoustic("tacotron2", MODEL, {}, "", info)
    rng = np.random.default_rng(0)
    batch = sentences(rng.uniform(-4.0, -2.0, (PHONEMES, BINS)).astype(np.float32), rng)
    params = learn(acoustic, batch, flags.steps)
    speak = jax.jit(lambda p: acoustic.speak(p, batch, jax.random.split(jax.random.key(2), 8)))
    spoken = jax.tree.map(np.asarray, speak(params))
    wanted = batch.mask.sum(axis=1) // MODEL["reduction"]
    number = np.arange(spoken.weights.shape[1])
    right = spoken.weights.argmax(axis=2) == number[None] // (FRAMES // MODEL["reduction"])
    real = number[None] < wanted[:, None]
    goes_on = np.diff(spoken.weights.argmax(axis=2), axis=1) >= 0
    row = {
        "steps": flags.steps,
        "ends where it should": float(np.mean(spoken.steps == wanted)),
        "looks where it should": float(right[real].mean()),
        "never looks back": float(goes_on[real[:, 1:]].mean()),
    }
    measure.report(flags, "Attention of a toy", [row], f"{SENTENCES} sentences.")


if __name__ == "__main__":
    main()
