"""Rows of mel and f0 to sound, by the built-in vocoder or one from a folder."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from diffsinger_jax.errors import InputError
from diffsinger_jax.synthesis.harmonic import HarmonicVocoder
from diffsinger_jax.types import Array, MelSpec
from diffsinger_jax.voices.onnx_vocoder import ONNX_CONFIG, PACKAGE_SUFFIXES, OnnxVocoder
from diffsinger_jax.voices.vocoder import VOCODER_FILE, NeuralVocoder, load_vocoder
from diffsinger_jax.voices.vocoder_spec import log_factor, read_vocoder_spec, require_same_mel

HARMONIC = "harmonic"
"""The name of the built-in vocoder."""


@dataclasses.dataclass(frozen=True)
class Renderer:
    """A vocoder that reads a voice's mels.

    Attributes:
      vocoder: what makes the sound.
      spec: of the voice's mels.
      factor: on them, where the vocoder's logarithm has another base.
    """

    vocoder: HarmonicVocoder | NeuralVocoder | OnnxVocoder
    spec: MelSpec
    factor: float = 1.0

    def __call__(self, mel: Array, f0: Array, mask: Array, keys: jax.Array) -> Array:
        """mel [B, T, M], f0 [B, T], keys [B] -> wav f32[B, T * hop]; padding may sound."""
        return self.vocoder(self._scaled(mel), f0, keys, mask)

    def stream(
        self, mel: np.ndarray, f0: np.ndarray, frames: int, key: jax.Array
    ) -> Iterator[np.ndarray]:
        """Sound of one row, f32[L] after f32[L], together frames * hop samples.

        Args:
          mel: f32[T, M] log amplitude; T is of few lengths, so that little is compiled.
          f0: f32[T] Hz, 0 unvoiced.
          frames: how many of the T are not padding.
          key: of what is random.
        """
        if isinstance(self.vocoder, OnnxVocoder):  # nothing is compiled for its lengths
            mel, f0 = mel[:frames], f0[:frames]
        padding = np.arange(len(f0)) >= frames
        mel = np.where(padding[:, None], np.float32(self.spec.silence), mel)
        f0 = np.where(padding, np.float32(0), f0)
        left = frames * self.spec.hop
        for wav in self.vocoder.stream(self._scaled(mel), f0, key):
            yield wav[:left]
            if (left := left - len(wav)) <= 0:
                return

    def _scaled(self, mel):
        return mel if self.factor == 1.0 else np.asarray(mel, np.float32) * np.float32(self.factor)


def open_renderer(vocoder: str | os.PathLike | None, spec: MelSpec) -> Renderer:
    """What makes sound of a voice's mels.

    Args:
      vocoder: a vocoder folder (vocoder.json, or OpenUtau's vocoder.yaml), an .oudep package, or
        "harmonic"; None means that too.
      spec: of the voice's mels.

    Raises:
      InputError: if it is none of these, is damaged, or expects another mel than the voice's.
    """
    if vocoder is None or str(vocoder) == HARMONIC:
        return Renderer(HarmonicVocoder(spec), spec)
    path = Path(vocoder)
    if (path / VOCODER_FILE).is_file():
        neural: NeuralVocoder | OnnxVocoder = load_vocoder(path)
    elif path.suffix.lower() in PACKAGE_SUFFIXES or (path / ONNX_CONFIG).is_file():
        neural = OnnxVocoder.open(path, lambda theirs: require_same_mel(spec, theirs, str(path)))
    else:
        require_same_mel(spec, read_vocoder_spec(path), str(path))
        raise InputError(
            f"{path} holds a vocoder of another program; make one of ours of it, with "
            "diffsinger-jax import vocoder model.ckpt --config config.json --out DIR"
        )
    require_same_mel(spec, neural.mel, str(path))
    return Renderer(neural, spec, log_factor(spec, neural.mel))
