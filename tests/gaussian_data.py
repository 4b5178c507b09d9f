"""Gaussian data, for which the best estimate of x_0 has a formula."""

import numpy as np

MEAN, STD = 0.3, 0.2


def exact_x0(path):
    """E[x_0 | x_t] for x_0 ~ N(MEAN, STD^2), by hand from Bayes' rule."""

    def predict(x_t, t):
        alpha, sigma = path.coefficients(t)
        gain = alpha * STD**2 / (alpha**2 * STD**2 + sigma**2)
        return MEAN + gain * (x_t - alpha * MEAN)

    return predict


def exact_flow(path, x, t, to=None):
    """Where the probability flow takes x at time t: the same quantile of the Gaussian there."""

    def mean_and_spread(t):
        alpha, sigma = path.on_host(t)
        return alpha * MEAN, np.sqrt(alpha**2 * STD**2 + sigma**2)

    to = path.at_depth(0) if to is None else to
    (mean, spread), (mean_there, spread_there) = map(mean_and_spread, (t, to))
    return mean_there + spread_there * (x - mean) / spread
