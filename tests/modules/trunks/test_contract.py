"""What every trunk promises, see `diffsinger_jax.modules.trunks.protocol`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffsinger_jax.modules.trunks.registry import TRUNKS

SETTINGS = {
    "wavenet": ({"dilation_cycle": 2},),
    "lynxnet": (
        {"kernel_size": 5},
        {"kernel_size": 5, "strong_condition": True, "activation": "silu", "expansion": 1},
    ),
    "lynxnet2": ({"kernel_size": 5}, {"kernel_size": 5, "gate": "swiglu", "expansion": 2}),
}
CASES = [(name, settings) for name in TRUNKS for settings in SETTINGS[name]]
D, H, FRAMES, REAL = 4, 6, 15, 9

every_trunk = pytest.mark.parametrize("name,settings", CASES, ids=str)


def trained(name, settings, **kwargs):
    """A trunk and parameters of which none is zero, with two rows of arguments."""
    trunk = TRUNKS[name](data=D, channels=8, layers=3, **settings, **kwargs)
    keys = iter(jax.random.split(jax.random.key(0), 200))
    x = jax.random.normal(next(keys), (2, FRAMES, D))
    cond = jax.random.normal(next(keys), (2, FRAMES, H))
    t, mask = jnp.asarray([3.5, 812.0]), jnp.arange(FRAMES)[None] < jnp.asarray([[REAL], [FRAMES]])
    params = jax.jit(trunk.init)(next(keys), x, t, cond, mask)
    shapes = jax.tree.map(jnp.shape, params)
    moved = jax.tree.map(lambda p: p + 0.3 * jax.random.normal(next(keys), p.shape), params)
    assert shapes == jax.tree.map(jnp.shape, moved)
    return trunk, moved, (x, t, cond, mask)


@every_trunk
def test_it_puts_out_zeros_before_it_is_trained(name, settings):
    trunk = TRUNKS[name](data=D, channels=8, layers=2, **settings)
    x, cond = jnp.ones((1, 5, D)), jnp.ones((1, 5, H))
    arguments = x, jnp.ones(1), cond, jnp.ones((1, 5), bool)
    out, _ = jax.jit(trunk.init_with_output)(jax.random.key(0), *arguments)
    assert out.shape == x.shape and np.all(out == 0)


@every_trunk
def test_padding_changes_no_number(name, settings):
    trunk, params, (x, t, cond, mask) = trained(name, settings)
    apply = jax.jit(trunk.apply)
    whole = apply(params, x, t, cond, mask)
    short = apply(params, x[:1, :REAL], t[:1], cond[:1, :REAL], mask[:1, :REAL])
    np.testing.assert_allclose(whole[:1, :REAL], short, rtol=1e-5, atol=1e-5)
    assert np.all(whole[0, REAL:] == 0)
    assert np.abs(short).max() > 0.1


@every_trunk
def test_a_batch_is_its_rows_one_by_one(name, settings):
    trunk, params, arguments = trained(name, settings)
    apply = jax.jit(trunk.apply)
    together = apply(params, *arguments)
    for row in range(2):
        alone = apply(params, *(a[row : row + 1] for a in arguments))
        np.testing.assert_allclose(together[row], alone[0], rtol=1e-5, atol=1e-5)


@every_trunk
def test_prepared_is_direct_with_times_in_any_order(name, settings):
    trunk, params, (x, t, cond, mask) = trained(name, settings)

    def prepared(params):
        def call(method, *args):
            return trunk.apply(params, *args, method=method)

        steps = call("embed_steps", jnp.asarray([t[1], 100.0, t[0]]))
        projected = call("project_condition", cond)
        assert all(a.shape[:2] == x.shape[:2] for a in jax.tree.leaves(projected))
        return call("run", x, steps[jnp.asarray([2, 0])], projected, mask)

    np.testing.assert_allclose(
        jax.jit(prepared)(params),
        jax.jit(trunk.apply)(params, x, t, cond, mask),
        rtol=1e-5,
        atol=1e-5,
    )


@every_trunk
def test_every_argument_and_parameter_counts(name, settings):
    trunk, params, (x, t, cond, mask) = trained(name, settings)

    def total(params, x, t, cond):
        return jnp.sum(jnp.sin(trunk.apply(params, x, t, cond, mask)))

    for gradient in jax.tree.leaves(jax.jit(jax.grad(total, (0, 1, 2, 3)))(params, x, t, cond)):
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


@every_trunk
def test_bfloat16_is_near_and_comes_back_as_float32(name, settings):
    trunk, params, arguments = trained(name, settings)
    rounded = TRUNKS[name](data=D, channels=8, layers=3, dtype=jnp.bfloat16, **settings)
    exact = jax.jit(trunk.apply)(params, *arguments)
    near = jax.jit(rounded.apply)(params, *arguments)
    assert near.dtype == exact.dtype == jnp.float32
    assert 0 < np.abs(near - exact).max() < 0.1 * np.abs(exact).max()
