"""Quality against calls for a flow beside a diffusion, trained alike on top of one voice.

    python benchmarks/flow.py --corpus prepared/pjs --steps 3000 --folder workdir/flow

Encoder and auxiliary decoder are the voice's and stay as they are. Denoisers with random weights
are trained on the same crops, at the same rate, for the same number of steps: one for the process
of configs/pjs_small.py, one for that of configs/flow_pjs_small.py, both with the voice's trunk, and
a flow with the trunk of configs/lynxnet2.py. What is trained is kept in --folder and is not trained
again.

Then all sample pieces that they were not trained on, with the singer's durations and f0:

    MCD         mel cepstral distortion in dB to the recordings
    detail      how much the mel moves, from frame to frame and from bin to bin, over how much the
                recording's does: 1 is right, below is blurred, above is noise
    modulation  how far the power of each bin's movement, by its rate, is from the recordings', dB
    NSIM        likeness of the recording's patterns, 1 at most
    DNSMOS      opinion from 1 to 5 of the sound by the built-in vocoder, with the package speechmos
    CPU s       of all threads together, for 10 s of mel, compiling left out
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import measure  # noqa: E402

from diffsinger_jax.cli import runtime  # noqa: E402
from diffsinger_jax.diffusion.sampling import Sampling  # noqa: E402
from diffsinger_jax.evaluation.sampling_search import measure_mels  # noqa: E402
from diffsinger_jax.evaluation.systems import mels_of  # noqa: E402
from diffsinger_jax.metrics import dnsmos  # noqa: E402
from diffsinger_jax.pipeline.collate import collate  # noqa: E402
from diffsinger_jax.pipeline.plan import Bucket  # noqa: E402
from diffsinger_jax.pipeline.prepared import Example, open_corpus  # noqa: E402
from diffsinger_jax.tasks.acoustic.regularizers import UNREGULARIZED, Regularizers  # noqa: E402
from diffsinger_jax.voices.sampling import resolve_sampling  # noqa: E402
from diffsinger_jax.voices.voice import Voice, load_voice, save_voice  # noqa: E402

CONFIGS = {"diffusion": "pjs_small", "flow": "flow_pjs_small", "flow, LYNXNet2": "lynxnet2"}
METHODS = {
    "diffusion": ("ddpm", "dpm_solver_pp_2m"),
    "flow": ("euler",),
    "flow, LYNXNet2": ("euler",),
}
TRUNK = ("trunk", "denoiser_channels", "denoiser_layers")
"""What of a config's model is taken where it names a trunk."""
MEASURES = {
    "mcd": "MCD",
    "detail_time": "detail time",
    "detail_frequency": "detail frequency",
    "modulation_distance": "modulation dB",
    "nsim": "NSIM",
    "dnsmos_ovrl": "DNSMOS",
}
"""What `measure_mels` measures, and the column."""
DRAWN = ("MCD", "detail time", "modulation dB", "DNSMOS")
CALLS = (1, 2, 5, 10, 20)
EMA = 0.99
FRAMES_PER_BATCH = 4096


@dataclasses.dataclass(frozen=True)
class Conditioned:
    """A piece as a denoiser is trained on it: f32[T, H], f32[T, M] and f32[T, M].

    Attributes:
      cond: what is sung.
      prior: the auxiliary mel, z.
      x0: the recording's, z.
    """

    cond: np.ndarray
    prior: np.ndarray
    x0: np.ndarray


def untrained(voice: Voice, kind: str, corpus: Path, seed: int) -> tuple[Voice, float]:
    """The voice with process and trunk of a config, random weights; the depth that it learns."""
    config = measure.load_config(ROOT / "configs" / f"{CONFIGS[kind]}.py", corpus)
    trunk = {name: config.model[name] for name in TRUNK} if "trunk" in config.model else {}
    made = dataclasses.replace(
        voice,
        model={**voice.model, **trunk},
        process=config.process,
        schedule=config.schedule.to_dict(),
        sampling=dataclasses.replace(
            voice.sampling,
            k_step=config.sampling.k_step,
            steps=config.sampling.steps,
            method=config.sampling.method,
            temperature=1.0,
        ),
    )
    params = {**voice.params, "denoiser": random_denoiser(made, seed)}
    return dataclasses.replace(made, params=params), float(config.denoiser.t_below)


def random_denoiser(voice: Voice, seed: int) -> Any:
    """A denoiser's params as its model begins, with a head of 0."""
    model = voice.acoustic.model
    mel, cond = jnp.zeros((1, 8, model.mel_bins)), jnp.zeros((1, 8, model.hidden))
    init = jax.jit(functools.partial(model.init, method="denoise"))
    made = init(jax.random.key(seed), mel, jnp.zeros(1), cond, mel, jnp.ones((1, 8), bool))
    return made["params"]["denoiser"]


def conditioned(voice: Voice, examples: Sequence[Example]) -> list[Conditioned]:
    """Every piece through the voice's encoder and auxiliary decoder."""
    frames = -(-max(len(e["mel"]) for e in examples) // 64) * 64
    bucket = Bucket(rows=1, frames=frames, phonemes=max(len(e["tokens"]) for e in examples))
    acoustic = voice.acoustic

    @jax.jit
    def pair(params: Any, batch: Any) -> tuple[jax.Array, jax.Array]:
        cond = acoustic.condition(params, batch)
        return cond[0], acoustic._apply(params, "auxiliary_mel", cond, batch.mask)[0]

    found = []
    for example in examples:
        batch = collate([example], bucket, voice.info.mel.n_mels, voice.curves)
        cond, prior = (np.asarray(x)[: len(example["mel"])] for x in pair(voice.params, batch))
        x0 = np.asarray(acoustic.scaling.scale(jnp.asarray(example["mel"])[None])[0])
        found.append(Conditioned(cond, prior, x0))
    return found


def crops(
    pieces: Sequence[Conditioned], rows: int, frames: int, seed: int
) -> Iterator[tuple[np.ndarray, ...]]:
    """Batches (cond, prior, x0) of random places, [rows, frames, ...], without end."""
    rng = np.random.default_rng(seed)
    pieces = [piece for piece in pieces if len(piece.x0) >= frames]
    shares = np.array([len(piece.x0) for piece in pieces]) / sum(len(p.x0) for p in pieces)
    while True:
        chosen = [pieces[i] for i in rng.choice(len(pieces), rows, p=shares)]
        starts = [int(rng.integers(len(piece.x0) - frames + 1)) for piece in chosen]
        yield tuple(
            np.stack(
                [getattr(p, name)[i : i + frames] for p, i in zip(chosen, starts, strict=True)]
            )
            for name in ("cond", "prior", "x0")
        )


def denoising_loss(  # long: arguments of a loss
    voice: Voice,
    depth: float,
    regularizers: Regularizers,
    denoiser: Any,
    batch: tuple,
    key: jax.Array,
) -> jax.Array:
    """Squared distance of a denoiser's output from its target, as in the engine's second stage."""
    cond, prior, x0 = batch
    rows = jnp.arange(len(x0))
    params = {**voice.params, "denoiser": denoiser}
    process = voice.acoustic.make_process(params)
    time_key, noise_key = jax.random.split(key)
    places = (jax.random.uniform(time_key) + rows / len(x0)) % 1.0
    t, eps = process.training_times(places, depth), jax.random.normal(noise_key, x0.shape)
    x_t = process.marginal(x0, t, eps)
    cond, shown = regularizers.show(key, rows, cond, prior)
    output = denoise(voice, params, process, x_t, t, cond, prior, shown)
    return jnp.square(output - process.target(x0, x_t, t, eps, prior)).mean()


def denoise(  # long: what a denoiser is shown
    voice: Voice, params: Any, process: Any, x_t: Any, t: Any, cond: Any, prior: Any, shown: Any
) -> jax.Array:
    """The denoiser's output for crops; `prior` is the process's, `shown` the denoiser's."""
    mask = jnp.ones(x_t.shape[:2], bool)
    told = process.trunk_input(x_t, t, prior), process.trunk_time(t)
    return voice.acoustic._apply(params, "denoise", *told, cond, shown, mask)


def train(
    voice: Voice, depth: float, batches: Iterator, steps: int, peak: float
) -> tuple[Voice, list[float]]:
    """The voice with its denoiser trained, averaged; the losses."""
    loss_of = functools.partial(denoising_loss, voice, depth, UNREGULARIZED)
    warmup = min(100, steps // 10)
    schedule = optax.warmup_cosine_decay_schedule(0.0, peak, warmup, steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule, b2=0.98))

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: tuple, batch: tuple, key: jax.Array) -> tuple[tuple, jax.Array]:
        denoiser, average, optimizer_state = state
        loss, gradient = jax.value_and_grad(loss_of)(denoiser, batch, key)
        updates, optimizer_state = optimizer.update(gradient, optimizer_state)
        denoiser = optax.apply_updates(denoiser, updates)
        average = optax.incremental_update(denoiser, average, 1.0 - EMA)
        return (denoiser, average, optimizer_state), loss

    first = jax.tree.map(jnp.asarray, voice.params["denoiser"])
    state = first, jax.tree.map(jnp.array, first), optimizer.init(first)
    losses: list[float] = []
    for number in range(steps):
        key = jax.random.fold_in(jax.random.key(0), number)
        state, loss = step(state, next(batches), key)
        losses.append(float(loss))
        if (number + 1) % 50 == 0:
            print(f"{number + 1} of {steps} steps, loss {np.mean(losses[-50:]):.4f}", flush=True)
    params = {**voice.params, "denoiser": jax.tree.map(np.asarray, state[1])}
    return dataclasses.replace(voice, params=params), losses


def measured(voice: Voice, examples: Sequence[Example], sampling: Sampling) -> dict[str, float]:
    """The measures of the module's docstring."""
    found = measure_mels(
        voice,
        examples,
        sampling,
        frames_per_batch=FRAMES_PER_BATCH,
        sound=dnsmos.installed(),
    )
    return {column: found[name] for name, column in MEASURES.items() if name in found}


def rows_of(
    kind: str, voice: Voice, examples: Sequence[Example], calls: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """A row of the table for each method and number of calls."""
    seconds = sum(len(e["mel"]) for e in examples) / voice.info.mel.frames_per_sec
    for method in METHODS[kind]:
        for steps in calls:
            sampling = resolve_sampling(voice, method=method, steps=steps)
            row = {
                "": kind,
                "method": method,
                "calls": steps,
                **measured(voice, examples, sampling),
            }
            started = time.process_time()
            mels_of(voice, examples, sampling, seed=0, frames_per_batch=FRAMES_PER_BATCH)
            yield row | {"CPU s": 10.0 * (time.process_time() - started) / seconds}


def draw(path: Path, rows: Sequence[dict[str, Any]], auxiliary: dict[str, float]) -> None:
    """One panel for each measure of `DRAWN` against the calls, a line for each method."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = [name for name in DRAWN if name in auxiliary]
    size = 4 * len(names), 4
    figure, axes = pyplot.subplots(1, len(names), figsize=size, layout="constrained")
    for axis, name in zip(axes, names, strict=True):
        for label in dict.fromkeys((row[""], row["method"]) for row in rows):
            points = [(r["calls"], r[name]) for r in rows if (r[""], r["method"]) == label]
            axis.plot(*zip(*points, strict=True), marker="o", label=", ".join(label))
        axis.axhline(auxiliary[name], color="gray", linestyle=":", label="auxiliary mel")
        axis.set(xscale="log", xlabel="calls of the denoiser", title=name)
    axes[0].legend()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains what is not trained yet, then measures all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--voice", default=ROOT / "data" / "voices" / "pjs", metavar="DIR")
    parser.add_argument("--corpus", required=True, type=Path, help="the voice's, prepared")
    parser.add_argument("--folder", required=True, type=Path, help="for what is trained")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--rows", type=int, default=8, help="of a batch")
    parser.add_argument("--frames", type=int, default=192, help="of a crop")
    parser.add_argument("--peak", type=float, default=1.5e-3, help="of the learning rate")
    parser.add_argument("--calls", type=int, nargs="+", default=CALLS)
    parser.add_argument("--pieces", type=int, help="of the test split, the first so many")
    parser.add_argument("--picture", type=Path, help="file for the plot, a png")
    measure.add_report_flags(parser)
    options = parser.parse_args(arguments)
    voice, corpus = load_voice(options.voice), open_corpus(options.corpus)
    runtime.remember_compiled_programs()
    pieces: list[Conditioned] = []
    voices = {}
    for kind in CONFIGS:
        folder = options.folder / kind.replace(", ", "_").lower()
        if not folder.is_dir():
            pieces = pieces or conditioned(voice, list(corpus.source("train")))
            print(f"training the {kind}", flush=True)
            start, depth = untrained(voice, kind, options.corpus, seed=0)
            batches = crops(pieces, options.rows, options.frames, seed=0)
            trained, _ = train(start, depth, batches, options.steps, options.peak)
            save_voice(folder, trained)
        voices[kind] = load_voice(folder)
    examples = list(corpus.source("test"))[: options.pieces]
    auxiliary = measured(voice, examples, resolve_sampling(voice, k_step=0))
    rows: list[dict[str, Any]] = []
    for kind, one in voices.items():
        for row in rows_of(kind, one, examples, options.calls):
            rows.append(row)
            print(measure.line(row), flush=True)
    if options.picture:
        draw(options.picture, rows, auxiliary)
    seconds = sum(len(e["mel"]) for e in examples) / voice.info.mel.frames_per_sec
    about = (
        f"Each trained for {options.steps} steps of {options.rows} x {options.frames} frames; "
        f"{len(examples)} pieces of the test split, {seconds:.0f} s; diffusion from "
        f"k = {voices['diffusion'].sampling.k_step}, flow from t = "
        f"{1 - float(voices['flow'].sampling.k_step):g}."
    )
    first = {"": "auxiliary mel", "method": "", "calls": 0, **auxiliary}
    measure.report(options, "Flow beside diffusion", [first, *rows], about)


if __name__ == "__main__":
    runtime.run(main)
