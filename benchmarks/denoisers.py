"""What each part of a denoiser's recipe brings, at equal processor time, on one voice.

    python benchmarks/denoisers.py --corpus prepared/pjs --folder workdir/denoisers --minutes 6 \\
        --unseen prepared/pjs_unseen --shifted prepared/pjs_shifted --speech recordings

Encoder and auxiliary decoder are the voice's and are computed once for each piece. For each of
RECIPES a denoiser with random weights is trained on crops of 8 x 128 frames for as many processor
minutes, the last two fifths of them with a falling learning rate; recipes whose data is not given
are left out. A run that was cut off goes on, and what is done is not done again.

    error       squared error of the estimate of validation mels over the best pointwise one's, as
                `diffsinger-jax noise-levels` has it, on 64 crops: the mean over t = 2, 5, 10, 20
                and 40 of DiffSinger's schedule, and in the table of each

and of validation pieces that are sampled at temperature 1 in 5 calls, from as much noise as a flow
has at k_step 0.3:

    DNSMOS      opinion from 1 to 5 of the sound by the built-in vocoder: hears noise
    speaker     cosine of the speaker's embeddings of that sound and of the true mel's: hears blur
    modulation  how far the power of each bin's movement, by its rate, is from the recordings', dB
    MCD         mel cepstral distortion in dB to the recordings
    detail      how much the mel moves from frame to frame over how much the recording's does

--unseen is a corpus of songs that the voice was not trained on; --fold a voice that was trained
without --songs and gives their auxiliary mels (cross-fitting); --shifted the training songs with
`prepare --key_shift -5 5 --speed 0.75 1.35`; --speech a folder of the singer's sound files, from
which a restorer learns without labels: its prior is a blurred true mel, and it has no condition.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.ndimage import gaussian_filter

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import flow  # noqa: E402
import measure  # noqa: E402

from diffsinger_jax.atomic_write import atomic_write  # noqa: E402
from diffsinger_jax.audio.mel import log_mel  # noqa: E402
from diffsinger_jax.audio.wav import read_wav, resample  # noqa: E402
from diffsinger_jax.cli import runtime  # noqa: E402
from diffsinger_jax.diffusion.sampling import Sampling  # noqa: E402
from diffsinger_jax.evaluation.noise_levels import levels_of  # noqa: E402
from diffsinger_jax.evaluation.sampling_search import measure_mels  # noqa: E402
from diffsinger_jax.evaluation.systems import Sung, mels_of, vocode  # noqa: E402
from diffsinger_jax.metrics import dnsmos, speaker  # noqa: E402
from diffsinger_jax.pipeline.prepared import Example, open_corpus, text  # noqa: E402
from diffsinger_jax.tasks.acoustic.regularizers import UNREGULARIZED, Regularizers  # noqa: E402
from diffsinger_jax.voices.sampling import resolve_sampling  # noqa: E402
from diffsinger_jax.voices.voice import Voice, load_voice, save_voice  # noqa: E402

ROWS, FRAMES = 8, 128
PEAK, WEIGHT_DECAY, EMA, WARMUP, FALL = 1e-3, 0.02, 0.998, 100, 0.4
TIMES = (0, 2, 5, 10, 20, 40)
AVERAGED = slice(1, None)  # of them
DEPTH, CALLS = 0.3, 5
SAVE_EVERY_SEC = 60.0
BLUR_FRAMES, BLUR_BINS = 2.0, 1.0
SHOWN = Regularizers(drop_condition=0.15, drop_prior=0.3, prior_error=0.5)


class Recipe(NamedTuple):
    """How a denoiser is trained.

    Attributes:
      process: a name in `PROCESSES`.
      trunk: a name in `TRUNKS`.
      regularizers: what of a crop is shown.
      shares: of the rows of a batch, by where they are from.
    """

    process: str = "velocity"
    trunk: str = "lynxnet2"
    regularizers: Regularizers = SHOWN
    shares: Mapping[str, float] = {"corpus": 1.0}


RECIPES = {
    "flow, LYNXNet2": Recipe(),
    "no errors on the prior": Recipe(regularizers=SHOWN._replace(prior_error=0.0)),
    "all is shown": Recipe(regularizers=UNREGULARIZED),
    "half from unseen songs": Recipe(shares={"corpus": 0.5, "unseen": 0.5}),
    "half cross-fitted": Recipe(shares={"corpus": 0.5, "fold": 0.5}),
    "half shifted, stretched": Recipe(shares={"corpus": 0.5, "shifted": 0.5}),
    "a quarter read speech": Recipe(shares={"corpus": 0.75, "speech": 0.25}),
    "eps": Recipe(process="eps"),
    "x0": Recipe(process="x0"),
    "residual": Recipe(process="residual"),
    "flow, WaveNet": Recipe(trunk="wavenet"),
}
SIZES = {
    "lynxnet2": {"trunk": "lynxnet2", "denoiser_channels": 192, "denoiser_layers": 4},
    "wavenet": {"trunk": "wavenet", "denoiser_channels": 128, "denoiser_layers": 10},
}
FLOW_SCHEDULE = {"name": "straight", "time_scale": 1000.0}
SCHEDULE = {"name": "linear", "steps": 100, "beta_max": 0.06}

State = tuple[Any, Any, Any]
"""Params of the denoiser, their moving average, the optimizer's state."""


def untrained(voice: Voice, recipe: Recipe, variance: np.ndarray) -> Voice:
    """The voice with the recipe's process and trunk, random weights, and this spread f64[M]."""
    is_flow = recipe.process == "velocity"
    made = dataclasses.replace(
        voice,
        model={**voice.model, **SIZES[recipe.trunk]},
        process=recipe.process,
        schedule=FLOW_SCHEDULE if is_flow else SCHEDULE,
        sampling=dataclasses.replace(voice.sampling, k_step=1, steps=1, temperature=1.0),
    )
    params = {**voice.params, "denoiser": flow.random_denoiser(made, seed=0)}
    params["prior_scale"] = np.sqrt(variance).astype(np.float32)
    return dataclasses.replace(made, params=params, sampling=_sampling(made))


def _sampling(voice: Voice) -> Sampling:
    """CALLS from as much noise as a flow has at DEPTH."""
    path = voice.path
    if not path.discrete:
        return dataclasses.replace(voice.sampling, k_step=DEPTH, steps=CALLS, method="euler")
    alpha, sigma = path.on_host(np.arange(path.depth))
    k_step = 1 + int(np.argmin(np.abs(np.log(sigma / alpha) - np.log(DEPTH / (1 - DEPTH)))))
    return dataclasses.replace(voice.sampling, k_step=k_step, steps=CALLS, method="ddpm")


def read_speech(folder: Path, voice: Voice) -> list[flow.Conditioned]:
    """Sound files as pieces without a condition, whose prior is their own mel, blurred."""
    spec, found = voice.info.mel, []
    for file in sorted(f for f in folder.iterdir() if f.suffix in (".wav", ".flac")):
        wav, rate = read_wav(file)
        mel = log_mel(resample(wav, rate, spec.sample_rate), spec)
        x0 = np.asarray(voice.acoustic.scaling.scale(jnp.asarray(mel)[None])[0])
        prior = gaussian_filter(x0, (BLUR_FRAMES, BLUR_BINS))
        found.append(flow.Conditioned(np.zeros((len(x0), voice.model["hidden"])), prior, x0))
    return found


def read_sources(options: argparse.Namespace, voice: Voice) -> dict[str, list[flow.Conditioned]]:
    """The pieces to train on, by the names in `Recipe.shares`."""
    known = {"corpus": list(open_corpus(options.corpus).source("train"))}
    for name in ("unseen", "shifted"):
        if folder := getattr(options, name):
            known[name] = list(open_corpus(folder).source("train"))
    if "unseen" in known:
        seen = {text(e["name"]).split("#")[0] for e in known["corpus"]}
        known["unseen"] = [e for e in known["unseen"] if text(e["name"]).split("#")[0] not in seen]
    if "shifted" in known:
        plain = {text(e["name"]) for e in known["corpus"]}
        known["shifted"] = [e for e in known["shifted"] if text(e["name"]) not in plain]
    found = {name: flow.conditioned(voice, examples) for name, examples in known.items()}
    if options.fold:
        chosen = [e for e in known["corpus"] if text(e["name"]).startswith(tuple(options.songs))]
        pairs = (flow.conditioned(by, chosen) for by in (voice, load_voice(options.fold)))
        found["fold"] = [
            dataclasses.replace(ours, prior=other.prior) for ours, other in zip(*pairs, strict=True)
        ]
    if options.speech:
        found["speech"] = read_speech(options.speech, voice)
    for name, pieces in found.items():
        minutes = sum(len(p.x0) for p in pieces) / voice.info.mel.frames_per_sec / 60
        print(f"{name}: {len(pieces)} pieces, {minutes:.1f} minutes", flush=True)
    return found


def batches(
    recipe: Recipe, sources: Mapping[str, Sequence[flow.Conditioned]], seed: int
) -> Iterator[tuple[np.ndarray, ...]]:
    """Crops of all that the recipe takes, so many rows of each, without end."""
    parts = [
        flow.crops(sources[name], round(share * ROWS), FRAMES, seed)
        for name, share in recipe.shares.items()
    ]
    while True:
        yield tuple(np.concatenate(rows) for rows in zip(*map(next, parts), strict=True))


def errors_of(voice: Voice, variance: np.ndarray, denoiser: Any, batch: tuple) -> jax.Array:
    """f32[len(TIMES)] error over the pointwise estimate's, the mean over bins, of one batch."""
    cond, prior, x0 = batch
    params = {**voice.params, "denoiser": denoiser}
    process = voice.acoustic.make_process(params)

    def at(level: jax.Array) -> jax.Array:
        t = jnp.full(len(x0), level)
        eps = jax.random.normal(jax.random.key(0), x0.shape)
        x_t = process.marginal(x0, t, eps)
        output = flow.denoise(voice, params, process, x_t, t, cond, prior, prior)
        alpha, sigma = process.path.coefficients(t)
        noise = (sigma / alpha)[0, 0, 0] ** 2
        pointwise = jnp.asarray(variance, jnp.float32) * noise / (variance + noise)
        error = jnp.square(process.x0(output, x_t, t, prior) - x0).mean(axis=(0, 1))
        return (error / pointwise).mean()

    return jnp.stack([at(level) for level in levels_of(voice.path, np.asarray(TIMES))])


def train(  # long: a loop that resumes
    voice: Voice,
    recipe: Recipe,
    sources: Mapping[str, Sequence[flow.Conditioned]],
    judge: Callable[[Any], np.ndarray],
    minutes: float,
    file: Path,
) -> tuple[Voice, list[dict[str, Any]]]:
    """The voice with its denoiser trained, averaged, and its learning curve; kept in `file`."""
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.inject_hyperparams(optax.adamw)(PEAK, b2=0.98, weight_decay=WEIGHT_DECAY),
    )

    loss_of = functools.partial(flow.denoising_loss, voice, voice.path.depth, recipe.regularizers)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: State, batch: tuple, key: jax.Array) -> State:
        denoiser, average, memory = state
        gradient = jax.grad(loss_of)(denoiser, batch, key)
        updates, memory = optimizer.update(gradient, memory, denoiser)
        denoiser = optax.apply_updates(denoiser, updates)
        return denoiser, optax.incremental_update(denoiser, average, 1.0 - EMA), memory

    first = jax.tree.map(jnp.asarray, voice.params["denoiser"])
    state: State = first, jax.tree.map(jnp.array, first), optimizer.init(first)
    steps, spent, curve = 0, 0.0, []
    if file.exists():
        state = flax.serialization.from_bytes(state, file.read_bytes())
        kept = json.loads(file.with_suffix(".json").read_text())
        steps, spent, curve = kept["steps"], kept["seconds"], kept["curve"]
    data, whole = batches(recipe, sources, seed=steps), 60.0 * minutes
    last = time.process_time()
    while spent < whole:
        until = min(whole, (int(spent / SAVE_EVERY_SEC) + 1) * SAVE_EVERY_SEC)
        while spent < until:
            falling = min(1.0, (1.0 - spent / whole) / FALL)
            rate = PEAK * min(1.0, (steps + 1) / WARMUP) * max(0.02, falling)
            state[2][1].hyperparams["learning_rate"] = jnp.asarray(rate, jnp.float32)
            state = step(state, next(data), jax.random.fold_in(jax.random.key(0), steps))
            jax.block_until_ready(state[0])
            now = time.process_time()
            steps, spent, last = steps + 1, spent + now - last, now
        errors = judge(state[1])
        curve.append({"seconds": spent, "steps": steps, "errors": errors.tolist()})
        print(f"{spent:.0f} s, {steps} steps, error {errors[AVERAGED].mean():.3f}", flush=True)
        with atomic_write(file) as partial:
            partial.write_bytes(flax.serialization.to_bytes(jax.device_get(state)))
        with atomic_write(file.with_suffix(".json")) as partial:
            partial.write_text(json.dumps({"steps": steps, "seconds": spent, "curve": curve}))
        last = time.process_time()  # what judging took is not the recipe's
    params = {**voice.params, "denoiser": jax.tree.map(np.asarray, state[1])}
    return dataclasses.replace(voice, params=params), curve


def heard(voice: Voice, examples: Sequence[Example]) -> dict[str, float]:
    """The measures of what the voice samples, see the module's docstring."""
    how: dict[str, int] = {"frames_per_batch": flow.FRAMES_PER_BATCH}
    sampling, spec = voice.sampling, voice.info.mel
    found = measure_mels(voice, examples, sampling, sound=dnsmos.installed(), **how)
    row = {"DNSMOS": found.get("dnsmos_ovrl", float("nan"))}
    if speaker.installed():
        sampled = mels_of(voice, examples, sampling, seed=0, **how)
        sung, true = (
            vocode(
                [Sung(m, e["f0"], e["ph_frames"]) for m, e in zip(mels, examples, strict=True)],
                spec,
                seed=0,
                **how,
            )
            for mels in (sampled, [e["mel"] for e in examples])
        )
        embedded = [
            [speaker.speaker_embedding(wav, spec.sample_rate) for wav in wavs]
            for wavs in (sung, true)
        ]
        row["speaker"] = float(
            np.mean([speaker.speaker_cosine(*p) for p in zip(*embedded, strict=True)])
        )
    named = {"modulation_distance": "modulation dB", "mcd": "MCD", "detail_time": "detail"}
    return row | {column: found[name] for name, column in named.items()}


def draw(path: Path, curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """The learning curves, and the last errors at each level of noise."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    for number, (name, curve) in enumerate(curves.items()):
        style = {"color": f"C{number}", "linestyle": "-" if number < 6 else "--"}
        minutes = [point["seconds"] / 60 for point in curve]
        left.plot(minutes, [np.mean(p["errors"][AVERAGED]) for p in curve], label=name, **style)
        right.plot(range(len(TIMES)), curve[-1]["errors"], marker=".", **style)
    left.set(xlabel="processor minutes", ylabel="error over the pointwise estimate's", yscale="log")
    right.set(xlabel="t of DiffSinger's schedule", xticks=range(len(TIMES)), xticklabels=TIMES)
    right.set(yscale="log", ylim=(0.2, 10.0))
    left.legend(fontsize=8)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains what is not trained yet, measures it, prints the table after each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--voice", default=ROOT / "data" / "voices" / "pjs", metavar="DIR")
    parser.add_argument("--corpus", required=True, type=Path, help="the voice's, prepared")
    parser.add_argument("--unseen", type=Path, help="a prepared corpus")
    parser.add_argument("--shifted", type=Path, help="a prepared corpus")
    parser.add_argument("--fold", type=Path, help="a voice that has not seen --songs")
    parser.add_argument("--songs", nargs="+", default=[], help="of the corpus, by prefix")
    parser.add_argument("--speech", type=Path, help="a folder of sound files")
    parser.add_argument("--folder", required=True, type=Path, help="for what is trained")
    parser.add_argument("--minutes", type=float, default=6.0, help="of a processor, each")
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--picture", type=Path, help="file for the plot, a png")
    measure.add_report_flags(parser)
    options = parser.parse_args(arguments)
    runtime.remember_compiled_programs()
    voice, validation = load_voice(options.voice), open_corpus(options.corpus).source("validation")
    examples, sources = list(validation), read_sources(options, voice)
    crops = flow.crops(flow.conditioned(voice, examples), 16, FRAMES, seed=5)
    shown = [next(crops) for _ in range(4)]
    variance = np.mean([np.square(x0 - prior) for _, prior, x0 in shown], axis=(0, 1, 2))
    rows: list[dict[str, Any]] = []
    curves = {}
    for name, recipe in RECIPES.items():
        if name not in options.only or not set(recipe.shares) <= set(sources):
            continue
        folder = options.folder / name.replace(", ", "_").replace(" ", "_").lower()
        folder.mkdir(parents=True, exist_ok=True)
        print(f"{name}:", flush=True)
        start = untrained(voice, recipe, variance)
        errors = jax.jit(functools.partial(errors_of, start, variance))

        def judge(denoiser: Any, errors: Callable = errors) -> np.ndarray:
            return np.mean([errors(denoiser, batch) for batch in shown], axis=0)

        trained, curves[name] = train(
            start, recipe, sources, judge, options.minutes, folder / "state.msgpack"
        )
        known = folder / "heard.json"
        if not known.exists():
            save_voice(folder / "voice", trained)
            found = heard(trained, examples)
            known.write_text(json.dumps({"minutes": options.minutes, "row": found}))
        last = curves[name][-1]
        at = {f"t = {t}": e for t, e in zip(TIMES, last["errors"], strict=True)}
        rows.append(
            {"": name, "steps": last["steps"], **at, **json.loads(known.read_text())["row"]}
        )
        print(measure.line(rows[-1]), flush=True)
        if options.picture:
            draw(options.picture, curves)
    auxiliary = dataclasses.replace(voice, sampling=resolve_sampling(voice, k_step=0))
    first = {"": "auxiliary mel", "steps": 0, **heard(auxiliary, examples)}
    about = f"{options.minutes:g} processor minutes each; {len(examples)} validation pieces."
    measure.report(options, "Denoisers at equal time", [*rows, first], about)


if __name__ == "__main__":
    runtime.run(main)
