import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.modules.convnext import INITIAL_GAMMA, ConvNeXtDecoder


def test_padding_changes_no_number_and_blocks_begin_as_nearly_nothing():
    decoder = ConvNeXtDecoder(5, channels=8, layers=2, kernel_size=3, dropout=0.5)
    cond = jax.random.normal(jax.random.key(0), (1, 13, 6))
    mask = jnp.arange(13)[None] < 9
    params = decoder.init(jax.random.key(1), cond, mask, train=False)

    def decode(params, frames):
        return decoder.apply(params, cond[:, :frames], mask[:, :frames], train=False)

    start = decode(params, 13)
    for block in ("block_0", "block_1"):
        gamma = params["params"][block]["gamma"]
        np.testing.assert_allclose(gamma, INITIAL_GAMMA)
        params["params"][block]["gamma"] = jnp.ones_like(gamma)
    whole, short = decode(params, 13), decode(params, 9)
    np.testing.assert_allclose(whole[:, :9], short, atol=1e-5)
    assert np.all(whole[:, 9:] == 0) and np.abs(whole - start).max() > 0.1
