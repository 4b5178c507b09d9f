import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffsinger_jax.modules.transformer import (
    ROTARY_LAYOUTS,
    FFTStack,
    StyleNorm,
    attend,
    rotate,
)


def arguments(rows=3, places=17, heads=2, width=8):
    rng = np.random.default_rng(0)
    qkv = rng.normal(0, 2, (3, rows, places, heads, width)).astype(np.float32)
    mask = np.arange(places)[None] < np.array([places, 5, 1])[:rows, None]
    return *qkv, mask


def test_attention_is_jaxs_own_and_so_is_its_gradient():
    query, key, value, mask = arguments()

    def total(attention, *qkv):
        return jnp.sum(jnp.sin(attention(*qkv)))

    def ours(query, key, value):
        return attend(query, key, value, jnp.asarray(mask))

    def theirs(query, key, value):
        return jax.nn.dot_product_attention(query, key, value, mask=mask[:, None, None, :])

    np.testing.assert_allclose(ours(query, key, value), theirs(query, key, value), atol=1e-5)
    gradients = [
        jax.grad(lambda *qkv, one=one: total(one, *qkv), (0, 1, 2))(query, key, value)
        for one in (ours, theirs)
    ]
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


def test_large_logits_and_rows_of_padding_stay_finite():
    query, key, value, mask = arguments()
    out = attend(100 * query, 100 * key, value, jnp.asarray(mask & False))
    assert np.isfinite(out).all()
    for row in range(3):  # nothing to attend to: a mean of all
        np.testing.assert_allclose(
            out[row], np.broadcast_to(value[row].mean(0), out[row].shape), atol=1e-5
        )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_it_keeps_the_type(dtype):
    query, key, value, mask = arguments()
    out = attend(*(jnp.asarray(x, dtype) for x in (query, key, value)), jnp.asarray(mask))
    assert out.dtype == dtype
    exact = attend(query, key, value, jnp.asarray(mask))
    np.testing.assert_allclose(
        out.astype(jnp.float32), exact, atol=1e-6 if dtype == jnp.float32 else 0.1
    )


@pytest.mark.parametrize("layout", sorted(ROTARY_LAYOUTS))
def test_rotary_products_depend_on_the_distance_alone(layout):
    query, key = jax.random.normal(jax.random.key(0), (2, 8))
    everywhere = [rotate(jnp.broadcast_to(x, (1, 30, 1, 8)), layout)[0, :, 0] for x in (query, key)]
    products = everywhere[0] @ everywhere[1].T  # [30, 30]
    for distance in (-7, 0, 5):
        along = np.diagonal(products, distance)
        np.testing.assert_allclose(along, along[0], atol=1e-5)
    np.testing.assert_allclose(products[0, 0], query @ key, rtol=1e-5)
    assert abs(products[0, 5] - products[0, 0]) > 1e-2


def test_the_rotary_layouts_differ_by_the_order_of_a_heads_elements():
    x = jax.random.normal(jax.random.key(0), (2, 9, 3, 8))
    order = np.arange(8).reshape(2, 4).T.reshape(-1)  # (0, 4, 1, 5 ...): halves to pairs
    np.testing.assert_allclose(
        rotate(x, "halves")[..., order], rotate(x[..., order], "interleaved"), atol=1e-6
    )


@pytest.mark.parametrize(
    "settings",
    [{"rotary": "halves", "activation": "atanglu"}, {"activation": "swiglu", "styled": (0,)}],
    ids=str,
)
def test_stacks_of_every_kind_see_no_padding(settings):
    stack = FFTStack(2, kernel_size=3, **settings)
    x = jax.random.normal(jax.random.key(0), (2, 9, 8))
    style = jax.random.normal(jax.random.key(1), (2, 1, 8))
    mask = jnp.arange(9)[None] < jnp.asarray([[5], [9]])
    params = stack.init(jax.random.key(2), x, mask, style, train=False)
    whole = stack.apply(params, x, mask, style, train=False)
    short = stack.apply(params, x[:1, :5], mask[:1, :5], style[:1], train=False)
    np.testing.assert_allclose(whole[:1, :5], short, atol=1e-5)
    assert np.all(whole[0, 5:] == 0)


def test_a_style_norm_is_shifted_and_scaled_and_mixed_in_training():
    norm = StyleNorm()
    x = jax.random.normal(jax.random.key(0), (4, 6, 8))
    style = jax.random.normal(jax.random.key(1), (4, 1, 8))
    params = norm.init(jax.random.key(2), x, style, train=False)
    affine = (
        style @ params["params"]["affine"]["kernel"]
        + params["params"]["affine"]["bias"][None, None]
    )
    normed = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5)
    beta, gamma = affine[..., :8], affine[..., 8:]
    alone = norm.apply(params, x, style, train=False)
    np.testing.assert_allclose(alone, normed * gamma + beta, atol=1e-5)

    rngs = {"dropout": jax.random.key(3)}
    mixed = norm.apply(params, x, style, train=True, rngs=rngs)
    assert np.abs(mixed - alone).max() > 1e-3
    same = norm.apply(params, x, jnp.broadcast_to(style[:1], style.shape), train=True, rngs=rngs)
    np.testing.assert_allclose(
        same, norm.apply(params, x, style[:1], train=False), atol=1e-5
    )  # a mixture of equals
