"""Waveform to log-mel, and the contract for how many frames there are."""

from __future__ import annotations

import functools
import importlib

import numpy as np

from diffsinger_jax.types import MelSpec


def frame_count(num_samples: int, spec: MelSpec) -> int:
    """T of `num_samples` samples: 1 + L // hop if centered, L // hop if reflect.

    This is the only place where the off-by-one is settled.
    """
    frames = num_samples // spec.hop
    return frames + 1 if spec.framing == "centered" else frames


def frame_offset(spec: MelSpec) -> int:
    """The sample on which frame 0 is centred; frame t is centred on `t * hop` after it."""
    return 0 if spec.framing == "centered" else spec.hop // 2


def mel_centres(spec: MelSpec) -> np.ndarray:
    """f[M] Hz, where the bins' triangles have their tips."""
    import librosa  # late, as below

    return librosa.mel_frequencies(
        spec.n_mels + 2, fmin=spec.fmin, fmax=spec.fmax, htk=spec.mel_scale == "htk"
    )[1:-1]


@functools.lru_cache(maxsize=8)
def mel_filterbank(spec: MelSpec) -> np.ndarray:
    """f32[M, 1 + n_fft // 2] triangles of unit area per Hz (Slaney's normalisation)."""
    import librosa  # late: it takes seconds, and a machine that only trains needs none of it

    weights = librosa.filters.mel(
        sr=spec.sample_rate,
        n_fft=spec.n_fft,
        n_mels=spec.n_mels,
        fmin=spec.fmin,
        fmax=spec.fmax,
        htk=spec.mel_scale == "htk",
        norm="slaney",
        dtype=np.float32,
    )
    weights.flags.writeable = False  # shared by everyone who asks
    return weights


def pad_for_frames(wav: np.ndarray, spec: MelSpec) -> np.ndarray:
    """Pads both ends so that whole windows start at t * hop: zeros, or the sound mirrored."""
    if spec.framing == "centered":
        return np.pad(wav, spec.n_fft // 2)
    left = (spec.n_fft - spec.hop) // 2
    return np.pad(wav, (left, spec.n_fft - spec.hop - left), mode="reflect")


def log_mel(wav: np.ndarray, spec: MelSpec) -> np.ndarray:
    """log(max(floor, filterbank |STFT(wav)|)): magnitudes, a Hann window, no normalisation.

    Args:
      wav: f32[L] in [-1, 1] at `spec.sample_rate`.

    Returns:
      f32[T, M] with T = `frame_count(L, spec)`.

    Raises:
      ValueError: if `wav` is not one channel.
    """
    if wav.ndim != 1:
        raise ValueError(f"log_mel takes one channel, f32[L], got shape {wav.shape}")
    import librosa  # late, as above

    frames = frame_count(len(wav), spec)
    if frames == 0:
        return np.zeros((0, spec.n_mels), np.float32)
    stft = librosa.stft(
        pad_for_frames(np.asarray(wav, np.float32), spec),
        n_fft=spec.n_fft,
        hop_length=spec.hop,
        win_length=spec.win,
        window="hann",
        center=False,
    )
    mel = mel_filterbank(spec) @ np.abs(stft[:, :frames])  # [M, F] @ [F, T]
    return spec.log(np.maximum(spec.log_floor, mel)).T.astype(np.float32)


def compile_librosa() -> None:
    """Has numba compile librosa's array functions, if this installation has not done so yet.

    Call it before several processes that use librosa start: where two of them compile the same
    function at once, numba mixes up their cache files, and from then on a call of it ends every
    process with a segmentation fault (https://github.com/numba/numba/issues/10128).
    """
    for name in ("core.audio", "core.pitch", "util.utils"):
        importlib.import_module(f"librosa.{name}")  # compiles what it declares
