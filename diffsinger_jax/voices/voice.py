"""A voice: a folder with all that singing needs and nothing of how it was trained.

voice.json           name, corpus (mel, vocabulary, statistics, licence), model, sampling
params.safetensors   the weights, float32 or bfloat16; no code, unlike a pickle
CARD.md              data, licence, credit and measured quality, for people
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax import features, resources
from diffsinger_jax.corpus.info import corpus_info_from_dict, corpus_info_to_dict
from diffsinger_jax.diffusion.path import Path as NoisePath
from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.errors import InputError
from diffsinger_jax.models.families import DIFFSINGER, FAMILIES, Acoustic, build_acoustic
from diffsinger_jax.old_names import renamed
from diffsinger_jax.types import SILENCE, Batch, CorpusInfo
from diffsinger_jax.voices.sampling import (
    require_possible,
    sampling_from_dict,
    sampling_to_dict,
)
from diffsinger_jax.voices.trace_cache import TraceCache, cached_shapes
from diffsinger_jax.voices.variance import FOLDER as VARIANCE_FOLDER
from diffsinger_jax.voices.variance import VARIANCE_FILE, VarianceVoice, load_variance
from diffsinger_jax.voices.weights import read_weights, require_weights, write_folder

FORMAT_VERSION = 1
VOICE_FILE = "voice.json"


@dataclasses.dataclass(frozen=True)
class Voice:
    """A trained model that is ready to sing.

    Attributes:
      name: for metadata and people.
      info: mel, vocabulary, statistics and licence of the corpus it was trained on.
      model: keyword arguments of the model.
      schedule: name and keyword arguments of the noise schedule.
      process: what the denoiser predicts.
      sampling: how it sings unless told otherwise.
      dictionary: how lyrics become phonemes, as "ja".
      params: of the model, f32.
      requires: what a score must give since the voice cannot predict it: "durations", "f0".
      vocoder: path of the vocoder that it sounds best with; None for the built-in one.
      timing: how seconds become frames, a name in `synthesis.arrays.TIMINGS`.
      ranges: of the key shifts (semitones) and speeds that it was trained with.
      variance: the variance model in its folder, whose durations, pitch and curves it then sings.
      family: of its model, a name in `models.families.FAMILIES`.
    """

    name: str
    info: CorpusInfo
    model: Mapping[str, Any]
    schedule: Mapping[str, Any]
    process: str
    sampling: Sampling
    dictionary: str
    params: Mapping[str, Any]
    requires: tuple[str, ...] = ()
    vocoder: str | None = None
    timing: str = "nearest"
    ranges: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    variance: VarianceVoice | None = None
    family: str = DIFFSINGER

    @property
    def lacks(self) -> frozenset[str]:
        """What a score must give: what the voice requires and no variance model predicts."""
        return frozenset(self.requires) - (self.variance.predicts if self.variance else set())

    @property
    def curves(self) -> tuple[str, ...]:
        """Names of the optional features that it sings by, see `features.FEATURES`."""
        return tuple(self.model.get("curves", ()))

    @property
    def predicted_curves(self) -> tuple[str, ...]:
        """Of them, those that it predicts where they are not given."""
        return tuple(self.model.get("predicted_curves", ()))

    @property
    def mixes_speakers(self) -> bool:
        """Whether its speakers can be mixed, frame by frame."""
        return self.model.get("speaker_in_condition", False)

    @property
    def speaks(self) -> bool:
        """Whether it reads phonemes alone, and predicts all that a text does not say."""
        return speaks(self.family, self.model, self.requires)

    @property
    def sings_phrases(self) -> bool:
        """Whether its mels are made phrase by phrase, see `synthesis.phrase_mels`.

        What reads a score's notes learned pieces of about one phrase, and counts frames from where
        a piece begins: among rests of other lengths, or other phrases, the same phrase is another
        by some tenths of a dB, and no nearer to the singer's.
        """
        reads_notes = self.model.get("score_inputs", "continuous") == "continuous"
        learned = self.family == DIFFSINGER and reads_notes
        return learned and SILENCE in self.info.vocabulary.phonemes

    @functools.cached_property
    def acoustic(self) -> Any:
        """Its pure functions, an `Acoustic`; of DiffSinger an `AcousticModel`."""
        return build_acoustic(self.family, self.model, self.schedule, self.process, self.info)

    @property
    def path(self) -> NoisePath:
        """Along which it samples."""
        return self.acoustic.path

    def predict_frames(self, batch: Batch) -> jax.Array:
        """See `AcousticModel.predict_frames`; jitted and kept, as the next ones."""
        return self._programs["predict_frames"](self.params, batch)

    def predict_f0(self, batch: Batch) -> jax.Array:
        """See `AcousticModel.predict_f0`."""
        return self._programs["predict_f0"](self.params, batch)

    def predict_curves(self, batch: Batch) -> dict[str, jax.Array]:
        """See `AcousticModel.predict_curves`."""
        return self._programs["predict_curves"](self.params, batch)

    def sample_mel(
        self, batch: Batch, keys: jax.Array, sampling: Sampling | None = None
    ) -> jax.Array:
        """See `AcousticModel.sample_mel`.

        Args:
          batch: with durations and f0.
          keys: [B], a random key for each row.
          sampling: as `resolve_sampling` makes it; None for the voice's own.

        Raises:
          InputError: if its numbers are out of range.
        """
        sampling = self.sampling if sampling is None else sampling
        require_possible(sampling, self.path)
        # One program serves every temperature.
        temperature = np.float32(sampling.temperature)
        static = dataclasses.replace(sampling, temperature=1.0)
        return self._programs["sample_mel"](self.params, batch, keys, temperature, sampling=static)

    @functools.cached_property
    def _programs(self) -> dict[str, TraceCache]:
        scaling = self.info.mel_min.tolist(), self.info.mel_max.tolist()
        about = self.acoustic.model, scaling, self.schedule, self.process
        static = {"sample_mel": ("sampling",)}
        names = ("predict_frames", "predict_f0", "predict_curves", "sample_mel")
        return {
            name: TraceCache(getattr(self.acoustic, name), about, static.get(name, ()))
            for name in names
            if hasattr(self.acoustic, name)
        }


def speaks(family: str, model: Mapping[str, Any], requires: Sequence[str]) -> bool:
    """Whether a voice reads phonemes alone, and predicts all that a text does not say."""
    known = FAMILIES[family].speaks if family in FAMILIES else False
    reads_phonemes = model.get("score_inputs") == "phonemes" if known is None else known
    return reads_phonemes and not requires


def save_voice(path: str | os.PathLike, voice: Voice, *, dtype: str = "float32") -> None:
    """Writes `voice.json` and the weights; the folder is a voice only once both are whole.

    Args:
      path: a folder, made if it is not there; a CARD.md in it is left alone.
      voice: what to write.
      dtype: of the stored weights, "float32" or "bfloat16" (half the size).

    Raises:
      InputError: if the folder cannot be written to.
    """
    folder = Path(path)
    flat = flax.traverse_util.flatten_dict(dict(voice.params), sep="/")
    stored = {name: jnp.asarray(value, jnp.dtype(dtype)) for name, value in flat.items()}
    description = {
        "format": FORMAT_VERSION,
        "name": voice.name,
        "dictionary": voice.dictionary,
        "requires": list(voice.requires),
        "process": voice.process,
        "sampling": sampling_to_dict(voice.sampling),
        "schedule": dict(voice.schedule),
        "model": dict(voice.model),
        "corpus": corpus_info_to_dict(voice.info),
    }
    if voice.family != DIFFSINGER:
        description["family"] = voice.family
    if voice.timing != "nearest":
        description["timing"] = voice.timing
    if voice.ranges:
        description["ranges"] = {name: list(ends) for name, ends in voice.ranges.items()}
    if voice.vocoder is not None:
        description["vocoder"] = _named_from(folder, voice.vocoder)
    write_folder(folder, "voice", stored, VOICE_FILE, description)


def load_voice(path: str | os.PathLike) -> Voice:
    """Reads a voice: its folder, or the name of one that ships.

    Raises:
      InputError: if the folder, a file in it, a field or a weight is missing or misshapen.
    """
    folder = resources.find_voice(path)
    description = _read_description(folder)
    where = str(folder / VOICE_FILE)
    if (family := description.get("family", DIFFSINGER)) not in FAMILIES:
        raise InputError(
            f"{where}: family is {family!r}, this program knows {', '.join(FAMILIES)}; use the "
            "program version that wrote it"
        )
    params = read_weights(folder, "voice")
    try:
        voice = Voice(
            name=description["name"],
            info=corpus_info_from_dict(description["corpus"], where),
            model=description["model"],
            schedule=description["schedule"],
            process=description["process"],
            sampling=sampling_from_dict(description["sampling"], where),
            dictionary=description["dictionary"],
            params=jax.device_put(
                flax.traverse_util.unflatten_dict(
                    {name: np.asarray(value, np.float32) for name, value in params.items()}, sep="/"
                )
            ),
            requires=tuple(description.get("requires", ())),
            vocoder=_vocoder_path(folder, description.get("vocoder"), where),
            timing=description.get("timing", "nearest"),
            ranges={name: tuple(ends) for name, ends in description.get("ranges", {}).items()},
            family=family,
            variance=_load_variance(folder, corpus_info_from_dict(description["corpus"], where)),
        )
    except KeyError as error:
        raise InputError(f"{where} lacks the field {error}; write the voice again") from error
    require_weights(params, voice_shapes(voice.acoustic), folder, f"the model in {VOICE_FILE}")
    return voice


def load_diffsinger(path: str | os.PathLike) -> Voice:
    """`load_voice`, of a voice of DiffSinger: what looks into its model knows no other.

    Raises:
      InputError: as `load_voice`, and for one of another family.
    """
    voice = load_voice(path)
    if voice.family != DIFFSINGER:
        raise InputError(
            f"{path} is a voice of the family {voice.family}; this takes voices of {DIFFSINGER}"
        )
    return voice


def _load_variance(folder: Path, info: CorpusInfo) -> VarianceVoice | None:
    """The variance model in a voice's folder, if there is one; it must be of its phonemes."""
    if not (folder / VARIANCE_FOLDER / VARIANCE_FILE).is_file():
        return None
    return _load_variance_of(folder / VARIANCE_FOLDER, info)


def with_variance(voice: Voice, folder: str | os.PathLike | None) -> Voice:
    """The voice singing by another variance model, or by none: then as it predicts by itself.

    Args:
      voice: any.
      folder: of a variance model; None for none.

    Raises:
      InputError: if there is none, or it does not go with the voice.
    """
    variance = None if folder is None else _load_variance_of(Path(folder), voice.info)
    return dataclasses.replace(voice, variance=variance)


def _load_variance_of(folder: Path, info: CorpusInfo) -> VarianceVoice:
    variance = load_variance(folder)
    if (variance.vocabulary.phonemes, variance.sample_rate, variance.hop) != (
        info.vocabulary.phonemes,
        info.mel.sample_rate,
        info.mel.hop,
    ):
        raise InputError(
            f"{folder} has other phonemes, another sample rate or another hop than the voice that "
            "shall sing by it; give the one that was trained with it"
        )
    return variance


def _vocoder_path(folder: Path, named: Any, where: str) -> str | None:
    """Where the vocoder lies that a voice names: inside its folder, or anywhere."""
    if named is not None and not isinstance(named, str):
        raise InputError(f"{where}: vocoder is {named!r}, expected a folder, or leave it away")
    return None if named is None else str(folder / named)


def _named_from(folder: Path, vocoder: str) -> str:
    """The inverse: relative if it lies in the voice's folder, so that the two travel together."""
    path = Path(vocoder).absolute()
    inside = path.is_relative_to(folder.absolute())
    return str(path.relative_to(folder.absolute()) if inside else path)


def _read_description(folder: Path) -> dict[str, Any]:
    try:
        description = json.loads((folder / VOICE_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{folder} is not a voice: there is no {VOICE_FILE} in it; give the name of "
            f"one that ships ({', '.join(resources.shipped_voices())}), or a folder, as the voice/ "
            "that training writes into its workdir"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{folder / VOICE_FILE} is not JSON ({error}); copy it again") from error
    if description.get("format") != FORMAT_VERSION:
        raise InputError(
            f"{folder / VOICE_FILE} has format {description.get('format')!r}, this program reads "
            f"{FORMAT_VERSION}; use the program version that wrote it"
        )
    return renamed(description)


def voice_shapes(acoustic: Acoustic) -> dict[str, Any]:
    """Shapes of all params, without computing anything."""

    def init() -> Any:
        return acoustic.model.init(jax.random.key(0), empty_batch(acoustic))["params"]

    return cached_shapes(init, acoustic.model)


def empty_batch(acoustic: Acoustic) -> Batch:
    """One row, one phoneme, one frame; enough to initialize a model."""
    model: Any = acoustic.model
    return features.empty_batch(
        rows=1, frames=1, phonemes=1, mel_bins=model.mel_bins, curves=model.curves
    )
