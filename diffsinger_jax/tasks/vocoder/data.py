"""What a vocoder is trained on: cuts of recordings, in batches over all devices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from diffsinger_jax.engine.loop import RunContext
from diffsinger_jax.engine.sharding import batch_sharded, global_batch
from diffsinger_jax.pipeline.recordings import PreparedRecordings
from diffsinger_jax.pipeline.segments import Segment, draw_cut, segment_batches
from diffsinger_jax.pitch import fill_unvoiced
from diffsinger_jax.tasks.vocoder.config import VocoderConfig
from diffsinger_jax.tasks.vocoder.losses import Segments
from diffsinger_jax.tasks.vocoder.validation import middle_cuts
from diffsinger_jax.voices.vocoder import NeuralVocoder

PREPARE_F0 = {"zero": lambda f0: f0, "filled": fill_unvoiced}
"""How f0 is made ready, by the name in a config."""


class SegmentShape(NamedTuple):
    """Of a batch over all devices."""

    rows: int
    frames: int


class VocoderRun(NamedTuple):
    """What one training needs.

    Attributes:
      config: checked.
      context: of the loop.
      recordings: what the vocoder learns from.
      vocoder: what it starts from.
    """

    config: VocoderConfig
    context: RunContext
    recordings: PreparedRecordings
    vocoder: NeuralVocoder

    @property
    def cuts(self) -> dict[str, Any]:
        """How batches are cut."""
        section = self.config.vocoder
        return {
            "frames": section.frames,
            "most_semitones": section.most_semitones,
            "seed": self.config.seed,
        }


def batch_arrays(run: VocoderRun, shape: SegmentShape) -> Segments:
    """Of a batch over all devices."""
    spec, (rows, frames) = run.vocoder.mel, shape
    sharding = batch_sharded(run.context.mesh)
    shapes: Any = ((rows, frames * spec.hop), (rows, frames, spec.n_mels), (rows, frames))
    arrays: Any = [jax.ShapeDtypeStruct(x, jnp.float32, sharding=sharding) for x in shapes]
    return Segments(*arrays)


def train_batches(run: VocoderRun, steps_done: int) -> Iterator[Segments]:
    """Those after so many steps, on their way to the devices."""
    for segment in segment_batches(
        run.recordings.split("train", PREPARE_F0[run.vocoder.unvoiced]),
        run.recordings.info.frames["train"],
        run.vocoder.mel,
        rows=run.config.vocoder.rows,
        start_step=steps_done,
        host_index=jax.process_index(),
        host_count=jax.process_count(),
        read_threads=run.config.read_threads,
        **run.cuts,
    ):
        arrays: Any = segment
        yield global_batch(run.context.mesh, Segments(*arrays))


def batch_names(run: VocoderRun, step: int) -> str:
    """What the batch of a step is cut from."""
    info = run.recordings.info
    drawn = [
        draw_cut(info.frames["train"], step=step - 1, row=row, **run.cuts)
        for row in range(run.config.vocoder.rows)
    ]
    names = info.names["train"]
    return ", ".join(f"{names[one.recording]} from frame {one.start_frame}" for one in drawn)


def held_out_cuts(run: VocoderRun) -> list[Segment]:
    """What is evaluated on: nothing, where no recording is held out."""
    if "validation" not in run.recordings.info.names:
        return []
    return middle_cuts(
        run.recordings.split("validation", PREPARE_F0[run.vocoder.unvoiced]),
        run.vocoder.mel,
        most=run.config.evaluate_pieces,
        frames=run.config.evaluate_frames,
    )
