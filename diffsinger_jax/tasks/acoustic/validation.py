"""How a stage stands on the validation split: losses, and songs to look at and listen to."""

from __future__ import annotations

import jax
import numpy as np

from diffsinger_jax.audio.vocoder import harmonic_plus_noise
from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.engine.hosts import is_primary
from diffsinger_jax.engine.metrics import Mean
from diffsinger_jax.engine.sharding import global_batch, replicated
from diffsinger_jax.engine.state import Params
from diffsinger_jax.engine.writer import Writer
from diffsinger_jax.pipeline.batches import eval_batches
from diffsinger_jax.pipeline.plan import Bucket
from diffsinger_jax.tasks.acoustic.stages import AUXILIARY, DIFFUSION, AcousticRun, Stage
from diffsinger_jax.types import Batch


class Validator:
    """Everything that is measured and shown while a stage trains; the same keys every time.

    All hosts compute it together; the first one draws, sounds and writes.
    """

    def __init__(self, run: AcousticRun, stage: Stage, buckets: tuple[Bucket, ...]):
        """Compiles nothing yet. A corpus without a validation split is validated not at all.

        The first `config.songs_shown` of its first batch are drawn and sounded, always the same.
        """
        self._about, self._stage, self._buckets = run, stage, buckets
        acoustic, everywhere = run.acoustic, replicated(run.mesh)

        def losses(params: Params, batch: Batch, number: np.ndarray) -> dict[str, Mean]:
            key = jax.random.fold_in(jax.random.key(0), number)
            return stage.loss_fn(params, batch, key, False)[1]

        def sample(params: Params, batch: Batch, sampling: Sampling) -> jax.Array:
            keys = jax.random.split(jax.random.key(0), len(batch.tokens))
            return acoustic.sample_mel(params, batch, keys, sampling.temperature, sampling=sampling)

        self._losses = jax.jit(losses, out_shardings=everywhere)
        self._sample = jax.jit(sample, static_argnames=("sampling",), out_shardings=everywhere)
        self._f0 = jax.jit(acoustic.predict_f0, out_shardings=everywhere)
        self._vocoder = jax.jit(harmonic_plus_noise, static_argnames=("spec",))

    def run(self, step: int, params: Params, writer: Writer) -> None:
        """Writes validation losses, pictures and sounds after `step` updates.

        Args:
          step: updates done.
          params: all of them, whole on each device.
          writer: of this process.
        """
        corpus, mesh = self._about.corpus, self._about.mesh
        if "validation" not in corpus.splits:
            return
        if self._stage.shown and self._about.config.songs_shown:
            self._show(
                step, params, next(eval_batches(corpus, "validation", self._buckets)), writer
            )
        sums: dict[str, Mean] = {}
        for number, rows in enumerate(
            eval_batches(
                corpus,
                "validation",
                self._buckets,
                host_index=jax.process_index(),
                host_count=jax.process_count(),
                rows_multiple=mesh.size,
            )
        ):
            parts = self._losses(params, global_batch(mesh, rows), np.int32(number))
            for name, part in jax.device_get(parts).items():
                sums[name] = sums[name].merge(part) if name in sums else part
        writer.numbers(step, {f"validation_{k}": float(v.compute()) for k, v in sums.items()})

    def _show(self, step: int, params: Params, batch: Batch, writer: Writer) -> None:
        """Pictures and sounds of the first songs of a batch."""
        config, shown = self._about.config, self._stage.shown
        batch = jax.tree.map(lambda x: x[: config.songs_shown], batch)
        mels = {"truth": batch.mel}
        if AUXILIARY in shown:
            mels[AUXILIARY] = self._sample(params, batch, sampling=Sampling(k_step=0, steps=1))
        if DIFFUSION in shown:
            mels[DIFFUSION] = self._sample(params, batch, sampling=config.voice_sampling)
        mels = {name: np.asarray(mel) for name, mel in mels.items()}
        f0 = np.asarray(self._f0(params, batch))
        if is_primary():
            with writer.attempt():
                self._write(step, batch, mels, f0, writer)

    def _write(
        self, step: int, batch: Batch, mels: dict[str, np.ndarray], f0: np.ndarray, writer: Writer
    ) -> None:
        import matplotlib.image  # late: nothing is drawn where no songs are shown

        from diffsinger_jax import plots

        spec = self._about.corpus.info.mel
        sounds = {
            name: np.asarray(
                self._vocoder(mel, batch.f0, spec=spec, key=jax.random.key(0), mask=batch.mask)
            )
            for name, mel in mels.items()
        }
        pictures = self._about.workdir.folder / "pictures"
        pictures.mkdir(exist_ok=True)
        for row in range(len(batch.tokens)):
            frames = int(batch.mask[row].sum())
            if frames == 0:
                continue
            of_row = {name: mel[row, :frames] for name, mel in mels.items()}
            curves = {"truth": batch.f0[row, :frames], "predicted": f0[row, :frames]}
            for kind, draw, data in (
                ("mel", plots.mel_panels, of_row),
                ("f0", plots.f0_panel, curves),
            ):
                path = pictures / f"{self._stage.name}_{step:06d}_{kind}_{row}.png"
                draw(path, data, spec)
                writer.picture(step, f"{kind}/{row}", matplotlib.image.imread(path))
            for name, wav in sounds.items():
                writer.sound(step, f"{name}/{row}", wav[row, : frames * spec.hop], spec.sample_rate)
