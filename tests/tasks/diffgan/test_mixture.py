"""Four large steps through a mixture in the plane: a GAN finds its modes, a Gaussian averages."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from diffsinger_jax.diffusion.noise import key_noise
from diffsinger_jax.diffusion.samplers import make_sampler
from diffsinger_jax.diffusion.schedule import variance_preserving_schedule
from diffsinger_jax.diffusion.timesteps import even_times
from diffsinger_jax.engine.adversarial import (
    DISCRIMINATORS,
    GENERATOR,
    AdversarialLosses,
    adversarial_step,
    create_adversarial_state,
)
from diffsinger_jax.engine.losses import row_noise, spread_places
from diffsinger_jax.engine.metrics import Mean
from diffsinger_jax.tasks.diffgan.losses import draw_sample, times_of

T, MODES, SPREAD, ROWS, HIDDEN, STEPS = 4, 4, 0.1, 128, 64, 2000
PATH = variance_preserving_schedule(T).path
ANGLES = 2 * np.pi * np.arange(MODES) / MODES
CENTRES = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1).astype("f4")


def mixture(key):
    """[ROWS, 1, 2]."""
    mode_key, key = jax.random.split(key)
    mode = jax.random.randint(mode_key, (ROWS,), 0, MODES)
    return (jnp.asarray(CENTRES)[mode] + SPREAD * jax.random.normal(key, (ROWS, 2)))[:, None]


def network(inputs, outputs, seed):
    sizes = (inputs, HIDDEN, HIDDEN, outputs)
    rng = np.random.default_rng(seed)
    return [
        {"w": rng.normal(0, np.sqrt(2 / a), (a, b)).astype("f4"), "b": np.zeros(b, "f4")}
        for a, b in zip(sizes[:-1], sizes[1:], strict=True)
    ]


def apply(params, *parts):
    x = jnp.concatenate([part.reshape(ROWS, -1) for part in parts], axis=1)
    for number, layer in enumerate(params):
        x = x @ layer["w"] + layer["b"][None]
        x = jax.nn.leaky_relu(x, 0.2) if number < len(params) - 1 else x
    return x


def told(t):
    return jax.nn.one_hot(t, T)


def estimate(params, x_t, t):
    return apply(params["net"], x_t, told(t))[:, None]


def losses(weights):
    """Those of DiffGAN-TTS without the mel: a denoiser of points against a judge of pairs."""

    def generate(params, batch, rows, key):
        noise = [row_noise(jax.random.fold_in(key, n), rows, (1, 2)) for n in range(3)]
        place = spread_places(jax.random.fold_in(key, 3), rows)
        denoise = functools.partial(estimate, params)
        return draw_sample(PATH, T, batch, batch, denoise, noise, place)

    def judge(params, sample, pair):
        return apply(params["net"], *pair, told(times_of(PATH, T, sample.place)))

    def mean(values):
        return Mean.over(values.mean(), ROWS)

    def discriminator(params, batch, sample):
        real, fake = (judge(params, sample, pair) for pair in (sample.real, sample.fake))
        return mean((1 - real) ** 2 + fake**2)

    def reconstruction(batch, sample):
        return {"square": mean((sample.x0 - batch) ** 2)}

    def adversarial(params, batch, sample):
        return {"adversarial": mean((1 - judge(params, sample, sample.fake)) ** 2)}

    return AdversarialLosses(generate, discriminator, reconstruction, adversarial, weights)


@jax.jit
def points(weights):
    """The points that a model trained with these weights draws, [ROWS * 8, 2]."""
    optimizers = {
        GENERATOR: optax.adam(1e-3, b1=0.5, b2=0.9),
        DISCRIMINATORS: optax.adam(2e-3, b1=0.5, b2=0.9),
    }
    params = {
        GENERATOR: {"net": network(2 + T, 2, 0)},
        DISCRIMINATORS: {"net": network(4 + T, 1, 1)},
    }
    state = create_adversarial_state(params, optimizers)

    def step(state, number):
        batch = mixture(jax.random.fold_in(jax.random.key(1), number))
        state, _ = adversarial_step(
            state,
            {},
            batch,
            jax.random.key(2),
            losses=losses(weights),
            optimizers=optimizers,
            ema_decay=0.99,
        )
        return state, None

    state = jax.lax.scan(step, state, jnp.arange(STEPS))[0]
    sampler = make_sampler("ddpm", clip_x0=False)

    def draw(key):
        keys = jax.random.split(key, ROWS)
        noise_at = key_noise(keys, (ROWS, 1, 2))
        denoise = functools.partial(estimate, state.ema)
        return sampler.run(PATH, denoise, noise_at(T), noise_at, even_times(PATH, T, T))

    return jax.lax.map(draw, jax.random.split(jax.random.key(3), 8)).reshape(-1, 2)


def near_modes(drawn):
    """Share of the points within three spreads of each mode, f[MODES]."""
    distance = np.linalg.norm(np.asarray(drawn)[:, None] - CENTRES[None], axis=-1)
    return (distance < 3 * SPREAD).mean(axis=0)


@pytest.mark.slow
def test_a_conditional_gan_of_four_steps_finds_all_modes_where_a_gaussian_averages(optimized):
    gan = near_modes(points({"square": 0.0, "adversarial": 1.0}))
    gaussian = near_modes(points({"square": 1.0, "adversarial": 0.0}))
    assert gan.min() > 0.05 and gan.sum() > 0.8
    assert gaussian.sum() < 0.1
