"""A variance model as an artefact: a folder that gives durations, pitch and curves.

variance.json        name, vocabulary, frames, model, process, sampling
params.safetensors   the weights

It lies beside a voice, or in the folder `variance` of one.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax import features
from diffsinger_jax.diffusion.path import Path as NoisePath
from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.errors import InputError
from diffsinger_jax.models.scaling import PITCH
from diffsinger_jax.models.variance import VarianceInputs
from diffsinger_jax.models.variance_inputs import inputs_of_batch
from diffsinger_jax.models.variance_model import VarianceModel, variance_model
from diffsinger_jax.modules.melody import Notes
from diffsinger_jax.pitch import midi_to_hz
from diffsinger_jax.types import Batch, Vocabulary
from diffsinger_jax.voices.sampling import require_possible, sampling_from_dict, sampling_to_dict
from diffsinger_jax.voices.trace_cache import TraceCache, cached_shapes
from diffsinger_jax.voices.weights import read_weights, require_weights, write_folder

FORMAT_VERSION = 1
VARIANCE_FILE = "variance.json"
FOLDER = "variance"
"""In a voice's folder."""


@dataclasses.dataclass(frozen=True)
class VarianceVoice:
    """A trained variance model.

    Attributes:
      name: for metadata and people.
      vocabulary: of what it was trained on.
      sample_rate, hop: in samples; one frame is a hop.
      model: keyword arguments of the model.
      schedule: name and keyword arguments of the process's path.
      process: what the trunks predict.
      sampling: of pitch and of curves, unless told otherwise.
      params: of the model, f32.
      ranges: of what is generated, see `VarianceModel`.
      correction: of the pitch that it draws, unless another one is asked for, see `Expression`.
      timing: how seconds become frames, a name in `synthesis.arrays.TIMINGS`.
      licence: of what it was trained on, with its credit.
    """

    name: str
    vocabulary: Vocabulary
    sample_rate: int
    hop: int
    model: Mapping[str, Any]
    schedule: Mapping[str, Any]
    process: str
    sampling: Sampling
    params: Mapping[str, Any]
    ranges: Mapping[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)
    correction: float = 0.0
    timing: str = "nearest"
    licence: str = ""

    @property
    def frames_per_sec(self) -> float:
        """Of all that it is shown and gives."""
        return self.sample_rate / self.hop

    @property
    def curves(self) -> tuple[str, ...]:
        """Names of those that it generates."""
        return tuple(self.model.get("curves", ()))

    @functools.cached_property
    def variance(self) -> VarianceModel:
        """Its pure functions."""
        return variance_model(self.model, self.schedule, self.process, self.vocabulary, self.ranges)

    @property
    def path(self) -> NoisePath:
        """Along which it samples."""
        return self.variance.path

    @property
    def predicts(self) -> frozenset[str]:
        """What a score need not give: "durations", "f0" and curves by name."""
        durations = self.model.get("durations", "resnet") != "none"
        pitch = bool(self.model.get("pitch_settings"))
        return frozenset((*("durations",) * durations, *("f0",) * pitch, *self.curves))

    def predict_frames(self, batch: Batch, key: np.ndarray | None = None) -> jax.Array:
        """Frames of each phoneme, f32[B, N], >= 0, not fitted; jitted and kept, as the others.

        Args:
          batch: whose `ph_frames` have the words' sums.
          key: see `inputs_of_batch`.
        """
        return self._programs["frames"](self.params, batch, key)

    def sample_f0(
        self,
        batch: Batch,
        keys: jax.Array,
        sampling: Sampling | None = None,
        *,
        retake: np.ndarray | None = None,
        expressiveness: np.ndarray | None = None,
        notes: Notes | None = None,
    ) -> jax.Array:
        """f0 of each frame in Hz, f32[B, T], 0 where it is unvoiced.

        Args:
          batch: with durations.
          keys: [B], a random key for each row.
          sampling: None for the model's own.
          retake: bool[B, T], False where `batch.f0` is given and the rest is to go with it; None
            generates all. What comes for given frames is not exactly what was given.
          expressiveness: f32[B, T] in [0, 1], how much of a performance it is; None for 1.
          notes: see `inputs_of_batch`.

        Raises:
          InputError: if sampling's numbers are out of range.
        """
        everywhere = np.ones(batch.mask.shape, bool)
        retake = everywhere if retake is None else np.asarray(retake, bool)
        how = everywhere if expressiveness is None else expressiveness
        how = np.asarray(how, np.float32)
        return self._sample("f0", batch, keys, sampling, retake, how, notes)

    def sample_curves(
        self, batch: Batch, keys: jax.Array, sampling: Sampling | None = None
    ) -> dict[str, jax.Array]:
        """The curves by name, f32[B, T] each; `batch.f0` is the pitch they go with."""
        return self._sample("curves", batch, keys, sampling)

    def _sample(
        self, name: str, batch: Batch, keys: jax.Array, sampling: Sampling | None, *more: Any
    ) -> Any:
        sampling = sampling or self.sampling
        require_possible(sampling, self.path)
        temperature = np.float32(sampling.temperature)  # one program serves all
        static = dataclasses.replace(sampling, temperature=1.0)
        given = batch, keys, temperature, *more
        return self._programs[name](self.params, *given, sampling=static)

    @functools.cached_property
    def _programs(self) -> dict[str, TraceCache]:
        variance, rate, curves = self.variance, self.frames_per_sec, self.curves

        def shown(batch: Batch, **of_score: Any) -> VarianceInputs:
            blank = dict.fromkeys(curves, jnp.zeros(batch.mask.shape, np.float32))
            return inputs_of_batch(batch._replace(curves=blank), rate, curves, **of_score)

        def frames(params: Any, batch: Batch, key: Any) -> jax.Array:
            return variance.predict_frames(params, shown(batch, key=key))

        def f0(
            params: Any,
            batch: Batch,
            keys: jax.Array,
            temperature: Any,
            retake: jax.Array,
            expressiveness: jax.Array,
            notes: Notes | None,
            *,
            sampling: Sampling,
        ) -> jax.Array:
            inputs = shown(batch, notes=notes)
            inputs = inputs._replace(
                retake={**inputs.retake, PITCH: retake}, expressiveness=expressiveness
            )
            pitch = variance.sample_pitch(params, inputs, keys, temperature, sampling=sampling)
            voiced = variance.voiced(params, inputs)
            return jnp.where(voiced, midi_to_hz(pitch), 0.0)

        def values(
            params: Any, batch: Batch, keys: jax.Array, temperature: Any, *, sampling: Sampling
        ) -> dict[str, jax.Array]:
            inputs = shown(batch)
            return variance.sample_curves(params, inputs, keys, temperature, sampling=sampling)

        about = variance.model, dict(variance.ranges), self.schedule, self.process, rate
        return {
            "frames": TraceCache(frames, about),
            "f0": TraceCache(f0, about, ("sampling",)),
            "curves": TraceCache(values, about, ("sampling",)),
        }


def save_variance(path: str | os.PathLike, voice: VarianceVoice, *, dtype: str = "float32") -> None:
    """Writes the folder; it is a variance model only once both of its files are whole.

    Args:
      path: of the folder.
      voice: what to write.
      dtype: of the stored weights, "float32" or "bfloat16" (half the size).

    Raises:
      InputError: if it cannot be written to.
    """
    flat = flax.traverse_util.flatten_dict(dict(voice.params), sep="/")
    description = {
        "format": FORMAT_VERSION,
        "name": voice.name,
        "licence": voice.licence,
        "sample_rate": voice.sample_rate,
        "hop": voice.hop,
        "timing": voice.timing,
        "process": voice.process,
        "schedule": dict(voice.schedule),
        "sampling": sampling_to_dict(voice.sampling),
        "correction": voice.correction,
        "ranges": {name: list(row) for name, row in voice.ranges.items()},
        "model": dict(voice.model),
        "vocabulary": dataclasses.asdict(voice.vocabulary),
    }
    stored = {name: jnp.asarray(value, jnp.dtype(dtype)) for name, value in flat.items()}
    write_folder(Path(path), "variance model", stored, VARIANCE_FILE, description)


def load_variance(path: str | os.PathLike) -> VarianceVoice:
    """Reads a variance model's folder.

    Raises:
      InputError: if it, a file in it, a field or a weight is missing or misshapen.
    """
    folder = Path(path)
    file = folder / VARIANCE_FILE
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise InputError(
            f"{folder} is no variance model: there is no {VARIANCE_FILE} in it; give a folder that "
            "training or import has written"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is not JSON ({error}); copy it again") from error
    if said.get("format") != FORMAT_VERSION:
        raise InputError(
            f"{file} has format {said.get('format')!r}, this program reads {FORMAT_VERSION}; use "
            "the program version that wrote it"
        )
    params = read_weights(folder, "variance model")
    nested = flax.traverse_util.unflatten_dict(
        {name: np.asarray(value, np.float32) for name, value in params.items()}, sep="/"
    )
    try:
        words = {name: tuple(value) for name, value in said["vocabulary"].items()}
        voice = VarianceVoice(
            name=said["name"],
            vocabulary=Vocabulary(**{**words, "merged": tuple(map(tuple, words["merged"]))}),
            sample_rate=said["sample_rate"],
            hop=said["hop"],
            model=said["model"],
            schedule=said["schedule"],
            process=said["process"],
            sampling=sampling_from_dict(said["sampling"], str(file)),
            params=jax.device_put(nested),
            ranges={name: tuple(row) for name, row in said["ranges"].items()},
            correction=said.get("correction", 0.0),  # models of before had none
            timing=said["timing"],
            licence=said["licence"],
        )
    except KeyError as error:
        raise InputError(f"{file} lacks the field {error}; write the model again") from error
    require_weights(params, variance_shapes(voice.variance), folder, f"{VARIANCE_FILE}")
    return voice


def variance_shapes(variance: VarianceModel) -> dict[str, Any]:
    """Shapes of all params, without computing anything."""

    def init() -> Any:
        return variance.model.init(jax.random.key(0), empty_inputs(variance))["params"]

    return cached_shapes(init, variance.model)


def empty_inputs(
    variance: VarianceModel, *, rows: int = 1, frames: int = 1, phonemes: int = 1, notes: int = 1
) -> VarianceInputs:
    """All padding, all to be generated, in numpy; by default enough to initialize a model."""
    curves = variance.model.curves
    batch = features.empty_batch(
        rows=rows, frames=frames, phonemes=phonemes, mel_bins=1, curves=curves
    )
    of_notes, of_frames = np.zeros((rows, notes)), np.zeros((rows, frames))
    return VarianceInputs(
        batch=batch,
        key=np.zeros((rows, phonemes), np.int32),
        notes=Notes(
            midi=np.full((rows, notes), -1.0, np.float32),
            rest=of_notes.astype(bool),
            frames=of_notes.astype(np.int32),
            glide=of_notes.astype(np.int32),
            mel2note=of_frames.astype(np.int32),
        ),
        line=of_frames.astype(np.float32),
        pitch=of_frames.astype(np.float32),
        retake={name: np.ones((rows, frames), bool) for name in (PITCH, *curves)},
        expressiveness=np.ones((rows, frames), np.float32),
    )
