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
    return _mel_edges(spec)[1:-1]


@functools.lru_cache(maxsize=8)
def mel_filterbank(spec: MelSpec) -> np.ndarray:
    """f32[M, 1 + n_fft // 2] triangles of unit area per Hz (Slaney's normalisation).

    The same bits as `librosa.filters.mel`; here so that singing need not import librosa, which
    takes seconds, and half a minute on the first day.
    """
    edges = _mel_edges(spec)[:, None]
    bins = np.fft.rfftfreq(spec.n_fft, 1 / spec.sample_rate)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    weights *= 2.0 / (edges[2:] - edges[:-2])
    weights.flags.writeable = False  # shared by everyone who asks
    return weights


def _mel_edges(spec: MelSpec) -> np.ndarray:
    """f[M + 2] Hz, equally spaced on the mel scale.

    "htk" is 2595 log10(1 + f / 700) (O'Shaughnessy 1987), "slaney" linear below 1 kHz and
    logarithmic above (Slaney 1998, "Auditory Toolbox").
    """
    limits = np.array([spec.fmin, spec.fmax], np.float64)
    if spec.mel_scale == "htk":
        low, high = 2595.0 * np.log10(1.0 + limits / 700.0)
        mels = np.linspace(low, high, spec.n_mels + 2)
        return 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    per_mel, corner, step = 200.0 / 3, 1000.0, np.log(6.4) / 27.0
    corner_mel = corner / per_mel
    logarithmic = corner_mel + np.log(np.maximum(limits, corner) / corner) / step
    low, high = np.where(limits < corner, limits / per_mel, logarithmic)
    mels = np.linspace(low, high, spec.n_mels + 2)
    above = corner * np.exp(step * (np.maximum(mels, corner_mel) - corner_mel))
    return np.where(mels < corner_mel, mels * per_mel, above)


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
    import librosa  # late: it takes seconds, and what only sings needs none of it

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
