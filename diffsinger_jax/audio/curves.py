"""Waveform to control curves: energy, breathiness, voicing, tension, on the frames of `log_mel`.

The definitions are those of openvpi/DiffSinger, so that a curve means the same to its voices and
to ours.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import librosa
import numpy as np

from diffsinger_jax.audio.f0 import interpolate_f0, world
from diffsinger_jax.types import MelSpec

CURVES = ("energy", "breathiness", "voicing", "tension")
"""What `extract_curves` computes: three levels in dB, and tension as a logit."""
SMOOTHING_SEC = 0.06
"""Width of the kernel that curves are smoothed by."""
DYNAMIC_RANGE_DB = 80.0
"""No frame is said to lie further below the loudest of its recording."""
AMPLITUDE_FLOOR = 1e-5
TENSION_MARGIN = 1e-4
"""Tension's ratio is kept so far from 0 and 1, where its logit is infinite."""
FUNDAMENTAL_HALF_BINS = 3.5
"""Bins of the transform to each side of f0 that count as the fundamental."""
DITHER = 1e-5
"""Spread of the noise added before WORLD looks at a waveform, whose zeros it cannot bear."""
APERIODIC_FLOOR = 1e-16
_NUTTALL = (0.355768, 0.487396, 0.144232, 0.012604)


@dataclasses.dataclass(frozen=True)
class Separation:
    """A voice in two parts, f64[L] each at the rate of its spec.

    Attributes:
      harmonic: what vibrates with f0.
      aperiodic: breath and consonants.
    """

    harmonic: np.ndarray
    aperiodic: np.ndarray


def extract_curve(name: str, wav: np.ndarray, f0: np.ndarray, spec: MelSpec) -> np.ndarray:
    """One control curve of a recording, as `extract_curves` has it: f32[T].

    The curves of the recording that was asked for last are kept, since one separation is behind
    three of them; energy needs none.
    """
    if name == "energy":
        return _smoothed(level_db(wav, len(f0), spec), spec, SMOOTHING_SEC)
    asked = hashlib.sha256(wav.tobytes() + f0.tobytes()).digest(), spec
    if _latest.get("asked") != asked:
        _latest.update(asked=asked, curves=extract_curves(wav, f0, spec))
    return _latest["curves"][name]


_latest: dict[str, Any] = {}


def extract_curves(
    wav: np.ndarray,
    f0: np.ndarray,
    spec: MelSpec,
    *,
    seed: int = 0,
    smoothing_sec: float = SMOOTHING_SEC,
    separation: Separation | None = None,
) -> dict[str, np.ndarray]:
    """All control curves of a recording, smoothed.

    Args:
      wav: f32[L] at `spec.sample_rate`.
      f0: f32[T] Hz, 0 unvoiced, of `extract_f0`.
      spec: of the mel whose frames they are on.
      seed: of the noise that WORLD's separation needs.
      smoothing_sec: width of the kernel; 0 smooths nothing.
      separation: of the waveform, WORLD's unless given.

    Returns:
      f32[T] for each name of `CURVES`.
    """
    frames = len(f0)
    separation = separation or separate(wav, f0, spec, seed=seed)
    raw = {
        "energy": level_db(wav, frames, spec),
        "breathiness": level_db(separation.aperiodic, frames, spec),
        "voicing": level_db(separation.harmonic, frames, spec),
        "tension": tension(separation.harmonic, f0, spec),
    }
    return {name: _smoothed(curve, spec, smoothing_sec) for name, curve in raw.items()}


def _smoothed(curve: np.ndarray, spec: MelSpec, smoothing_sec: float) -> np.ndarray:
    """f64[T] -> f32[T]."""
    return smooth(curve, round(smoothing_sec * spec.frames_per_sec)).astype(np.float32)


def level_db(wav: np.ndarray, frames: int, spec: MelSpec) -> np.ndarray:
    """Root mean square of each window in dB, at most 80 dB below the loudest: f64[T].

    Args:
      wav: [L].
      frames: T.
      spec: its `win` and `hop` are those of the windows, centred on sample t * hop.
    """
    amplitude = _rms(wav, frames, spec)
    level = 20.0 * np.log10(np.maximum(amplitude, AMPLITUDE_FLOOR))
    return np.maximum(level, np.max(level, initial=-np.inf) - DYNAMIC_RANGE_DB)


def tension(harmonic: np.ndarray, f0: np.ndarray, spec: MelSpec) -> np.ndarray:
    """How much of the harmonic part lies above its fundamental, as a logit: f64[T].

        ratio = sqrt(max(0, E_h^2 - E_1^2)) / (E_h + 1e-5),   ln(ratio / (1 - ratio))

    with the amplitudes E_h of the harmonic part and E_1 of its fundamental.

    Args:
      harmonic: [L].
      f0: [T] Hz, 0 unvoiced.
      spec: its window and hop are used.
    """
    frames = len(f0)
    whole = _rms(harmonic, frames, spec)
    first = _rms(fundamental(harmonic, f0, spec), frames, spec)
    above = np.sqrt(np.maximum(whole**2 - first**2, 0.0)) / (whole + AMPLITUDE_FLOOR)
    ratio = np.clip(above, TENSION_MARGIN, 1.0 - TENSION_MARGIN)
    return np.log(ratio / (1.0 - ratio))


def fundamental(harmonic: np.ndarray, f0: np.ndarray, spec: MelSpec) -> np.ndarray:
    """The lowest harmonic alone, by a mask around f0 on the short-time spectrum: [L]."""
    phase = 2.0 * np.pi * np.arange(spec.win) / spec.win
    window = sum((-1) ** k * a * np.cos(k * phase) for k, a in enumerate(_NUTTALL))
    transform = dict(n_fft=spec.win, hop_length=spec.hop, win_length=spec.win, window=window)
    spectrum = librosa.stft(np.asarray(harmonic, np.float64), pad_mode="reflect", **transform)
    bins = np.arange(spectrum.shape[0])[:, None]
    centre = interpolate_f0(f0) * spec.win / spec.sample_rate
    centre = librosa.util.fix_length(centre, size=spectrum.shape[1], mode="edge")[None, :]
    near = (bins >= centre - FUNDAMENTAL_HALF_BINS) & (bins < centre + FUNDAMENTAL_HALF_BINS)
    return librosa.istft(
        np.where(near & (centre >= 1.0), spectrum, 0.0), length=len(harmonic), **transform
    )


def separate(wav: np.ndarray, f0: np.ndarray, spec: MelSpec, *, seed: int = 0) -> Separation:
    """The harmonic and the aperiodic part of a voice, both synthesized anew by WORLD.

    Morise et al. 2016; the envelope by CheapTrick, its aperiodic share by D4C.

    Args:
      wav: f32[L] at `spec.sample_rate`.
      f0: f32[T] Hz, 0 unvoiced, on the frames of `log_mel`.
      spec: rate and hop.
      seed: of the noise that is added first.
    """
    pyworld, rate = world(), spec.sample_rate
    period_ms = 1000.0 * spec.hop / rate
    noise = np.random.default_rng(seed).standard_normal(len(wav))
    noisy = np.asarray(wav, np.float64) + DITHER * noise
    f0 = np.ascontiguousarray(f0, np.float64)
    times = np.arange(len(f0)) * period_ms / 1000.0
    envelope = pyworld.cheaptrick(noisy, f0, times, rate)
    share = pyworld.d4c(noisy, f0, times, rate, fft_size=(envelope.shape[1] - 1) * 2)
    aperiodic = envelope * share**2
    harmonic = np.maximum(envelope - aperiodic, APERIODIC_FLOOR)

    def synthesized(f0: np.ndarray, envelope: np.ndarray, share: float) -> np.ndarray:
        sound = pyworld.synthesize(f0, envelope, np.full_like(envelope, share), rate, period_ms)
        return librosa.util.fix_length(sound, size=len(wav))

    # All noise needs no pulses; all pulses are heard where there is f0.
    return Separation(
        harmonic=synthesized(f0, harmonic, 0.0),
        aperiodic=synthesized(np.zeros_like(f0), np.maximum(aperiodic, APERIODIC_FLOOR), 1.0),
    )


def smoothing_kernel(width: int) -> np.ndarray:
    """Half a period of a sine over `width` taps, of sum 1: f64[width]."""
    kernel = np.sin(np.pi * np.linspace(0.0, 1.0, width))
    return kernel / kernel.sum()


def smooth(curve: np.ndarray, width: int) -> np.ndarray:
    """A curve after `smoothing_kernel`, its ends held outside: f64[T].

    Of an even number of taps one more looks forward. Fewer than three are none.
    """
    curve = np.asarray(curve, np.float64)
    if width < 3 or not len(curve):
        return curve
    before, after = (width - 1) // 2, width // 2
    held = np.pad(curve, (before, after), mode="edge")
    return np.convolve(held, smoothing_kernel(width)[::-1], mode="valid")


def resample_curve(
    values: np.ndarray, timestep_sec: float, count: int, frames_per_sec: float
) -> np.ndarray:
    """A curve at frame times: linear between its points, f64[count].

    Frames behind the last one that lies within the curve hold that one's value.

    Args:
      values: [n], one every `timestep_sec`.
      timestep_sec: > 0.
      count: frames wanted.
      frames_per_sec: of the mel.
    """
    values = np.asarray(values, np.float64)
    step = 1.0 / frames_per_sec
    end_sec = (len(values) - 1) * timestep_sec
    times = np.arange(0.0, end_sec, step)[:count]
    if not len(times):
        return np.full(count, values[0])
    inside = np.interp(times, np.arange(len(values)) * timestep_sec, values)
    return np.pad(inside, (0, count - len(inside)), mode="edge")


def _rms(wav: np.ndarray, frames: int, spec: MelSpec) -> np.ndarray:
    rms = librosa.feature.rms(
        y=np.asarray(wav, np.float64),
        frame_length=spec.win,
        hop_length=spec.hop,
        center=True,
        pad_mode="constant",
    )[0]
    return librosa.util.fix_length(rms, size=frames, mode="edge")
