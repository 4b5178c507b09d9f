"""Families of acoustic models that a voice may be: the one table of them.

A further family is a module here, a loss in its task, a line in this table, and a config.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.diffusion.path import Path
from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.types import Batch, CorpusInfo

DIFFSINGER = "diffsinger"
"""The family of a voice that names none."""
NO_PATH = Path(
    alpha=jnp.ones_like, sigma=jnp.zeros_like, noise_time=0.0, data_time=0.0, discrete=True
)
"""Of a family that samples without diffusion: there is no depth to start from."""


class Acoustic(Protocol):
    """What voices need of a model: pure functions of (params, batch)."""

    @property
    def model(self) -> nn.Module:
        """The Flax module; its `mel_bins` and `curves` say what batches it takes."""

    @property
    def path(self) -> Path:
        """Along which it samples, or `NO_PATH`."""

    def predict_frames(self, params: Any, batch: Batch) -> jax.Array:
        """Duration of each phoneme in frames, f32[B, N], >= 0."""
        ...

    def predict_f0(self, params: Any, batch: Batch) -> jax.Array:
        """f0 of each frame in Hz, f32[B, T], 0 unvoiced."""
        ...

    def sample_mel(
        self,
        params: Any,
        batch: Batch,
        keys: jax.Array,
        temperature: jax.Array | float,
        *,
        sampling: Sampling,
    ) -> jax.Array:
        """Log mel [B, T, M] of a batch with durations (`mel2ph`, `mask`) and `f0`."""
        ...


class Family(NamedTuple):
    """Where a family is; nothing is imported before it is asked for.

    Attributes:
      build: (model, schedule, process, info) -> its `Acoustic`, as "module:function".
      speaks: whether it reads phonemes alone; None where its model section says so.
    """

    build: str
    speaks: bool | None = None


FAMILIES = {
    DIFFSINGER: Family("diffsinger_jax.models.acoustic:acoustic_model"),
    "glow_tts": Family("diffsinger_jax.models.glow_tts:glow_tts", speaks=True),
    "tacotron2": Family("diffsinger_jax.models.tacotron2:tacotron2", speaks=True),
}
"""By `family` of a voice."""


def corpus_sizes(info: CorpusInfo) -> dict[str, Any]:
    """What the module of every family is told of a corpus, as keyword arguments."""
    return {
        "phonemes": len(info.vocabulary.phonemes),
        "speakers": len(info.vocabulary.speakers),
        "languages": len(info.vocabulary.languages),
        "mel_bins": info.mel.n_mels,
    }


def build_acoustic(
    family: str,
    model: Mapping[str, Any],
    schedule: Mapping[str, Any],
    process: str,
    info: CorpusInfo,
) -> Any:
    """Puts together what a voice says: an `Acoustic`.

    Raises:
      KeyError: for a family that there is not.
    """
    module, _, name = FAMILIES[family].build.partition(":")
    return getattr(importlib.import_module(module), name)(model, schedule, process, info)
