"""Gaussian data, for which the best estimate of x_0 has a formula."""

import numpy as np

MEAN, STD = 0.3, 0.2


def exact_x0(schedule):
    """E[x_0 | x_t] for x_0 ~ N(MEAN, STD^2), by hand from Bayes' rule."""

    def predict(x_t, t):
        signal, noise = schedule.signal_and_noise(t)
        gain = signal * STD**2 / (signal**2 * STD**2 + noise**2)
        return MEAN + gain * (x_t - signal * MEAN)

    return predict


def exact_flow(schedule, x, t, to=-1):
    """Where the probability flow takes x at step t: the same quantile of the Gaussian there."""

    def mean_and_spread(t):
        abar = schedule.alpha_bar[t] if t >= 0 else 1.0
        return np.sqrt(abar) * MEAN, np.sqrt(abar * STD**2 + 1 - abar)

    (mean, spread), (mean_there, spread_there) = map(mean_and_spread, (t, to))
    return mean_there + spread_there * (x - mean) / spread
