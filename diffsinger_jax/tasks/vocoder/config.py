"""What is wrong with a vocoder's config, in one sentence each, before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

from ml_collections import ConfigDict

from diffsinger_jax.corpus.recordings import RecordingsInfo
from diffsinger_jax.engine.optimizers import LEARNING_RATES, OPTIMIZERS
from diffsinger_jax.errors import InputError
from diffsinger_jax.tasks.config_check import check_call, check_numbers, require_known
from diffsinger_jax.tasks.vocoder.losses import LOSSES
from diffsinger_jax.types import MelSpec
from diffsinger_jax.voices.vocoder import UNVOICED

SCALE_GROUPS = 16
"""That the channels of a scale discriminator divide into."""


def check_vocoder_config(config: ConfigDict, stage: str) -> None:
    """Looks at all that can be known without recordings, devices and a workdir.

    Args:
      config: see configs/vocoder_base.py.
      stage: what is to be trained.

    Raises:
      InputError: for the first thing that cannot be, or contradicts another.
    """
    if stage != "all":
        raise InputError(f"a vocoder has no stages, got --stage={stage}; leave it out")
    check_numbers(config)
    settings, judges = config.vocoder, config.discriminators
    require_known(config.unvoiced, UNVOICED, "config.unvoiced")
    require_known(settings.optimizer, OPTIMIZERS, "config.vocoder.optimizer")
    check_call(LEARNING_RATES, settings.learning_rate, "config.vocoder.learning_rate")
    if not settings.steps:
        raise InputError("config.vocoder.steps is 0, expected 1 or more")
    if not any(settings.weights[name] for name in LOSSES):
        raise InputError(
            f"all of config.vocoder.weights ({', '.join(LOSSES)}) are 0, so that there is nothing "
            "to learn; give at least one a weight"
        )
    if settings.adversarial_after and not settings.weights.mel:
        raise InputError(
            "config.vocoder.weights.mel is 0, so that there is nothing to learn in the first "
            f"{settings.adversarial_after} steps (config.vocoder.adversarial_after); change one"
        )
    _check_views(settings.mel_views)
    if not (judges.periods or judges.n_ffts or judges.scales):
        raise InputError("config.discriminators has no periods, scales or n_ffts; give one of them")
    for name, channels in (("periods", 32), ("n_ffts", 32), ("scales", 128)):
        width = int(channels * judges.width)
        if judges[name] and (width < 1 or (name == "scales" and width % SCALE_GROUPS)):
            least = SCALE_GROUPS / channels if name == "scales" else 1 / channels
            raise InputError(
                f"config.discriminators.width is {judges.width}, expected a multiple of {least:g} "
                f"for the discriminators of config.discriminators.{name}"
            )


def check_recordings(config: ConfigDict, mel: MelSpec, info: RecordingsInfo, multiple: int) -> None:
    """Do config, recordings and devices fit each other?

    Args:
      config: see configs/vocoder_base.py.
      mel: that the vocoder reads.
      info: of the recordings.
      multiple: that the rows of a batch must be of.

    Raises:
      InputError: for the first thing that does not.
    """
    settings = config.vocoder
    for field in ("sample_rate", "hop", "framing"):
        mine, theirs = getattr(mel, field), getattr(info.mel, field)
        if mine != theirs:
            raise InputError(
                f"the recordings {config.recordings} have {field} {theirs}, the vocoder "
                f"{config.start_from} {mine}; prepare them with --mel {config.start_from}"
            )
    if settings.rows % multiple:
        raise InputError(
            f"config.vocoder.rows is {settings.rows}, expected a multiple of {multiple}, which is "
            "the number of devices or config.row_groups; take one"
        )
    needed = settings.frames * 2.0 ** (settings.most_semitones / 12)
    longest = int(info.frames["train"].max())
    if needed > longest:
        raise InputError(
            f"config.vocoder.frames is {settings.frames}, {needed:.0f} with the shift in pitch, "
            f"but the longest recording has {longest}; lower it"
        )
    samples = settings.frames * mel.hop
    transforms = {
        "config.vocoder.mel_views": max(n_fft for n_fft, _ in settings.mel_views),
        "config.discriminators.n_ffts": max(config.discriminators.n_ffts, default=0),
    }
    for where, n_fft in transforms.items():
        if samples <= n_fft // 2:
            raise InputError(
                f"config.vocoder.frames is {settings.frames}, which are {samples} samples, too few "
                f"for the {n_fft} in {where}; raise the one or lower the other"
            )


def _check_views(views: Sequence) -> None:
    """Pairs of samples and mel bins."""
    sound = bool(views) and all(
        isinstance(view, tuple | list)
        and len(view) == 2
        and all(isinstance(x, int) for x in view)
        and view[0] % 4 == 0
        and 0 < view[1] <= view[0] // 2
        for view in views
    )
    if not sound:
        raise InputError(
            f"config.vocoder.mel_views is {tuple(views)}, expected pairs of samples, a multiple of "
            "4, and mel bins, at most half as many, as ((1024, 80),)"
        )
