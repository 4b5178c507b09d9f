"""How a stage stands on the validation split: losses, and songs to look at and listen to."""

from __future__ import annotations

from pathlib import Path

import jax
import matplotlib.image
import numpy as np
from ml_collections import ConfigDict

from diffsinger_jax import plots
from diffsinger_jax.audio.vocoder import harmonic_plus_noise
from diffsinger_jax.models.acoustic import AcousticModel
from diffsinger_jax.pipeline.batches import eval_batches
from diffsinger_jax.pipeline.plan import Bucket
from diffsinger_jax.pipeline.prepared import PreparedCorpus
from diffsinger_jax.training.losses import Mean
from diffsinger_jax.training.state import Params
from diffsinger_jax.training.steps import LossFn
from diffsinger_jax.training.writer import Writer
from diffsinger_jax.types import Batch

AUXILIARY, DIFFUSION = "auxiliary", "diffusion"
"""The mels that a stage can show beside the recordings."""


class Validator:
    """Everything that is measured and shown while a stage trains; the same keys every time."""

    def __init__(
        self,
        corpus: PreparedCorpus,
        acoustic: AcousticModel,
        loss_fn: LossFn,
        sampling: ConfigDict,
        pictures: Path,
        buckets: tuple[Bucket, ...],
        *,
        stage: str,
        shown: tuple[str, ...],
        songs_shown: int,
    ):
        """Compiles nothing yet. A corpus without a validation split is validated not at all.

        The first `songs_shown` of its first batch are drawn and sounded, the same every time.
        """
        self._corpus, self._sampling, self._buckets = corpus, sampling, buckets
        self._pictures, self._stage = pictures, stage
        self._shown, self._songs_shown = shown, songs_shown
        self._loss = jax.jit(lambda params, batch, key: loss_fn(params, batch, key, False)[1])
        self._sample = jax.jit(acoustic.sample_mel, static_argnames=("k_step", "steps"))
        self._f0 = jax.jit(acoustic.predict_f0)
        self._vocoder = jax.jit(harmonic_plus_noise, static_argnames=("spec",))

    def run(self, step: int, params: Params, writer: Writer) -> None:
        """Writes validation losses, pictures and sounds after `step` updates."""
        if "validation" not in self._corpus.splits:
            return
        sums: dict[str, Mean] = {}
        for number, batch in enumerate(eval_batches(self._corpus, "validation", self._buckets)):
            if number == 0 and self._shown and self._songs_shown:
                self._show(step, params, batch, writer)
            key = jax.random.fold_in(jax.random.key(0), number)
            for name, part in self._loss(params, batch, key).items():
                sums[name] = sums[name].merge(part) if name in sums else part
        writer.numbers(step, {f"validation_{k}": float(v.compute()) for k, v in sums.items()})

    def _show(self, step: int, params: Params, batch: Batch, writer: Writer) -> None:
        """Pictures and sounds of the first songs of a batch."""
        batch = Batch(*(x[: self._songs_shown] for x in batch))
        rows = len(batch.tokens)
        keys = jax.random.split(jax.random.key(0), rows)
        mels = {"truth": batch.mel}
        if AUXILIARY in self._shown:
            mels[AUXILIARY] = self._sample(params, batch, keys, k_step=0)
        if DIFFUSION in self._shown:
            mels[DIFFUSION] = self._sample(
                params,
                batch,
                keys,
                k_step=self._sampling.k_step,
                steps=self._sampling.steps,
                temperature=self._sampling.temperature,
            )
        spec = self._corpus.info.mel
        f0 = np.asarray(self._f0(params, batch))
        sounds = {
            name: np.asarray(
                self._vocoder(mel, batch.f0, spec=spec, key=jax.random.key(0), mask=batch.mask)
            )
            for name, mel in mels.items()
        }
        self._pictures.mkdir(exist_ok=True)
        for row in range(rows):
            frames = int(batch.mask[row].sum())
            if frames == 0:
                continue
            of_row = {name: np.asarray(mel)[row, :frames] for name, mel in mels.items()}
            curves = {"truth": batch.f0[row, :frames], "predicted": f0[row, :frames]}
            for kind, draw, data in (
                ("mel", plots.mel_panels, of_row),
                ("f0", plots.f0_panel, curves),
            ):
                path = self._pictures / f"{self._stage}_{step:06d}_{kind}_{row}.png"
                draw(path, data, spec)
                writer.picture(step, f"{kind}/{row}", matplotlib.image.imread(path))
            for name, wav in sounds.items():
                writer.sound(step, f"{name}/{row}", wav[row, : frames * spec.hop], spec.sample_rate)
