"""Waveform to f0, on the frames of `log_mel`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from diffsinger_jax.audio.mel import frame_count, frame_offset
from diffsinger_jax.errors import InputError
from diffsinger_jax.pitch import fill_unvoiced
from diffsinger_jax.types import MelSpec

F0_FLOOR_HZ = 65.0
"""C2, below what most basses sing."""
F0_CEIL_HZ = 1100.0
"""Just above C6, a soprano's high C."""


def world():
    """pyworld, imported only where it is used."""
    import pyworld

    return pyworld


def _harvest(wav: np.ndarray, rate: int, hop: int, floor: float, ceil: float) -> np.ndarray:
    """Morise 2017, "Harvest": robust, and voiced whenever in doubt."""
    f0, _ = world().harvest(
        wav, rate, f0_floor=floor, f0_ceil=ceil, frame_period=1000.0 * hop / rate
    )
    return f0


def _dio(wav: np.ndarray, rate: int, hop: int, floor: float, ceil: float) -> np.ndarray:
    """Morise et al. 2009, "DIO", refined by StoneMask: some ten times faster than Harvest."""
    pyworld = world()
    coarse, times = pyworld.dio(
        wav, rate, f0_floor=floor, f0_ceil=ceil, frame_period=1000.0 * hop / rate
    )
    return pyworld.stonemask(wav, coarse, times, rate)


def _pyin(wav: np.ndarray, rate: int, hop: int, floor: float, ceil: float) -> np.ndarray:
    """Mauch & Dixon 2014, "pYIN", in steps of ten cents."""
    import librosa  # late: it takes seconds, and only this needs it

    window = 1 << int(np.ceil(np.log2(4.0 * rate / floor)))  # four periods of the lowest tone
    f0, voiced, _ = librosa.pyin(
        wav, fmin=floor, fmax=ceil, sr=rate, frame_length=window, hop_length=hop
    )
    return np.where(voiced, f0, 0.0)


F0_EXTRACTORS: Mapping[str, Callable[[np.ndarray, int, int, float, float], np.ndarray]] = {
    "harvest": _harvest,
    "dio": _dio,
    "pyin": _pyin,
}
"""By name: (wav f64[L], rate, hop, floor Hz, ceil Hz) -> Hz at samples 0, hop, 2 hop ..."""


def require_extractor(name: str) -> None:
    """Raises InputError for a name that is not in `F0_EXTRACTORS`."""
    if name not in F0_EXTRACTORS:
        raise InputError(
            f"there is no f0 extractor {name!r}, expected one of "
            f"{', '.join(F0_EXTRACTORS)}; choose one"
        )


def extract_f0(
    wav: np.ndarray,
    spec: MelSpec,
    method: str = "harvest",
    *,
    f0_floor: float = F0_FLOOR_HZ,
    f0_ceil: float = F0_CEIL_HZ,
) -> np.ndarray:
    """f0 at the centres of the frames of `log_mel(wav, spec)`.

    Args:
      wav: f32[L] at `spec.sample_rate`.
      method: a name in `F0_EXTRACTORS`.
      f0_floor, f0_ceil: Hz, the range that is searched.

    Returns:
      f32[T] Hz, 0 where unvoiced, T = `frame_count(L, spec)`.

    Raises:
      ValueError: for an unknown method, or if `wav` is not one channel.
    """
    if method not in F0_EXTRACTORS:
        raise ValueError(f"no f0 extractor {method!r}; there are {', '.join(F0_EXTRACTORS)}")
    if wav.ndim != 1:
        raise ValueError(f"extract_f0 takes one channel, f32[L], got shape {wav.shape}")
    frames, offset = frame_count(len(wav), spec), frame_offset(spec)
    if frames == 0 or not np.any(wav):
        return np.zeros(frames, np.float32)
    # Extractors look at samples 0, hop, 2 hop ... If frame 0 is centred later than sample 0, the
    # sound is moved right until frame 0 lies on sample `hop`. A tail of silence: a last frame
    # near the end, and enough sound for extractors that fail on very short input.
    first = 1 if offset else 0
    tail = max(2 * spec.hop, spec.sample_rate // 5 - len(wav))
    padded = np.pad(np.asarray(wav, np.float64), (first * spec.hop - offset, tail))
    f0 = F0_EXTRACTORS[method](padded, spec.sample_rate, spec.hop, f0_floor, f0_ceil)
    return f0[first : first + frames].astype(np.float32)


def interpolate_f0(f0: np.ndarray) -> np.ndarray:
    """f0 with unvoiced stretches filled in: linear in log f0, the ends held.

    Args:
      f0: [T] Hz, 0 unvoiced.

    Returns:
      f64[T] Hz; zeros if no frame is voiced.
    """
    return fill_unvoiced(np.asarray(f0, np.float64))
