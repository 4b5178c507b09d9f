"""How a Tacotron 2's attention goes where it speaks by itself, and whether it stops.

    python benchmarks/attention.py --corpus prepared/ljspeech --voice runs/tacotron/voice \\
        --picture attention.png

Every text of a split is spoken without anything of its recording. Columns:

    stopped     whether its stop token ended it, not the most frames it may take
    lasts       its seconds over the recording's
    on path     share of the attention that is on the phoneme of the monotonic path along which most
                is, or on one of its two neighbours: 1 where attention is one clean line
    looked at   share of the phonemes that have the most attention of some step
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import measure  # noqa: E402

from diffsinger_jax.errors import InputError  # noqa: E402
from diffsinger_jax.evaluation.systems import batches_of, real_rows, row_keys  # noqa: E402
from diffsinger_jax.pipeline.mix import numbered_as  # noqa: E402
from diffsinger_jax.pipeline.prepared import Example, open_corpus, text  # noqa: E402
from diffsinger_jax.voices.voice import Voice, load_voice  # noqa: E402

SHOWN = 3
"""Texts that the picture has."""


class Attention(NamedTuple):
    """One text, as it was spoken.

    Attributes:
      weights: f32[S, N] until it stopped.
      steps: i32[N] of each phoneme along the monotonic path.
      stopped: whether it said so itself.
    """

    weights: np.ndarray
    steps: np.ndarray
    stopped: bool

    def on_path(self) -> float:
        """See the module's docstring."""
        phonemes = np.arange(len(self.steps))
        path = np.repeat(phonemes, self.steps)
        near = np.abs(phonemes[None] - path[:, None]) <= 1
        return float(self.weights[near].sum() / self.weights.sum())

    def looked_at(self) -> float:
        """See the module's docstring."""
        return len(set(self.weights.argmax(axis=1))) / len(self.steps)


def attentions(voice: Voice, examples: Sequence[Example]) -> list[Attention]:
    """Of the text of each example."""
    speak, reduction = jax.jit(voice.acoustic.speak), voice.acoustic.model.reduction
    found: dict[int, Attention] = {}
    for indices, batch in batches_of(examples, voice.info.mel.n_mels, 4096):
        spoken = jax.tree.map(np.asarray, speak(voice.params, batch, row_keys(0, indices)))
        for row, index in real_rows(indices):
            steps, count = int(spoken.steps[row]), len(examples[index]["tokens"])
            found[index] = Attention(
                spoken.weights[row, :steps, :count],
                spoken.frames[row, :count] // reduction,
                steps < spoken.weights.shape[1],
            )
    return [found[index] for index in range(len(examples))]


def draw(path: Path, heard: Sequence[Attention], names: Sequence[str]) -> None:
    """Where it looks, step by step, one panel for each text."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(heard), figsize=(4 * len(heard), 3.5), squeeze=False)
    for axis, one, name in zip(axes[0], heard, names, strict=True):
        axis.imshow(one.weights.T, origin="lower", aspect="auto", vmin=0, vmax=1)
        axis.set(title=name, xlabel="step", ylabel="phoneme")
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table, a row for each text."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True, help="prepared speech")
    parser.add_argument("--split", default="test")
    parser.add_argument("--voice", type=Path, required=True, help="a Tacotron 2")
    parser.add_argument("--picture", type=Path, help="file for the attention, a png")
    measure.add_report_flags(parser)
    flags = parser.parse_args(arguments)
    voice = load_voice(flags.voice)
    if voice.family != "tacotron2":
        raise InputError(f"--voice is a {voice.family}, expected a tacotron2, which has attention")
    corpus = numbered_as(open_corpus(flags.corpus), voice.info)
    examples = list(corpus.source(flags.split))
    names, heard = [text(e["name"]) for e in examples], attentions(voice, examples)
    reduction = voice.acoustic.model.reduction
    rows: list[dict[str, Any]] = [
        {
            "text": name,
            "stopped": "yes" if one.stopped else "no",
            "lasts": reduction * len(one.weights) / len(example["mel"]),
            "on path": one.on_path(),
            "looked at": one.looked_at(),
        }
        for name, one, example in zip(names, heard, examples, strict=True)
    ]
    if flags.picture:
        draw(flags.picture, heard[:SHOWN], names[:SHOWN])
    measure.report(flags, "Attention", rows, f"Texts of {flags.split}, spoken by themselves.")


if __name__ == "__main__":
    main()
