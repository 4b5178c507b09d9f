"""How a variance model stands on the validation split: losses, and pitch to look at."""

from __future__ import annotations

import jax
import numpy as np

from diffsinger_jax.engine.hosts import is_primary
from diffsinger_jax.engine.loop import RunContext
from diffsinger_jax.engine.losses import LossFn
from diffsinger_jax.engine.metrics import Mean
from diffsinger_jax.engine.sharding import global_batch, replicated
from diffsinger_jax.engine.state import Params
from diffsinger_jax.engine.writer import Writer
from diffsinger_jax.models.variance_inputs import inputs_of_batch
from diffsinger_jax.pipeline.batches import eval_batches
from diffsinger_jax.pipeline.mix import MixedCorpus
from diffsinger_jax.pipeline.plan import Bucket
from diffsinger_jax.pitch import midi_to_hz
from diffsinger_jax.types import Batch
from diffsinger_jax.voices.variance import VarianceVoice

TAKES = 3
"""Samples of each song that are drawn beside the singer's pitch."""


class VarianceValidator:
    """What is measured and shown while a variance model trains; the same keys every time.

    All hosts compute it together; the first one draws and writes.
    """

    def __init__(
        self,
        run: RunContext,
        corpus: MixedCorpus,
        voice: VarianceVoice,
        loss_fn: LossFn,
        buckets: tuple[Bucket, ...],
    ):
        """Compiles nothing yet. A corpus without a validation split is validated not at all."""
        self._run, self._corpus, self._buckets = run, corpus, buckets
        self._spec, everywhere = corpus.info.mel, replicated(run.mesh)
        variance, sampling = voice.variance, voice.sampling

        def losses(params: Params, batch: Batch, number: np.ndarray) -> dict[str, Mean]:
            key = jax.random.fold_in(jax.random.key(0), number)
            return loss_fn(params, batch, key, False)[1]

        def take(params: Params, batch: Batch, number: np.ndarray) -> tuple[jax.Array, jax.Array]:
            """The line and a sample, Hz, 0 where unvoiced."""
            inputs = inputs_of_batch(batch, self._spec.frames_per_sec, variance.model.curves)
            key = jax.random.fold_in(jax.random.key(1), number)
            keys = jax.random.split(key, len(batch.tokens))
            pitch = variance.sample_pitch(
                params, inputs, keys, sampling.temperature, sampling=sampling
            )
            voiced = variance.voiced(params, inputs)
            return midi_to_hz(inputs.line), jax.numpy.where(voiced, midi_to_hz(pitch), 0.0)

        self._losses = jax.jit(losses, out_shardings=everywhere)
        self._take = jax.jit(take, out_shardings=everywhere)
        self._draws = bool(voice.model.get("pitch_settings"))

    def run(self, step: int, params: Params, writer: Writer) -> None:
        """Writes validation losses and pictures after `step` updates.

        Args:
          step: updates done.
          params: all of them, whole on each device.
          writer: of this process.
        """
        if "validation" not in self._corpus.splits:
            return
        shown = self._run.config.songs_shown
        if shown and self._draws:
            batch = next(eval_batches(self._corpus, "validation", self._buckets))
            self._show(step, params, jax.tree.map(lambda x: x[:shown], batch), writer)
        sums: dict[str, Mean] = {}
        for number, rows in enumerate(
            eval_batches(
                self._corpus,
                "validation",
                self._buckets,
                host_index=jax.process_index(),
                host_count=jax.process_count(),
                rows_multiple=self._run.mesh.size,
            )
        ):
            parts = self._losses(params, global_batch(self._run.mesh, rows), np.int32(number))
            for name, part in jax.device_get(parts).items():
                sums[name] = sums[name].merge(part) if name in sums else part
        writer.numbers(step, {f"validation_{k}": float(v.compute()) for k, v in sums.items()})

    def _show(self, step: int, params: Params, batch: Batch, writer: Writer) -> None:
        """The notes, the singer and some takes of each song."""
        takes = [self._take(params, batch, np.int32(number)) for number in range(TAKES)]
        line = np.asarray(takes[0][0])
        samples = [np.asarray(f0) for _, f0 in takes]
        if is_primary():
            with writer.attempt():
                self._write(step, batch, line, samples, writer)

    def _write(
        self,
        step: int,
        batch: Batch,
        line: np.ndarray,
        samples: list[np.ndarray],
        writer: Writer,
    ) -> None:
        import matplotlib.image  # late: nothing is drawn where no songs are shown

        from diffsinger_jax import plots

        pictures = self._run.workdir.folder / "pictures"
        pictures.mkdir(exist_ok=True)
        for row in range(len(batch.tokens)):
            frames = int(batch.mask[row].sum())
            if frames == 0:
                continue
            curves = {"notes": line[row, :frames], "truth": batch.f0[row, :frames]}
            curves |= {f"take {i}": f0[row, :frames] for i, f0 in enumerate(samples, 1)}
            path = pictures / f"variance_{step:06d}_f0_{row}.png"
            plots.f0_panel(path, curves, self._spec)
            writer.picture(step, f"f0/{row}", matplotlib.image.imread(path))
