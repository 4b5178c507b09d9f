"""Mels of a recording as if it were sung higher or lower, faster or slower.

Both are done on the transform and not on the sound: the window is lengthened by the shift, so that
every partial is found in a lower bin; the hop is lengthened by the speed.
"""

from __future__ import annotations

import librosa
import numpy as np

from diffsinger_jax.audio.mel import mel_filterbank
from diffsinger_jax.types import MelSpec


def augmented_mel(
    wav: np.ndarray, spec: MelSpec, *, key_shift: float = 0.0, speed: float = 1.0
) -> np.ndarray:
    """The log mel of a recording, shifted up and sped up.

    Args:
      wav: f32[L] at `spec.sample_rate`.
      spec: with `framing` "reflect".
      key_shift: semitones up; formants move with the pitch.
      speed: factor, 2 is twice as fast; see `speed_of_hop` for what it is rounded to.

    Returns:
      f32[T, M], T = L // round(hop * speed).

    Raises:
      ValueError: for another framing.
    """
    if spec.framing != "reflect":
        raise ValueError(f'mels are augmented with framing "reflect", not {spec.framing!r}')
    factor = 2.0 ** (key_shift / 12.0)
    n_fft, win = round(spec.n_fft * factor), round(spec.win * factor)
    hop = round(spec.hop * speed)
    padded = np.pad(wav, ((win - hop) // 2, (win - hop + 1) // 2), mode="reflect")
    spectrum = np.abs(
        librosa.stft(
            np.asarray(padded, np.float32),
            n_fft=n_fft,
            hop_length=hop,
            win_length=win,
            window="hann",
            center=False,
        )
    )
    bins = spec.n_fft // 2 + 1
    spectrum = librosa.util.fix_length(spectrum[:bins], size=bins, axis=0) * (spec.win / win)
    mel = mel_filterbank(spec) @ spectrum[:, : len(wav) // hop]
    return spec.log(np.maximum(spec.log_floor, mel)).T.astype(np.float32)


def speed_of_hop(spec: MelSpec, speed: float) -> float:
    """The speed that a whole number of samples from frame to frame amounts to."""
    return round(spec.hop * speed) / spec.hop
