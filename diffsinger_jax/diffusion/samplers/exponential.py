"""DPM-Solver++ (2M) and UniPC: multistep solvers of the probability flow in log signal-to-noise.

With lambda = log(alpha / sigma) the flow's solution between two times of a path is (Lu et al. 2022,
DPM-Solver++, proposition 4.1)

    x_next = sigma_next / sigma x + sigma_next int_{lambda}^{lambda_next} e^l x_0(l) dl,

so that only the estimates of x_0 are ever interpolated. What a process adds to its network's output
(the auxiliary mel, for one) is in them, hence these solvers serve every process. All weights are
worked out on the host in float64.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.diffusion.noise import NoiseAt
from diffsinger_jax.diffusion.path import Path
from diffsinger_jax.diffusion.samplers.estimates import X0_BOUND, PredictX0, clipped_x0
from diffsinger_jax.diffusion.timesteps import log_signal_to_noise


def log_snr_steps(path: Path, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """lambda_next - lambda, sigma_next / sigma and alpha_next (1 - e^-h) of each step.

    Args:
      path: that is stepped along.
      times: [steps + 1], from noise to data.

    Returns:
      h, of_x, of_x0: f64[steps]; of a step to the data itself inf, 0 and 1.
    """
    alpha, sigma = path.on_host(times)
    h = np.diff(log_signal_to_noise(path, times))
    return h, sigma[1:] / sigma[:-1], -alpha[1:] * np.expm1(-h)


def two_step_weights(path: Path, times: np.ndarray) -> np.ndarray:
    """x_next = w_0 x + w_1 x0 + w_2 x0_before, f64[steps, 3] (DPM-Solver++, algorithm 2).

    With r = h_before / h: alpha_next (1 - e^-h) ((1 + 1 / 2r) x0 - 1 / 2r x0_before). The first
    step has no x0 before it; the last one, to the data, returns x0.
    """
    h, of_x, of_x0 = log_snr_steps(path, times)
    extrapolation = np.zeros_like(h)
    extrapolation[1:-1] = h[1:-1] / (2.0 * h[:-2])
    return np.stack([of_x, of_x0 * (1.0 + extrapolation), -of_x0 * extrapolation], axis=1)


def corrector_weights(path: Path, times: np.ndarray) -> np.ndarray:
    """The corrector UniC-2 with B(h) = e^-h - 1 (Zhao et al. 2023, UniPC, eq. 9 and theorem 3.1).

    Row i says what x at times[i] is once the model has been there:
    w_0 x_before + w_1 x0_before + w_2 x0_before_that + w_3 x0_here. With u = -h and the places
    r of the other estimates in units of the step, 1 being here, their weights c solve

        sum_m c_m r_m^(n-1) = b_n,   b_1 = ((e^u - 1) / u - 1) / (e^u - 1),
        b_2 = 2 (((e^u - 1) / u - 1) / u - 1/2) / (e^u - 1).

    Returns:
      f64[steps, 4]; at the first place there is nothing to correct: (1, 0, 0, 0).
    """
    h, of_x, of_x0 = log_snr_steps(path, times)
    rows = [np.array([1.0, 0.0, 0.0, 0.0])]
    for i in range(len(times) - 2):  # of the step from times[i] to times[i + 1]
        if i == 0:  # one place alone, for which the paper takes c = 1/2
            before, here, r = 0.0, 0.5, 1.0
        else:
            u, r = -h[i], -h[i - 1] / h[i]
            phi_1, grown = np.expm1(u) / u - 1.0, np.expm1(u)
            b = np.array([phi_1 / grown, 2.0 * (phi_1 / u - 0.5) / grown])
            before, here = np.linalg.solve(np.array([[1.0, 1.0], [r, 1.0]]), b)
        x0, step = of_x0[i], np.array([1.0 - before / r - here, before / r, here])
        rows.append(np.concatenate([[of_x[i]], x0 * step]))
    return np.stack(rows)


def dpm_solver_pp_2m_sampler(
    path: Path,
    predict_x0: PredictX0,
    x: jax.Array,
    noise_at: NoiseAt,
    times: np.ndarray,
    *,
    bound: float | None = X0_BOUND,
) -> jax.Array:
    """DPM-Solver++ (2M): second order, deterministic, one call a step.

    Args:
      path: that is stepped along.
      predict_x0: the model's estimate, which is clipped here.
      x: [B, T, D] at times[0].
      noise_at: is not used.
      times: [steps + 1], from noise to data.
      bound: of the estimates; None leaves them as they are.

    Returns:
      x: [B, T, D] at times[-1].
    """

    def body(carry, step):
        x_t, x0_before = carry
        t, w = step
        x0 = clipped_x0(predict_x0, x_t, t, bound)
        return (w[0] * x_t + w[1] * x0 + w[2] * x0_before, x0), None

    weights = jnp.asarray(two_step_weights(path, times), jnp.float32)
    start = x, jnp.zeros_like(x)
    return jax.lax.scan(body, start, (jnp.asarray(times[:-1]), weights))[0][0]


def unipc_sampler(
    path: Path,
    predict_x0: PredictX0,
    x: jax.Array,
    noise_at: NoiseAt,
    times: np.ndarray,
    *,
    bound: float | None = X0_BOUND,
) -> jax.Array:
    """UniPC-2: the step of DPM-Solver++ (2M), corrected by the estimate at its end.

    That estimate serves the next step too, so that there is one call a step here as well; of its
    family the predictor UniP-2 with B(h) = e^-h - 1 is the step of 2M.

    Args:
      path: that is stepped along.
      predict_x0: the model's estimate, which is clipped here.
      x: [B, T, D] at times[0].
      noise_at: is not used.
      times: [steps + 1], from noise to data.
      bound: of the estimates; None leaves them as they are.

    Returns:
      x: [B, T, D] at times[-1].
    """

    def body(carry, step):
        x_predicted, x_before, x0_before, x0_before_that = carry
        t, c, w = step
        x0 = clipped_x0(predict_x0, x_predicted, t, bound)
        x_t = c[0] * x_before + c[1] * x0_before + c[2] * x0_before_that + c[3] * x0
        return (w[0] * x_t + w[1] * x0 + w[2] * x0_before, x_t, x0, x0_before), None

    steps = (
        jnp.asarray(times[:-1]),
        jnp.asarray(corrector_weights(path, times), jnp.float32),
        jnp.asarray(two_step_weights(path, times), jnp.float32),
    )
    start = x, x, jnp.zeros_like(x), jnp.zeros_like(x)
    return jax.lax.scan(body, start, steps)[0][0]
