"""Quality against speed: what a voice's mels lose with fewer calls of its denoiser, by sampler.

    python benchmarks/quality.py --voice workdir/pjs/voice --corpus prepared/pjs --k_step 51

For every sampler and number of calls, with the singer's own durations and pitch:

    MCD         mel cepstral distortion in dB to the recordings
    MCD to all  to the mels of DDPM over all k steps, from the same starting noise: what fewer calls
                change. The row "other noise" says how far two such samples are from each other
    detail      how much the mel moves, from frame to frame and from bin to bin, over how much the
                recording's does: 1 is right, below is blurred, above is noise

Each row compiles its own program, so this takes a while; --pieces takes the first few of the split.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import measure  # noqa: E402

from diffsinger_jax.cli import runtime  # noqa: E402
from diffsinger_jax.diffusion.samplers import SAMPLERS  # noqa: E402
from diffsinger_jax.errors import InputError  # noqa: E402
from diffsinger_jax.evaluation.systems import mels_of  # noqa: E402
from diffsinger_jax.metrics import measures as metrics  # noqa: E402
from diffsinger_jax.pipeline.prepared import Example, open_corpus  # noqa: E402
from diffsinger_jax.voices.qualities import QUALITIES  # noqa: E402
from diffsinger_jax.voices.sampling import resolve_sampling  # noqa: E402
from diffsinger_jax.voices.voice import Voice, load_voice  # noqa: E402

CALLS = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 51, 64, 80, 100)
FRAMES_PER_BATCH = 4096
Row = dict[str, Any]


def measured(
    voice: Voice, examples: Sequence[Example], mels: Sequence[np.ndarray], whole: Sequence | None
) -> dict[str, float]:
    """The measures of the module's docstring; without the second where there is no `whole`."""
    spec, parts = voice.info.mel, []
    for i, (true, mel) in enumerate(zip(examples, mels, strict=True)):
        part = {"MCD": metrics.mcd(true["mel"], mel, spec)}
        if whole is not None:
            part["MCD to all"] = metrics.mcd(whole[i], mel, spec)
        parts.append(part | metrics.detail(true["mel"], mel, spec))
    found = {name: measure_.compute() for name, measure_ in metrics.merge_all(parts).items()}
    return {name.replace("_", " "): value for name, value in found.items()}


def draw(path: Path, rows: Sequence[Row], auxiliary: Mapping[str, float]) -> None:
    """One panel for each measure against the calls, a line for each sampler.

    Samplers that left the data, as PLMS does in one step, stand in the table alone: they would hide
    the others.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = ("MCD", "MCD to all", "detail time", "detail frequency")
    rows = [row for row in rows if row["MCD"] < 2 * auxiliary["MCD"]]
    figure, axes = pyplot.subplots(1, len(names), figsize=(16, 4), layout="constrained")
    for axis, name in zip(axes, names, strict=True):
        for method in SAMPLERS:
            points = [(r["calls"], r[name]) for r in rows if r["method"] == method and name in r]
            if points:
                axis.plot(*zip(*points, strict=True), marker=".", label=method)
        if name in auxiliary:
            axis.axhline(auxiliary[name], color="gray", linestyle=":", label="auxiliary mel")
        axis.set(xscale="log", xlabel="calls of the denoiser", title=name)
    axes[0].legend()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures every sampler at every number of calls."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--voice", required=True, metavar="DIR", help="that samples a diffusion")
    parser.add_argument("--corpus", required=True, help="the prepared corpus of the voice")
    parser.add_argument("--split", default="test")
    parser.add_argument("--pieces", type=int, help="only the first so many")
    parser.add_argument("--k_step", type=int, help="where sampling starts; the voice's own")
    parser.add_argument("--temperature", type=float, help="factor on the noise; the voice's own")
    parser.add_argument("--method", nargs="+", choices=SAMPLERS, default=list(SAMPLERS))
    parser.add_argument("--calls", type=int, nargs="+", default=CALLS, help="those up to k")
    parser.add_argument("--picture", type=Path, help="file for the plot, a png")
    measure.add_report_flags(parser)
    options = parser.parse_args(arguments)
    voice = load_voice(options.voice)
    if not voice.path.discrete:
        raise InputError(
            f"the voice {voice.name} samples a flow, of which there is no sampling of every step; "
            "benchmarks/flow_calls.py measures such voices"
        )
    k_step = options.k_step or voice.sampling.k_step
    if not 1 <= k_step <= voice.path.depth:
        raise InputError(f"--k_step is 1 to {voice.path.depth} here, got {k_step}")
    corpus = open_corpus(options.corpus)
    if different := voice.info.mel.differences(corpus.info.mel):
        raise InputError(f"the corpus has another mel than the voice ({'; '.join(different)})")
    examples = list(corpus.source(options.split))[: options.pieces]
    runtime.remember_compiled_programs()

    def mels(k_step: float, *, seed: int = 0, **how: Any) -> list[np.ndarray]:
        sampling = resolve_sampling(voice, k_step=k_step, temperature=options.temperature, **how)
        return mels_of(voice, examples, sampling, seed=seed, frames_per_batch=FRAMES_PER_BATCH)

    auxiliary = measured(voice, examples, mels(0), None)
    whole = mels(k_step, steps=k_step, method="ddpm")
    rows: list[Row] = [{"method": "auxiliary mel", "calls": 0} | auxiliary]
    other = measured(voice, examples, mels(k_step, seed=1, steps=k_step, method="ddpm"), whole)
    rows.append({"method": "ddpm, other noise", "calls": k_step} | other)
    for method in options.method:
        for calls in sorted({min(calls, k_step) for calls in options.calls}):
            steps = calls - SAMPLERS[method].extra_calls
            if steps < 1:
                continue
            found = measured(voice, examples, mels(k_step, steps=steps, method=method), whole)
            meant = [
                name
                for name, quality in QUALITIES.items()
                if quality.method == method and min(quality.steps or k_step, k_step) == steps
            ]
            rows.append({"method": method, "calls": calls, **found, "quality": ", ".join(meant)})
            print(measure.line(rows[-1]), flush=True)
    if options.picture:
        draw(options.picture, rows, auxiliary)
    seconds = sum(len(e["mel"]) for e in examples) / voice.info.mel.frames_per_sec
    about = (
        f"{voice.name}, k = {k_step}, {len(examples)} pieces of {options.split}, {seconds:.0f} s"
    )
    measure.report(options, f"Quality against calls: {about}", rows, f"The voice {about}.")


if __name__ == "__main__":
    runtime.run(main)
