"""The config of GAN-Singer's training, as frozen dataclasses; defaults: configs/gan_singer.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

from diffsinger_jax.engine.optimizers import UpdateConfig
from diffsinger_jax.engine.typed_config import build
from diffsinger_jax.errors import InputError
from diffsinger_jax.models.mel_discriminators import CONDITIONS
from diffsinger_jax.ranges import at_least, one_of
from diffsinger_jax.tasks.acoustic.config import AcousticConfig

DEFAULTS = "configs/gan_singer.py"


@dataclasses.dataclass(frozen=True)
class AdversarialWeights:
    """Of the generator's losses against the discriminators, beside `auxiliary.weights`."""

    adversarial: Annotated[float, at_least(0)]
    features: Annotated[float, at_least(0)]


@dataclasses.dataclass(frozen=True)
class DiscriminatorsConfig(UpdateConfig):
    """What the auxiliary model learns against, and how that learns."""

    windows: Annotated[tuple[int, ...], at_least(1)]
    bands: tuple[tuple[float, float], ...]
    channels: Annotated[int, at_least(1)]
    condition: Annotated[str, one_of(CONDITIONS)]
    starts_after: Annotated[int, at_least(0)]
    weights: AdversarialWeights

    def __post_init__(self) -> None:
        """There must be windows, and bands with something in them.

        Raises:
          InputError: if there are none.
        """
        good = [0 <= low < high <= 1 for low, high in self.bands]
        if not good or not all(good):
            raise InputError(
                f"config.discriminators.bands is {self.bands}, expected pairs of shares of the mel "
                "bins, from and to, as ((0.0, 1.0),)"
            )
        if not self.windows:
            raise InputError(
                "config.discriminators.windows is empty; give lengths in frames, as (32, 64, 128)"
            )


@dataclasses.dataclass(frozen=True)
class GanSingerConfig(AcousticConfig):
    """That of a voice whose auxiliary model learns against discriminators too.

    The generator moves as `auxiliary` says; the sections of the later stages are not used.
    """

    discriminators: DiscriminatorsConfig

    def __post_init__(self) -> None:
        """Looks for what contradicts something else.

        Raises:
          InputError: for the first that does.
        """
        super().__post_init__()
        if not self.has_auxiliary or self.sampling.k_step != 0:
            raise InputError(
                f"config.model.auxiliary is {self.model.get('auxiliary', 'fft')!r} and "
                f"config.sampling.k_step is {self.sampling.k_step!r}; a GAN-Singer sings its "
                "auxiliary mel: give it a decoder, and k_step = 0"
            )
        against = dataclasses.asdict(self.discriminators.weights)
        distances = dataclasses.asdict(self.auxiliary.weights)
        if not self.auxiliary.steps or not any((against | distances).values()):
            raise InputError(
                f"config.auxiliary.steps is {self.auxiliary.steps}, and the weights are "
                f"{against | distances}, so that there is nothing to learn; give it steps, and at "
                "least one a weight"
            )


def gan_singer_config(given: Mapping[str, Any]) -> GanSingerConfig:
    """Of plain sections that have every field.

    Raises:
      InputError: see `build`.
    """
    return build(GanSingerConfig, given, path="config", defaults=DEFAULTS)
