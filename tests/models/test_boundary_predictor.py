"""The boundary predictor and what is asked of it: padding, batching, and telling apart."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from random_batches import SPEC, grow, random_batch, random_params, small_acoustic_model

from diffsinger_jax.diffusion.schedule import linear_schedule
from diffsinger_jax.models.boundary_predictor import BoundaryPredictor
from diffsinger_jax.tasks.acoustic.boundary_losses import boundary_loss, mel_squares, step_margins
from diffsinger_jax.tasks.acoustic.stage_losses import denoiser_inputs

PATH = linear_schedule(20, beta_max=0.7).path  # nothing at all is left at its end
PREDICTOR = BoundaryPredictor(channels=16, layers=3)


@pytest.fixture(scope="module")
def acoustic():
    return small_acoustic_model()


@pytest.fixture(scope="module")
def params(acoustic):
    z, t, mask = jnp.zeros((1, 1, SPEC.n_mels)), jnp.zeros(1, jnp.int32), jnp.ones((1, 1), bool)
    own = jax.jit(PREDICTOR.init)(jax.random.key(0), z, t, mask)["params"]
    rng = np.random.default_rng(0)
    own = jax.tree.map(lambda x: x + np.float32(0.1) * rng.normal(size=x.shape).astype("f4"), own)
    return {**random_params(acoustic), "boundary": own}


def test_padding_and_neighbours_change_no_number(params):
    call = jax.jit(functools.partial(PREDICTOR.apply, {"params": params["boundary"]}))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 40, SPEC.n_mels)).astype(np.float32)
    t, mask = np.array([0, 7, 19]), np.arange(40) < np.array([[40], [25], [3]])
    logits = call(x, t, mask)
    assert logits.shape == (3,) and len(set(np.asarray(logits).tolist())) == 3
    longer = np.pad(x, ((0, 0), (0, 17), (0, 0)), constant_values=5.0)
    np.testing.assert_allclose(call(longer, t, np.pad(mask, ((0, 0), (0, 17)))), logits, atol=1e-5)
    noisy = np.where(mask[..., None], x, 9.0)  # what stands on padding is not seen
    np.testing.assert_allclose(call(noisy, t, mask), logits, atol=1e-5)
    alone = [call(x[i : i + 1], t[i : i + 1], mask[i : i + 1])[0] for i in range(3)]
    np.testing.assert_allclose(alone, logits, atol=1e-5)
    assert np.isfinite(call(x, t, np.zeros_like(mask))).all()  # a padding row is a number too


def test_an_untrained_predictor_knows_nothing(acoustic, params):
    z, t, mask = jnp.zeros((1, 1, SPEC.n_mels)), jnp.zeros(1, jnp.int32), jnp.ones((1, 1), bool)
    fresh = jax.jit(PREDICTOR.init)(jax.random.key(1), z, t, mask)["params"]
    loss_fn = boundary_loss(PREDICTOR, acoustic.model, acoustic.scaling, PATH)
    loss_fn = jax.jit(loss_fn.__call__, static_argnums=3)
    batch = grow(random_batch(), rows=2)  # padding rows are not counted
    loss, parts = loss_fn({**params, "boundary": fresh}, batch, jax.random.key(0), True)
    np.testing.assert_allclose(loss, 2 * np.log(2), rtol=1e-5)
    assert parts["boundary"].count == 3


def test_it_learns_to_tell_at_the_first_steps_and_not_at_the_last(acoustic, params):
    loss_fn = boundary_loss(PREDICTOR, acoustic.model, acoustic.scaling, PATH)
    optimizer = optax.adam(3e-3)

    @jax.jit
    def update(own, state, key):
        def objective(own):
            return loss_fn({**params, "boundary": own}, batch, key, True)[0]

        loss, gradient = jax.value_and_grad(objective)(own)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(own, updates), state, loss

    batch = random_batch(rows=8)
    own, state, losses = params["boundary"], optimizer.init(params["boundary"]), []
    for i in range(120):
        own, state, loss = update(own, state, jax.random.fold_in(jax.random.key(2), i))
        losses.append(float(loss))
    assert np.mean(losses[-20:]) < 0.8 * np.mean(losses[:5])

    margins = jax.jit(
        functools.partial(step_margins, PREDICTOR, acoustic.model, acoustic.scaling, PATH)
    )({**params, "boundary": own}, batch, jax.random.key(3))
    margins = np.asarray(margins)
    assert margins.shape == (8, 20) and margins.min() >= 0 and margins.max() <= 1
    assert margins[:, :3].mean() > 0.4 > margins[:, -3:].mean()


def test_squares_are_sums_over_real_frames(acoustic, params):
    batch = random_batch()
    squares = jax.jit(functools.partial(mel_squares, acoustic.model, acoustic.scaling))
    _, auxiliary = jax.jit(functools.partial(denoiser_inputs, acoustic.model, acoustic.scaling))(
        params, batch
    )
    z = np.asarray(acoustic.scaling.scale(batch.mel))
    for row, frames in enumerate(batch.mask.sum(axis=1)):
        real, other = z[row, :frames], np.asarray(auxiliary)[row, :frames]
        expected = [np.sum((real - other) ** 2), np.sum(real**2), real.size]
        np.testing.assert_allclose([x[row] for x in squares(params, batch)], expected, rtol=1e-4)
    padded = squares(params, grow(batch, frames=9, rows=1, phonemes=2))
    for mine, plain in zip(padded, squares(params, batch), strict=True):
        np.testing.assert_allclose(mine[:3], plain, rtol=1e-4)
        assert mine[3] == 0
