"""Does it sound like the same singer? The cosine of two speaker embeddings; blur lowers it.

The GE2E encoder of Wan, Wang, Papir, Moreno, Generalized end-to-end loss for speaker
verification, 2018, with the weights that the package `Resemblyzer` carries. Only that file is
used: the network is small enough for numpy, so neither PyTorch nor the package itself is imported.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.special

from diffsinger_jax.audio.wav import resample
from diffsinger_jax.errors import InputError

SAMPLE_RATE = 16_000
FRAME_SAMPLES, WINDOW_SAMPLES, MEL_BINS = 160, 400, 40
PARTIAL_FRAMES, PARTIAL_HOP = 160, 77
"""An utterance is embedded in parts of 1.6 s, 1.3 of them a second."""
LEAST_COVERED = 0.75
"""The last part is left out where the sound fills less of it."""
LOUDNESS_DB = -30.0
"""Quieter sounds are raised to this level (RMS of full scale)."""
WIDTH, LAYERS = 256, 3

_SHA256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"
# The file is a pickle, and pickles run code. Its content is known by its digest, so the tensors
# are read from the bytes where they lie in it, and nothing is unpickled.
_BIAS_BYTE, _WEIGHT_BYTE, _LSTM_BYTE = 6_699, 7_731, 269_883


class _Encoder(NamedTuple):
    """inputs [D, 4 W], recurrent [W, 4 W] and bias [4 W] of each layer, and the last layer's."""

    layers: tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]
    weight: np.ndarray
    bias: np.ndarray


def installed() -> bool:
    """Whether the package with the weights is there."""
    return importlib.util.find_spec("resemblyzer") is not None


def speaker_embedding(wav: np.ndarray, sample_rate: int) -> np.ndarray:
    """f32[256] of unit length, none of it negative.

    Args:
      wav: f32[L] in [-1, 1], L > 0.
      sample_rate: Hz.

    Raises:
      InputError: without the weights, or for a sound of no length.
    """
    if not len(wav):
        raise InputError("a speaker needs a sound to be known by, got one of no length")
    encoder = _encoder()
    sound = _loud_enough(resample(wav, sample_rate, SAMPLE_RATE))
    firsts = _partials(len(sound))
    longest = (firsts[-1] + PARTIAL_FRAMES) * FRAME_SAMPLES
    mel = _mel(np.pad(sound, (0, max(0, longest - len(sound)))))
    embeddings = _unit(_embed(encoder, np.stack([mel[f : f + PARTIAL_FRAMES] for f in firsts])))
    return _unit(embeddings.mean(axis=0))


def speaker_cosine(first: np.ndarray, second: np.ndarray) -> float:
    """Of two embeddings; 1 is the same."""
    return float(np.dot(first, second))


@functools.cache
def _encoder() -> _Encoder:
    found = importlib.util.find_spec("resemblyzer") if installed() else None
    if found is None or found.origin is None:
        raise InputError(
            "speaker similarity needs the weights in Resemblyzer: pip install --no-deps "
            "resemblyzer (without --no-deps it brings PyTorch, which is not used), or leave it out"
        )
    package = Path(found.origin).parent
    content = (package / "pretrained.pt").read_bytes()
    if hashlib.sha256(content).hexdigest() != _SHA256:
        raise InputError(
            f"{package / 'pretrained.pt'} is not that of Resemblyzer 0.1.4; install this version"
        )

    def read(byte: int, *shape: int) -> np.ndarray:
        values = np.frombuffer(content, "<f4", int(np.prod(shape)), byte).reshape(shape)
        return np.ascontiguousarray(values.T)

    # In PyTorch's order: the matrices of all layers, then their biases; gates i, f, g, o.
    layers, byte = [], _LSTM_BYTE
    biases_byte = byte + 4 * (4 * WIDTH) * (MEL_BINS + (2 * LAYERS - 1) * WIDTH)
    for layer in range(LAYERS):
        width_in = MEL_BINS if layer == 0 else WIDTH
        inputs = read(byte, 4 * WIDTH, width_in)
        byte += inputs.nbytes
        recurrent = read(byte, 4 * WIDTH, WIDTH)
        byte += recurrent.nbytes
        bias = read(biases_byte, 2, 4 * WIDTH).sum(axis=1)  # of the inputs and of the state
        biases_byte += 2 * bias.nbytes
        layers.append((inputs, recurrent, bias))
    return _Encoder(tuple(layers), read(_WEIGHT_BYTE, WIDTH, WIDTH), read(_BIAS_BYTE, WIDTH))


def _loud_enough(sound: np.ndarray) -> np.ndarray:
    level_db = 10 * np.log10(max(float(np.mean(np.square(sound, dtype=np.float64))), 1e-12))
    return sound * np.float32(10 ** (max(LOUDNESS_DB - level_db, 0.0) / 20))


def _partials(samples: int) -> list[int]:
    """The first frames of the parts."""
    frames = int(np.ceil((samples + 1) / FRAME_SAMPLES))
    firsts = list(range(0, max(1, frames - PARTIAL_FRAMES + PARTIAL_HOP + 1), PARTIAL_HOP))
    covered = (samples - firsts[-1] * FRAME_SAMPLES) / (PARTIAL_FRAMES * FRAME_SAMPLES)
    return firsts[:-1] if covered < LEAST_COVERED and len(firsts) > 1 else firsts


def _mel(sound: np.ndarray) -> np.ndarray:
    """f32[T, 40] power, not its logarithm."""
    import librosa  # late: it takes seconds

    mel = librosa.feature.melspectrogram(
        y=sound, sr=SAMPLE_RATE, n_fft=WINDOW_SAMPLES, hop_length=FRAME_SAMPLES, n_mels=MEL_BINS
    )
    return mel.T.astype(np.float32)


def _embed(encoder: _Encoder, mel: np.ndarray) -> np.ndarray:
    """[P, T, 40] -> [P, 256]: the last layer's last state, through a ReLU layer."""
    x = mel.transpose(1, 0, 2)  # [T, P, D]
    for inputs, recurrent, bias in encoder.layers:
        state = cell = np.zeros((x.shape[1], WIDTH), np.float32)
        states = []
        for step in x @ inputs + bias:
            i, f, g, o = np.split(step + state @ recurrent, 4, axis=-1)
            cell = scipy.special.expit(f) * cell + scipy.special.expit(i) * np.tanh(g)
            state = scipy.special.expit(o) * np.tanh(cell)
            states.append(state)
        x = np.stack(states)
    return np.maximum(x[-1] @ encoder.weight + encoder.bias, 0.0)


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
