"""What can be trained: the one table of tasks.

A further family is a folder beside `acoustic/`, a line here, and a config that names its kind.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

from diffsinger_jax.errors import InputError


class Task(NamedTuple):
    """Where the parts of a task are, as "module:name"; nothing is imported before it is asked for.

    Attributes:
      config: its dataclass.
      train: (config, workdir, stage, profile=) -> what it has trained.
    """

    config: str
    train: str

    def config_class(self) -> type:
        """The dataclass."""
        return _load(self.config)

    def train_function(self) -> Callable[..., Any]:
        """The function."""
        return _load(self.train)


TASKS = {
    "acoustic": Task(
        "diffsinger_jax.tasks.acoustic.config:AcousticConfig",
        "diffsinger_jax.tasks.acoustic.task:train_voice",
    ),
    "diffgan": Task(
        "diffsinger_jax.tasks.diffgan.config:DiffGanConfig",
        "diffsinger_jax.tasks.diffgan.task:train_diffgan",
    ),
    "distill": Task(
        "diffsinger_jax.tasks.distill.config:DistillConfig",
        "diffsinger_jax.tasks.distill.task:train_student",
    ),
    "gan_singer": Task(
        "diffsinger_jax.tasks.gan_singer.config:GanSingerConfig",
        "diffsinger_jax.tasks.gan_singer.task:train_gan_singer",
    ),
    "speech": Task(
        "diffsinger_jax.tasks.speech.config:SpeechConfig",
        "diffsinger_jax.tasks.speech.task:train_speech",
    ),
    "variance": Task(
        "diffsinger_jax.tasks.variance.config:VarianceConfig",
        "diffsinger_jax.tasks.variance.task:train_variance",
    ),
    "vocoder": Task(
        "diffsinger_jax.tasks.vocoder.config:VocoderConfig",
        "diffsinger_jax.tasks.vocoder.task:train_vocoder",
    ),
}
"""By `config.kind`."""


def task_of(kind: str) -> Task:
    """The task of a config's `kind`.

    Raises:
      InputError: if there is none.
    """
    if kind not in TASKS:
        raise InputError(f"config.kind is one of {', '.join(TASKS)}, got {kind!r}")
    return TASKS[kind]


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
