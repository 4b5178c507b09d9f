"""The config of a vocoder's training, as frozen dataclasses; defaults: configs/vocoder_base.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

from diffsinger_jax.corpus.recordings import RecordingsInfo
from diffsinger_jax.engine.optimizers import OptimizerConfig
from diffsinger_jax.engine.run_config import RunConfig
from diffsinger_jax.engine.typed_config import build
from diffsinger_jax.errors import InputError
from diffsinger_jax.models.nsf_hifigan import SOURCES
from diffsinger_jax.ranges import POSITIVE, at_least, one_of
from diffsinger_jax.types import MelSpec
from diffsinger_jax.voices.vocoder import UNVOICED

SCALE_GROUPS = 16
"""That the channels of a scale discriminator divide into."""
DEFAULTS = "configs/vocoder_base.py"


@dataclasses.dataclass(frozen=True)
class GeneratorConfig:
    """Sizes of the vocoder."""

    channels: Annotated[int, at_least(1)]
    upsample_rates: Annotated[tuple[int, ...], at_least(1)]
    upsample_kernels: Annotated[tuple[int, ...], at_least(1)]
    resblock: Annotated[str, one_of(("1", "2"))]
    resblock_kernels: Annotated[tuple[int, ...], at_least(1)]
    resblock_dilations: tuple[tuple[int, ...], ...]
    source: Annotated[str, one_of(SOURCES)]
    noise_sigma: Annotated[float, at_least(0)]


@dataclasses.dataclass(frozen=True)
class DiscriminatorsConfig:
    """What the vocoder learns against."""

    periods: Annotated[tuple[int, ...], at_least(1)]
    scales: Annotated[int, at_least(0)]
    n_ffts: Annotated[tuple[int, ...], at_least(1)]
    width: Annotated[float, POSITIVE]

    def __post_init__(self) -> None:
        """There must be one, and the width must leave whole channels."""
        if not (self.periods or self.n_ffts or self.scales):
            raise InputError(
                "config.discriminators has no periods, scales or n_ffts; give one of them"
            )
        for name, channels in (("periods", 32), ("n_ffts", 32), ("scales", 128)):
            width = int(channels * self.width)
            if getattr(self, name) and (width < 1 or (name == "scales" and width % SCALE_GROUPS)):
                least = SCALE_GROUPS / channels if name == "scales" else 1 / channels
                raise InputError(
                    f"config.discriminators.width is {self.width}, expected a multiple of {least:g}"
                    f" for the discriminators of config.discriminators.{name}"
                )


@dataclasses.dataclass(frozen=True)
class VocoderWeights:
    """Of the generator's losses."""

    mel: Annotated[float, at_least(0)]
    features: Annotated[float, at_least(0)]
    adversarial: Annotated[float, at_least(0)]

    def __post_init__(self) -> None:
        """There must be something to learn."""
        weights = dataclasses.asdict(self)
        if not any(weights.values()):
            raise InputError(
                f"all of config.vocoder.weights ({', '.join(weights)}) are 0, so that there is "
                "nothing to learn; give at least one a weight"
            )


@dataclasses.dataclass(frozen=True)
class TrainingConfig(OptimizerConfig):
    """The section `vocoder`; the optimizer is of both sides."""

    rows: Annotated[int, at_least(1)]
    frames: Annotated[int, at_least(1)]
    most_semitones: Annotated[float, at_least(0)]
    adversarial_after: Annotated[int, at_least(0)]
    mel_views: tuple[tuple[int, int], ...]
    weights: VocoderWeights

    def __post_init__(self) -> None:
        """Steps, something to learn in each of them, and views that are some."""
        if not self.steps:
            raise InputError("config.vocoder.steps is 0, expected 1 or more")
        if self.adversarial_after and not self.weights.mel:
            raise InputError(
                "config.vocoder.weights.mel is 0, so that there is nothing to learn in the first "
                f"{self.adversarial_after} steps (config.vocoder.adversarial_after); change one"
            )
        fitting = [n_fft % 4 == 0 and 0 < bins <= n_fft // 2 for n_fft, bins in self.mel_views]
        if not fitting or not all(fitting):
            raise InputError(
                f"config.vocoder.mel_views is {self.mel_views}, expected pairs of samples, a "
                "multiple of 4, and mel bins, at most half as many, as ((1024, 80),)"
            )


@dataclasses.dataclass(frozen=True)
class VocoderConfig(RunConfig):
    """All of it; checked when it is made."""

    recordings: str
    unvoiced: Annotated[str, one_of(UNVOICED)]
    generator: GeneratorConfig
    discriminators: DiscriminatorsConfig
    vocoder: TrainingConfig
    evaluate_pieces: Annotated[int, at_least(0)]
    evaluate_frames: Annotated[int, at_least(1)]


def vocoder_config(given: Mapping[str, Any]) -> VocoderConfig:
    """Of plain sections that have every field.

    Raises:
      InputError: see `build`.
    """
    return build(VocoderConfig, given, path="config", defaults=DEFAULTS)


def check_recordings(
    config: VocoderConfig, mel: MelSpec, info: RecordingsInfo, multiple: int
) -> None:
    """Do config, recordings and devices fit each other?

    Args:
      config: of the training.
      mel: that the vocoder reads.
      info: of the recordings.
      multiple: that the rows of a batch must be of.

    Raises:
      InputError: for the first thing that does not.
    """
    section = config.vocoder
    for field in ("sample_rate", "hop", "framing"):
        mine, theirs = getattr(mel, field), getattr(info.mel, field)
        if mine != theirs:
            raise InputError(
                f"the recordings {config.recordings} have {field} {theirs}, the vocoder "
                f"{config.start_from} {mine}; prepare them with --mel {config.start_from}"
            )
    if section.rows % multiple:
        raise InputError(
            f"config.vocoder.rows is {section.rows}, expected a multiple of {multiple}, which is "
            "the number of devices or config.microbatches; take one"
        )
    needed = section.frames * 2.0 ** (section.most_semitones / 12)
    longest = int(info.frames["train"].max())
    if needed > longest:
        raise InputError(
            f"config.vocoder.frames is {section.frames}, {needed:.0f} with the shift in pitch, "
            f"but the longest recording has {longest}; lower it"
        )
    samples = section.frames * mel.hop
    transforms = {
        "config.vocoder.mel_views": max(n_fft for n_fft, _ in section.mel_views),
        "config.discriminators.n_ffts": max(config.discriminators.n_ffts, default=0),
    }
    for where, n_fft in transforms.items():
        if samples <= n_fft // 2:
            raise InputError(
                f"config.vocoder.frames is {section.frames}, which are {samples} samples, too few "
                f"for the {n_fft} in {where}; raise the one or lower the other"
            )
