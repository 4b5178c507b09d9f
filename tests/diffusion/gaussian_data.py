"""Gaussian data, for which the best estimate of x_0 has a formula."""

MEAN, STD = 0.3, 0.2


def exact_x0(schedule):
    """E[x_0 | x_t] for x_0 ~ N(MEAN, STD^2), by hand from Bayes' rule."""

    def predict(x_t, t):
        signal, noise = schedule.signal_and_noise(t)
        gain = signal * STD**2 / (signal**2 * STD**2 + noise**2)
        return MEAN + gain * (x_t - signal * MEAN)

    return predict
