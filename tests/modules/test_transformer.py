import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffsinger_jax.modules.transformer import attend


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
