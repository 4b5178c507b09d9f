"""Rows of mel and f0 to sound, by the built-in vocoder or one from a folder."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from diffsinger_jax.audio.vocoder import harmonic_plus_noise
from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.onnx_vocoder import ONNX_CONFIG, PACKAGE_SUFFIXES, OnnxVocoder
from diffsinger_jax.synthesis.neural_vocoder import VOCODER_FILE, load_vocoder
from diffsinger_jax.synthesis.vocoders import log_factor, read_vocoder_spec, require_same_mel
from diffsinger_jax.types import MelSpec

HARMONIC = "harmonic"
"""The name of the built-in vocoder."""

Renderer = Callable[[jax.Array, jax.Array, jax.Array, jax.Array], np.ndarray]
"""(mel [B, T, M], f0 [B, T], mask [B, T], keys [B]) -> wav f32[B, T * hop]; padding may sound."""


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
        return functools.partial(render_rows, spec=spec)
    path = Path(vocoder)
    if (path / VOCODER_FILE).is_file():
        neural = load_vocoder(path)
    elif path.suffix.lower() in PACKAGE_SUFFIXES or (path / ONNX_CONFIG).is_file():
        neural = OnnxVocoder.open(path, lambda theirs: require_same_mel(spec, theirs, str(path)))
    else:
        require_same_mel(spec, read_vocoder_spec(path), str(path))
        raise InputError(
            f"{path} holds a vocoder of another program; make one of ours of it, with python -m "
            "diffsinger_jax.interop.torch_vocoder model.ckpt --config config.json --out DIR"
        )
    require_same_mel(spec, neural.mel, str(path))
    factor = log_factor(spec, neural.mel)

    def render(mel, f0, mask, keys):
        return neural(np.asarray(mel, np.float32) * np.float32(factor), f0, keys, mask)

    return render


@functools.partial(jax.jit, static_argnames="spec")
def render_rows(
    mel: jax.Array, f0: jax.Array, mask: jax.Array, keys: jax.Array, spec: MelSpec
) -> jax.Array:
    """mel [B, T, M], f0 [B, T], keys [B] -> wav [B, T * hop]; padding is silent."""

    def render_row(mel: jax.Array, f0: jax.Array, mask: jax.Array, key: jax.Array) -> jax.Array:
        return harmonic_plus_noise(mel[None], f0[None], spec, key=key, mask=mask[None])[0]

    return jax.vmap(render_row)(mel, f0, mask, keys)
