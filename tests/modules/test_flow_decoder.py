"""The flow decoder: exactly invertible, its log-determinant that of autodiff, padding apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffsinger_jax.modules.flow_decoder import FlowDecoder

MODEL = FlowDecoder(mel_bins=4, blocks=2, hidden=8, layers=2, kernel_size=3)
MASK = jnp.arange(8)[None] < jnp.array([[8], [6]])


@pytest.fixture(scope="module")
def params():
    """Random ones: those at first leave the couplings out."""
    start = jax.jit(MODEL.init)(jax.random.key(0), jnp.zeros((1, 8, 4)), MASK[:1])["params"]
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: x + 0.2 * rng.normal(size=x.shape).astype(np.float32), start)


@pytest.fixture(scope="module")
def mapped(params):
    mel = jnp.asarray(np.random.default_rng(1).normal(size=(2, 8, 4)), jnp.float32)
    z, log_det = jax.jit(MODEL.apply)({"params": params}, mel, MASK)
    return mel, z, log_det


def test_the_inverse_gives_the_mel_back(params, mapped):
    mel, z, _ = mapped
    back = jax.jit(lambda p, z: MODEL.apply({"params": p}, z, MASK, method="inverse"))(params, z)
    assert np.abs(z - mel).max() > 0.5
    np.testing.assert_allclose(back, mel * MASK[..., None], atol=1e-4)
    assert not np.any(z[1, 6:])


def test_the_log_determinant_is_that_of_autodiff(params, mapped):
    mel, _, log_det = mapped

    def flat(x):
        z, _ = MODEL.apply({"params": params}, x.reshape(2, 8, 4), MASK)
        return z.reshape(-1)

    whole = np.asarray(jax.jit(jax.jacfwd(flat))(mel.reshape(-1))).reshape(2, 32, 2, 32)
    for row, real in ((0, 32), (1, 24)):
        jacobian = whole[row, :real, row, :real].astype(np.float64)
        assert np.linalg.slogdet(jacobian)[1] == pytest.approx(float(log_det[row]), abs=1e-3)


def test_a_row_is_the_same_however_far_it_is_padded(params, mapped):
    mel, z, log_det = mapped
    alone = MODEL.apply({"params": params}, mel[1:, :6], MASK[1:, :6])
    np.testing.assert_allclose(z[1:, :6], alone[0], atol=1e-5)
    assert float(log_det[1]) == pytest.approx(float(alone[1][0]), abs=1e-5)
