"""Position codes beside the numbers of PyTorch."""

import jax.numpy as jnp
import numpy as np

from diffsinger_jax.modules.layers import sinusoid

# torch.sin(999 * torch.exp(torch.arange(16) * -(math.log(10000) / 15))) of PyTorch 2.13, float32.
SINES_OF_999 = """
-0.02646075 0.27098918 -0.39261892 0.94936496 -0.75837797 0.68486142 -0.03897944 0.84874243
0.87521613 -0.74163079 0.83564848 0.91868907 0.58940870 0.33453673 0.18355361 0.09973391
"""


def test_a_sinusoid_far_from_the_front_rounds_as_the_references():
    ours = sinusoid(jnp.asarray([999.0]), 32)[0, :16]
    np.testing.assert_allclose(ours, np.fromstring(SINES_OF_999, sep=" "), atol=2e-7)
    exact = np.sin(999.0 * np.exp(np.arange(16) * -(np.log(10_000.0) / 15)))
    np.testing.assert_allclose(ours, exact, atol=1e-3)
