"""DNSMOS P.835: how a panel would rate a recording, by a network that hears noise, not blur.

It hears nothing above 8 kHz. Reddy, Gopal, Cutler, DNSMOS P.835: a non-intrusive perceptual
objective speech quality metric to evaluate noise suppressors, 2022. The network is the one that
the package `speechmos` carries; it needs the extra "perceptual".
"""

from __future__ import annotations

import functools
import importlib.resources
import importlib.util
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from diffsinger_jax.audio.wav import resample
from diffsinger_jax.errors import InputError

if TYPE_CHECKING:
    import onnxruntime

SAMPLE_RATE = 16_000
WINDOW_SAMPLES = int(9.01 * SAMPLE_RATE)
"""What the network takes."""
HOP_SAMPLES = SAMPLE_RATE
TILED_SAMPLES = int(9.1 * SAMPLE_RATE)
"""Shorter sounds are repeated up to this length."""
_MODEL = "dnsmos_models/sig_bak_ovr.onnx"
# Raw outputs, in their order, to opinion scores: the polynomials of the reference implementation.
_CALIBRATION = {
    "sig": (-0.08397278, 1.22083953, 0.0052439),
    "bak": (-0.13166888, 1.60915514, -0.39604546),
    "ovrl": (-0.06766283, 1.11546468, 0.04602535),
}


class Opinion(NamedTuple):
    """Mean opinion scores from 1 to 5: of the voice, of the background, of all."""

    sig: float
    bak: float
    ovrl: float


def installed() -> bool:
    """Whether the extra "perceptual" is there."""
    return all(importlib.util.find_spec(name) for name in ("speechmos", "onnxruntime"))


def dnsmos(wav: np.ndarray, sample_rate: int) -> Opinion:
    """Rates one sound: the mean over windows of 9.01 s, a second apart.

    Args:
      wav: f32[L] in [-1, 1], L > 0; louder samples are clipped.
      sample_rate: Hz.

    Raises:
      InputError: without the extra, or for a sound of no length.
    """
    if not len(wav):
        raise InputError("DNSMOS was given a sound of no length, expected at least one sample")
    sound = np.clip(resample(wav, sample_rate, SAMPLE_RATE), -1.0, 1.0)
    if len(sound) < TILED_SAMPLES:
        sound = np.resize(sound, TILED_SAMPLES)
    session = _session()
    raw = [
        session.run(None, {"input_1": sound[None, first : first + WINDOW_SAMPLES]})[0][0]
        for first in range(0, len(sound) - WINDOW_SAMPLES + 1, HOP_SAMPLES)
    ]
    scores = [
        np.polyval(polynomial, column)
        for polynomial, column in zip(_CALIBRATION.values(), np.transpose(raw), strict=True)
    ]
    return Opinion(*(float(np.mean(column)) for column in scores))


@functools.cache
def _session() -> onnxruntime.InferenceSession:
    if not installed():
        raise InputError(
            "DNSMOS needs its network: pip install onnxruntime speechmos, or leave it out"
        )
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the same sums in the same order on every machine
    return onnxruntime.InferenceSession(
        str(importlib.resources.files("speechmos").joinpath(_MODEL)),
        sess_options=options,
        providers=["CPUExecutionProvider"],
    )
