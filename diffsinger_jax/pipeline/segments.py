"""Cuts of recordings that a vocoder learns from: sound, mel and f0, aligned to frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import grain
import numpy as np

from diffsinger_jax.audio.mel import frame_offset, log_mel
from diffsinger_jax.audio.wav import resample
from diffsinger_jax.pipeline.batches import ENDLESS
from diffsinger_jax.pitch import semitones_to_ratio
from diffsinger_jax.types import MelSpec


class Recording(NamedTuple):
    """One take.

    Attributes:
      wav: f32[L].
      f0: f32[T] Hz, 0 unvoiced, one for each frame of its mel.
    """

    wav: np.ndarray
    f0: np.ndarray


class Segment(NamedTuple):
    """A cut, or a batch of them; frame t goes with the samples from t * hop to (t + 1) * hop.

    Attributes:
      wav: f32[..., T * hop].
      mel: f32[..., T, M] log amplitude.
      f0: f32[..., T] Hz, 0 unvoiced.
    """

    wav: np.ndarray
    mel: np.ndarray
    f0: np.ndarray


def cut(
    recording: Recording, spec: MelSpec, start_frame: int, frames: int, *, semitones: float = 0.0
) -> Segment:
    """A stretch of a recording, perhaps as a faster or slower tape would play it.

    The tape shifts formants with the pitch, so that the mel is still that of a voice, and f0 is
    true to it.

    Args:
      recording: what lies beyond its ends is silence.
      spec: of the mel.
      start_frame: where the cut begins in the recording.
      frames: T of the cut, of 2^(semitones / 12) T frames of the recording.
      semitones: up.
    """
    speed, hop = semitones_to_ratio(semitones), spec.hop
    margin = -(-spec.n_fft // hop)  # frames around the cut that its mel sees
    first = start_frame * hop - round(margin * hop * speed)
    wav = _stretch(recording.wav, first, round((frames + 2 * margin) * hop * speed))
    if semitones:
        wav = resample(wav, spec.sample_rate * speed, spec.sample_rate)
        wav = _stretch(wav, 0, (frames + 2 * margin) * hop)  # rounding may leave one sample out
    centre = frame_offset(spec) / hop
    places = start_frame + (np.arange(frames) + centre) * speed - centre  # in the recording
    return Segment(
        wav=wav[margin * hop : (margin + frames) * hop],
        mel=log_mel(wav, spec)[margin : margin + frames],
        f0=(speed * _between(recording.f0, places)).astype(np.float32),
    )


class Cut(NamedTuple):
    """Which stretch of which recording, see `cut`."""

    recording: int
    start_frame: int
    semitones: float


def draw_cut(
    lengths: np.ndarray, frames: int, most_semitones: float, *, seed: int, step: int, row: int
) -> Cut:
    """The cut in one row of a step's batch, a pure function of its arguments.

    Args:
      lengths: i[n] frames of each recording; it is taken as often as it is long.
      frames: T of the cut.
      most_semitones: half of the cuts are shifted by up to so many, up or down.
      seed: of the run.
      step: steps done before it.
      row: in the batch of all hosts.
    """
    rng = np.random.default_rng((seed, step, row))
    ends = np.cumsum(lengths)
    recording = int(np.searchsorted(ends, rng.integers(ends[-1]), side="right"))
    shifted = most_semitones > 0 and rng.random() < 0.5
    semitones = float(rng.uniform(-most_semitones, most_semitones)) if shifted else 0.0
    needed = int(np.ceil(frames * semitones_to_ratio(semitones)))
    start = int(rng.integers(max(int(lengths[recording]) - needed, 0) + 1))
    return Cut(recording, start, semitones)


def segment_batches(  # long: arguments of a reader, each with a default
    recordings: Sequence[Recording],
    lengths: np.ndarray,
    spec: MelSpec,
    *,
    rows: int,
    frames: int,
    most_semitones: float = 0.0,
    seed: int,
    start_step: int = 0,
    host_index: int = 0,
    host_count: int = 1,
    read_threads: int = 4,
    batches_ahead: int = 4,
) -> Iterator[Segment]:
    """This host's rows of batches of random cuts, without end; see `draw_cut`.

    Args:
      recordings: read when asked for.
      lengths: i[n] frames of each.
      spec: of the mels.
      rows: B over all hosts, a multiple of their number.
      frames: T.
      most_semitones, seed: see `draw_cut`.
      start_step: the first batch is that of the step after so many.
      host_index, host_count: which equal part of the rows.
      read_threads, batches_ahead: how Grain reads; they change no number.

    Returns:
      An iterator of segments, wav f32[B / hosts, T * hop], mel f32[B / hosts, T, M],
      f0 f32[B / hosts, T].
    """
    share = rows // host_count

    def load(step: int) -> Segment:
        cuts = []
        for row in range(host_index * share, (host_index + 1) * share):
            one = draw_cut(lengths, frames, most_semitones, seed=seed, step=step, row=row)
            recording = recordings[one.recording]
            cuts.append(cut(recording, spec, one.start_frame, frames, semitones=one.semitones))
        return stack(cuts)

    dataset = grain.MapDataset.range(start_step, ENDLESS).map(load)
    options = grain.ReadOptions(num_threads=read_threads, prefetch_buffer_size=batches_ahead)
    return iter(dataset.to_iter_dataset(options))


def stack(segments: Sequence[Segment]) -> Segment:
    """Segments of one length as a batch."""
    return Segment(*(np.stack(parts) for parts in zip(*segments, strict=True)))


def _stretch(wav: np.ndarray, first: int, length: int) -> np.ndarray:
    """wav[first : first + length], zeros beyond its ends."""
    inside = wav[max(first, 0) : max(first + length, 0)]
    before = min(max(-first, 0), length)
    return np.pad(inside, (before, length - before - len(inside)))


def _between(f0: np.ndarray, places: np.ndarray) -> np.ndarray:
    """f0 at fractional frames: voiced where the nearest frame is, on a line if both sides are."""
    places = np.clip(places, 0, len(f0) - 1)
    below = np.floor(places).astype(int)
    above = np.minimum(below + 1, len(f0) - 1)
    nearest = f0[np.round(places).astype(int)]
    line = f0[below] + (places - below) * (f0[above] - f0[below])
    return np.where((f0[below] > 0) & (f0[above] > 0), line, nearest)
