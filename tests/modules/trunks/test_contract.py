"""What every trunk promises, see `diffsinger_jax.modules.trunks.protocol`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_batches import random_values

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


KEPT = {}


def trained(name, settings):
    """A trunk, its compiled call, parameters of which none is zero, and two rows of arguments."""
    if (known := KEPT.get((name, str(settings)))) is not None:
        return known
    trunk = TRUNKS[name](data=D, channels=8, layers=3, **settings)
    rng = np.random.default_rng(0)
    x, cond = (rng.normal(size=(2, FRAMES, n)).astype("f4") for n in (D, H))
    t, mask = np.float32([3.5, 812.0]), np.arange(FRAMES)[None] < np.array([[REAL], [FRAMES]])
    arguments = (x, t, cond, mask)
    params = random_values(jax.eval_shape(trunk.init, jax.random.key(0), *arguments))
    return KEPT.setdefault((name, str(settings)), (trunk, jax.jit(trunk.apply), params, arguments))


@every_trunk
def test_it_puts_out_zeros_before_it_is_trained(name, settings):
    trunk = TRUNKS[name](data=D, channels=8, layers=2, **settings)
    x, cond = jnp.ones((1, 5, D)), jnp.ones((1, 5, H))
    arguments = x, jnp.ones(1), cond, jnp.ones((1, 5), bool)
    out, _ = jax.jit(trunk.init_with_output)(jax.random.key(0), *arguments)
    assert out.shape == x.shape and np.all(out == 0)


@every_trunk
def test_padding_changes_no_number(name, settings):
    _, apply, params, (x, t, cond, mask) = trained(name, settings)
    whole = apply(params, x, t, cond, mask)
    short = apply(params, x[:1, :REAL], t[:1], cond[:1, :REAL], mask[:1, :REAL])
    np.testing.assert_allclose(whole[:1, :REAL], short, rtol=1e-5, atol=1e-5)
    assert np.all(whole[0, REAL:] == 0)
    assert np.abs(short).max() > 0.1


@every_trunk
def test_a_batch_is_its_rows_one_by_one(name, settings):
    _, apply, params, arguments = trained(name, settings)
    together = apply(params, *arguments)
    for row in range(2):
        alone = apply(params, *(a[row : row + 1] for a in arguments))
        np.testing.assert_allclose(together[row], alone[0], rtol=1e-5, atol=1e-5)


@every_trunk
def test_prepared_is_direct_with_times_in_any_order(name, settings):
    trunk, apply, params, (x, t, cond, mask) = trained(name, settings)

    def prepared(params):
        def call(method, *args):
            return trunk.apply(params, *args, method=method)

        steps = call("embed_steps", jnp.asarray([t[1], 100.0, t[0]]))
        projected = call("project_condition", cond)
        assert all(a.shape[:2] == x.shape[:2] for a in jax.tree.leaves(projected))
        return call("run", x, steps[jnp.asarray([2, 0])], projected, mask)

    np.testing.assert_allclose(
        jax.jit(prepared)(params), apply(params, x, t, cond, mask), rtol=1e-5, atol=1e-5
    )


@every_trunk
def test_every_argument_and_parameter_counts(name, settings):
    trunk, _, params, (x, t, cond, mask) = trained(name, settings)

    def total(params, x, t, cond):
        return jnp.sum(jnp.sin(trunk.apply(params, x, t, cond, mask)))

    for gradient in jax.tree.leaves(jax.jit(jax.grad(total, (0, 1, 2, 3)))(params, x, t, cond)):
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


@every_trunk
def test_bfloat16_is_near_and_comes_back_as_float32(name, settings):
    _, apply, params, arguments = trained(name, settings)
    rounded = TRUNKS[name](data=D, channels=8, layers=3, dtype=jnp.bfloat16, **settings)
    exact = apply(params, *arguments)
    near = jax.jit(rounded.apply)(params, *arguments)
    assert near.dtype == exact.dtype == jnp.float32
    assert 0 < np.abs(near - exact).max() < 0.1 * np.abs(exact).max()
