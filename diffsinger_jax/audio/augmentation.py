"""Mels of a recording as if it were sung higher or lower, faster or slower.

Both are done on the transform and not on the sound: the window is lengthened by the shift, so that
every partial is found in a higher bin; the hop is lengthened by the speed.
"""

from __future__ import annotations

import dataclasses
import math

import librosa
import numpy as np

from diffsinger_jax.audio.mel import frame_count, mel_filterbank
from diffsinger_jax.types import MelSpec


def augmented_mel(
    wav: np.ndarray, spec: MelSpec, *, key_shift: float = 0.0, speed: float = 1.0
) -> np.ndarray:
    """The log mel of a recording, shifted up and sped up.

    Args:
      wav: f32[L] at `spec.sample_rate`.
      spec: of the mel.
      key_shift: semitones up; formants move with the pitch.
      speed: factor, 2 is twice as fast; see `speed_of_hop` for what it is rounded to.

    Returns:
      f32[T, M], T as `frame_count` has it for the hop round(hop * speed).
    """
    factor = 2.0 ** (key_shift / 12.0)
    n_fft, win = round(spec.n_fft * factor), round(spec.win * factor)
    hop = round(spec.hop * speed)
    if spec.framing == "reflect":
        padded = np.pad(wav, ((win - hop) // 2, (win - hop + 1) // 2), mode="reflect")
    else:
        padded = np.pad(wav, (n_fft // 2, n_fft - n_fft // 2))
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
    frames = frame_count(len(wav), dataclasses.replace(spec, hop=hop))
    mel = mel_filterbank(spec) @ spectrum[:, :frames]
    return spec.log(np.maximum(spec.log_floor, mel)).T.astype(np.float32)


def augmented_frames(
    wav: np.ndarray,
    spec: MelSpec,
    first: int,
    count: int,
    *,
    key_shift: float = 0.0,
    speed: float = 1.0,
) -> np.ndarray:
    """A stretch of `augmented_mel`, f32[count, M], silence outside of the recording.

    Args:
      wav, spec, key_shift, speed: as there.
      first: the frame of `log_mel` on whose centre the stretch begins; its k-th frame lies
        k * `speed_of_hop` frames after it.
      count: frames wanted.
    """
    hop = round(spec.hop * speed)
    margin = math.ceil(max(spec.win, spec.n_fft) * 2.0 ** (key_shift / 12.0) / hop) + 1
    start = first * spec.hop - margin * hop
    if spec.framing == "reflect":  # frames are centred on half a hop after their start
        start += (spec.hop - hop) // 2
    end = start + (count + 2 * margin) * hop
    piece = wav[max(start, 0) : max(end, 0)]
    piece = np.pad(piece, (max(-start, 0), max(end - max(len(wav), 0), 0)))
    mel = augmented_mel(piece, spec, key_shift=key_shift, speed=speed)
    return mel[margin : margin + count]


def speed_of_hop(spec: MelSpec, speed: float) -> float:
    """The speed that a whole number of samples from frame to frame amounts to."""
    return round(spec.hop * speed) / spec.hop
