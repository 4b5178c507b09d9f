"""What training makes small: masked means, exact under any split or padding of a batch."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.engine.metrics import Mean
from diffsinger_jax.modules.curves import CURVE_SCALES
from diffsinger_jax.modules.length_regulator import segment_sum

# SSIM's window and constants are those of Wang et al. 2004, as in the reference.
SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2


def _gaussian() -> np.ndarray:
    """f32[11], sums to 1."""
    x = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    window = np.exp(-(x**2) / (2 * SSIM_SIGMA**2))
    return (window / window.sum()).astype(np.float32)


def _blur(x: jax.Array) -> jax.Array:
    """Gaussian window over frames and bins of [B, T, M], zeros outside, as banded matmuls."""
    window, half = _gaussian(), SSIM_WINDOW // 2
    padded = jnp.pad(x, ((0, 0), (half, half), (0, 0)))
    over_time = sum(w * padded[:, i : i + x.shape[1]] for i, w in enumerate(window))
    bins = x.shape[-1]
    band = sum(np.eye(bins, k=i - half, dtype=np.float32) * w for i, w in enumerate(window))
    return over_time @ band


def ssim(x: jax.Array, y: jax.Array) -> jax.Array:
    """Structural similarity of two mels at each place, [B, T, M] -> [B, T, M]; 1 is equal.

    Wang et al. 2004, eq. 13, with an 11 x 11 Gaussian window.
    """
    mean_x, mean_y = _blur(x), _blur(y)
    var_x = _blur(x * x) - mean_x**2
    var_y = _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    return ((2 * mean_x * mean_y + SSIM_C1) * (2 * covariance + SSIM_C2)) / (
        (mean_x**2 + mean_y**2 + SSIM_C1) * (var_x + var_y + SSIM_C2)
    )


def mel_losses(z: jax.Array, z_true: jax.Array, half_range: jax.Array, mask: jax.Array) -> dict:
    """L1 and 1 - SSIM of a mel, in units of the log mel.

    Args:
      z, z_true: [B, T, M] scaled mels.
      half_range: f32[M], log mel units per unit of z.
      mask: bool[B, T].

    Returns:
      {"mel_l1": Mean, "mel_ssim": Mean}.
    """
    real = mask[..., None]
    # From the lowest mel upward, zero on padding: what the window sees there is the same
    # however far a batch is padded.
    up = jnp.where(real, (z + 1.0) * half_range[None, None, :], 0.0)
    up_true = jnp.where(real, (z_true + 1.0) * half_range[None, None, :], 0.0)
    return {
        "mel_l1": Mean.of(jnp.abs(up - up_true), real),
        "mel_ssim": Mean.of(1.0 - ssim(up, up_true), real),
    }


DURATION_LOSSES = ("duration_phoneme", "duration_note")
"""Names of what `duration_losses` measures."""


def duration_losses(
    log_frames: jax.Array, ph_frames: jax.Array, onset: jax.Array, mask: jax.Array
) -> dict:
    """Squared errors of log(1 + frames): of each phoneme, and of all that fill one note.

    Args:
      log_frames: f32[B, N] predicted.
      ph_frames: i32[B, N].
      onset: i32[B, N], see `Batch`.
      mask: bool[B, N].

    Returns:
      {"duration_phoneme": Mean, "duration_note": Mean}.
    """
    frames = ph_frames.astype(jnp.float32)
    predicted = jnp.expm1(jnp.clip(log_frames, 0.0, 8.0)) * mask
    note, is_note = segment_sum(predicted, onset)
    note_true, _ = segment_sum(frames * mask, onset)
    return {
        "duration_phoneme": Mean.of((log_frames - jnp.log1p(frames)) ** 2, mask),
        "duration_note": Mean.of((jnp.log1p(note) - jnp.log1p(note_true)) ** 2, is_note),
    }


PITCH_LOSSES = ("pitch", "voicing")
LARGEST_SEMITONES = 4.0
"""Further from its note a frame is an error of the f0 tracker or the label, and left out."""


def pitch_losses(
    residual: jax.Array,
    voiced_logits: jax.Array,
    distance: jax.Array,
    voiced: jax.Array,
    has_note: jax.Array,
    mask: jax.Array,
    *,
    needs_notes: bool = True,
) -> dict:
    """L1 of the distance from the note where it is sung, cross entropy of voicing.

    Where nothing counts, as for a predictor that needs notes on data without any, the mean is NaN.

    Args:
      residual: f32[B, T] predicted distance from the note, semitones.
      voiced_logits: f32[B, T].
      distance: f32[B, T] the singer's distance from the note.
      voiced: bool[B, T], True where there is f0.
      has_note: bool[B, T]; where there is none the note is 0, and the distance the pitch itself.
      mask: bool[B, T].
      needs_notes: whether pitch is predicted from notes, and nothing without one.

    Returns:
      {"pitch": Mean in semitones, "voicing": Mean in nats}.
    """
    credible = jnp.abs(distance) < LARGEST_SEMITONES
    believed = mask & voiced & (credible if needs_notes else credible | ~has_note)
    entropy = jnp.logaddexp(0.0, voiced_logits) - voiced_logits * voiced
    return {
        "pitch": Mean.of(jnp.abs(residual - distance), believed),
        "voicing": Mean.of(entropy, mask),
    }


CURVE_LOSSES = ("curves",)
"""Names of what `curve_losses` measures."""


def curve_losses(
    predicted: Mapping[str, jax.Array], true: Mapping[str, jax.Array], mask: jax.Array
) -> dict:
    """L1 of predicted curves, each brought to about one by `CURVE_SCALES`; their mean.

    Args:
      predicted: f32[B, T] by name.
      true: the same of at least these.
      mask: bool[B, T].

    Returns:
      {"curves": Mean}.
    """
    errors = [
        jnp.abs(curve - true[name]) * CURVE_SCALES.get(name, 1.0)
        for name, curve in predicted.items()
    ]
    return {"curves": Mean.of(jnp.stack(errors, axis=-1), mask[..., None])}


DIFFUSION_LOSSES = {"l1": jnp.abs, "l2": jnp.square}
"""Distances between the denoiser's output and its target that a config can name."""
