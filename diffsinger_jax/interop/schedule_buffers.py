"""The arrays of a noise schedule that the reference keeps among a model's tensors."""

from __future__ import annotations

import numpy as np

from diffsinger_jax.diffusion.schedule import NoiseSchedule


def schedule_buffers(schedule: NoiseSchedule) -> dict[str, np.ndarray]:
    """f32[S] arrays by the reference's names, computed in float64 as there."""
    betas, abar = schedule.betas, schedule.alpha_bar
    before = np.append(1.0, abar[:-1])
    variance = betas * (1.0 - before) / (1.0 - abar)
    buffers = {
        "betas": betas,
        "alphas_cumprod": abar,
        "alphas_cumprod_prev": before,
        "sqrt_alphas_cumprod": np.sqrt(abar),
        "sqrt_one_minus_alphas_cumprod": np.sqrt(1.0 - abar),
        "log_one_minus_alphas_cumprod": np.log(1.0 - abar),
        "sqrt_recip_alphas_cumprod": np.sqrt(1.0 / abar),
        "sqrt_recipm1_alphas_cumprod": np.sqrt(1.0 / abar - 1.0),
        "posterior_variance": variance,
        "posterior_log_variance_clipped": np.log(np.maximum(variance, 1e-20)),
        "posterior_mean_coef1": betas * np.sqrt(before) / (1.0 - abar),
        "posterior_mean_coef2": (1.0 - before) * np.sqrt(1.0 - betas) / (1.0 - abar),
    }
    return {name: array.astype(np.float32) for name, array in buffers.items()}
