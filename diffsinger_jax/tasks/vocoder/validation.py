"""How a vocoder stands on recordings that it has not heard: distances, pictures, sounds."""

from __future__ import annotations

from pathlib import Path

import jax
import matplotlib.image
import numpy as np

from diffsinger_jax import plots
from diffsinger_jax.audio.mel import log_mel
from diffsinger_jax.engine.hosts import is_primary
from diffsinger_jax.engine.sharding import batch_sharded, replicated, shard
from diffsinger_jax.engine.state import Params
from diffsinger_jax.engine.writer import Writer
from diffsinger_jax.metrics import measures as metrics
from diffsinger_jax.models.nsf_hifigan import NsfHifigan
from diffsinger_jax.pipeline.segments import Segment, cut, stack
from diffsinger_jax.types import MelSpec


class VocoderValidator:
    """The same cut of each held-out recording every time.

    All hosts render together; the first one measures, draws, sounds and writes.
    """

    def __init__(
        self, cuts: list[Segment], generator: NsfHifigan, spec: MelSpec, mesh: jax.sharding.Mesh
    ):
        """Compiles nothing yet; without cuts it does nothing.

        Args:
          cuts: of held-out recordings, equally long; see `middle_cuts`.
          generator: the vocoder.
          spec: of its mel.
          mesh: of all devices.
        """
        self._cuts, self._spec, self._mesh = cuts, spec, mesh

        def render(params: Params, mel: jax.Array, f0: jax.Array) -> jax.Array:
            def row(mel: jax.Array, f0: jax.Array) -> jax.Array:
                return generator.apply({"params": params}, mel[None], f0[None], jax.random.key(0))[
                    0
                ]

            return jax.vmap(row)(mel, f0)

        self._render = jax.jit(render, out_shardings=replicated(mesh))

    def run(
        self, step: int, params: Params, writer: Writer, pictures: Path, songs_shown: int
    ) -> None:
        """Writes the distances of all cuts, and pictures and sounds of the first ones.

        Args:
          step: updates done.
          params: of the generator, whole on each device.
          writer: of this process.
          pictures: folder of the pictures.
          songs_shown: how many.
        """
        sounds = self._sounds(params)
        if not sounds or not is_primary():
            return
        parts = []
        for number, (truth, sound) in enumerate(zip(self._cuts, sounds, strict=True)):
            mel, true_mel = log_mel(sound, self._spec), log_mel(truth.wav, self._spec)
            mels = {"truth": true_mel, "vocoder": mel}
            parts.append(
                {
                    "mel": metrics.mel_distance(true_mel, mel, self._spec),
                    "mcd": metrics.mcd(true_mel, mel, self._spec),
                    "stft": metrics.stft_distance(truth.wav, sound),
                }
            )
            if number < songs_shown:
                with writer.attempt():
                    pictures.mkdir(exist_ok=True)
                    path = pictures / f"vocoder_{step:06d}_mel_{number}.png"
                    plots.mel_panels(path, mels, self._spec, f0=truth.f0)
                    writer.picture(step, f"mel/{number}", matplotlib.image.imread(path))
                for name, wav in (("truth", truth.wav), ("vocoder", sound)):
                    writer.sound(step, f"{name}/{number}", wav, self._spec.sample_rate)
        merged = metrics.merge_all(parts)
        writer.numbers(step, {f"validation_{k}": v.compute() for k, v in merged.items()})

    def _sounds(self, params: Params) -> list[np.ndarray]:
        """f32[T * hop] of each cut, on every host; as many at once as there are devices."""
        sounds, rows = [], self._mesh.size
        for first in range(0, len(self._cuts), rows):
            cuts = self._cuts[first : first + rows]
            batch = stack(cuts + cuts[:1] * (rows - len(cuts)))
            mel, f0 = shard((batch.mel, batch.f0), batch_sharded(self._mesh))
            sounds += list(np.asarray(self._render(params, mel, f0))[: len(cuts)])
        return [sound[: len(one.wav)] for sound, one in zip(sounds, self._cuts, strict=True)]


def middle_cuts(recordings, spec: MelSpec, *, most: int, frames: int) -> list[Segment]:
    """A cut from the middle of each of the first recordings.

    Args:
      recordings: a sequence of `Recording`.
      spec: of the mel.
      most: so many recordings at most.
      frames: of a cut; where a recording is shorter, silence follows.
    """
    cuts = []
    for number in range(min(most, len(recordings))):
        recording = recordings[number]
        start = max(0, (len(recording.f0) - frames) // 2)
        cuts.append(cut(recording, spec, start, frames))
    return cuts
