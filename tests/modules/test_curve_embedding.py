"""Curves as vectors, the progress of phonemes, and the recurrent unit behind it."""

import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.modules.curves import (
    CURVE_SPANS,
    CurveEmbedding,
    f0_on_phonemes,
    on_phonemes,
)
from diffsinger_jax.modules.length_regulator import frames_per_phoneme
from diffsinger_jax.modules.stretch import GRU, StretchEmbedding, phoneme_progress

MEL2PH = jnp.asarray([[1, 1, 2, 3, 3, 3, 0], [1, 2, 2, 2, 2, 2, 2]])


def test_frames_are_counted_and_progress_runs_from_zero_in_each_phoneme():
    np.testing.assert_array_equal(frames_per_phoneme(MEL2PH, 3), [[2, 1, 3], [1, 6, 0]])
    progress = phoneme_progress(MEL2PH, 3)
    np.testing.assert_array_equal(progress[0], [0, 500, 0, 0, 333, 667, 0])
    np.testing.assert_array_equal(progress[1], [0, 0, 167, 333, 500, 667, 833])


def test_the_recurrent_unit_is_its_formula_step_by_step():
    unit = GRU(4)
    x = jax.random.normal(jax.random.key(0), (2, 6, 3))
    params = unit.init(jax.random.key(1), x)["params"]
    w, b, u, c = (
        np.asarray(params[name], np.float64)
        for name in ("input_kernel", "input_bias", "recurrent_kernel", "recurrent_bias")
    )

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    h, states = np.zeros((2, 4)), []
    for now in np.asarray(x, np.float64).swapaxes(0, 1):
        from_x, from_h = now @ w + b, h @ u + c
        r, z = sigmoid(from_x + from_h)[:, :4], sigmoid(from_x + from_h)[:, 4:8]
        n = np.tanh(from_x[:, 8:] + r * from_h[:, 8:])
        h = (1 - z) * n + z * h
        states.append(h)
    ours = unit.apply({"params": params}, x)
    np.testing.assert_allclose(ours, np.stack(states, axis=1), atol=1e-6)


def test_a_phoneme_has_the_mean_of_its_frames_and_is_voiced_if_half_of_them_are():
    curve = jnp.arange(14.0).reshape(2, 7)
    found = on_phonemes(curve, MEL2PH, 4)
    np.testing.assert_allclose(found[0], [0.5, 0.5, 2, 4, 4, 4, 0])
    f0 = jnp.asarray([[100.0, 0, 0, 0, 200, 0, 0], [0, 100, 400, 0, 100, 400, 200]])
    heard = f0_on_phonemes(f0, MEL2PH, 4)
    np.testing.assert_allclose(heard[0], [100, 100, 0, 0, 0, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(heard[1], [0, *[200] * 6], rtol=1e-5)


def test_a_binned_curve_is_a_row_of_a_table():
    module = CurveEmbedding(("energy",), 3, input="bins")
    values = {"energy": jnp.asarray([[-96.0, -95.3, -48.0, 0.0, 500.0]])}
    params = module.init(jax.random.key(0), values)
    table = np.asarray(params["params"]["energy"]["table"]["embedding"])
    np.testing.assert_array_equal(module.apply(params, values)[0], table[[0, 0, 64, 128, 255]])


def test_what_follows_a_frame_does_not_change_its_stretch():
    module = StretchEmbedding(8)
    cond = jax.random.normal(jax.random.key(0), (2, 7, 8))
    params = module.init(jax.random.key(1), cond, MEL2PH, 3)
    whole = jax.jit(module.apply, static_argnums=3)(params, cond, MEL2PH, 3)
    short = module.apply(params, cond[:, :6], MEL2PH[:, :6], 3)
    np.testing.assert_allclose(whole[0, :6], short[0], atol=1e-6)  # the rest was padding


def test_scaled_curves_are_divided_by_their_units_and_summed():
    values = {"energy": jnp.asarray([[-48.0]]), "key_shift": jnp.asarray([[6.0]])}
    scaled = CurveEmbedding(("energy", "key_shift"), 5)
    params = scaled.init(jax.random.key(0), values)
    bare = CurveEmbedding(("energy", "key_shift"), 5, scaled=False)
    by_hand = {"energy": values["energy"] / 96, "key_shift": values["key_shift"] / 12}
    np.testing.assert_allclose(scaled.apply(params, values), bare.apply(params, by_hand), rtol=1e-6)
    rows = {k: params["params"][k] for k in by_hand}
    alone = sum(float(v[0, 0]) * rows[k]["weight"] + rows[k]["bias"] for k, v in by_hand.items())
    np.testing.assert_allclose(scaled.apply(params, values)[0, 0], alone, rtol=1e-5)


def test_curves_are_told_apart_before_anything_is_learnt():
    module, size = CurveEmbedding(("energy", "speed"), 256), (6 / 257 / 3) ** 0.5  # a uniform's
    middle, spread = np.array([CURVE_SPANS[name] for name in module.curves]).T
    values = np.stack([middle, middle + spread])  # [2, curves]
    for scaled in (True, False):
        module = module.clone(scaled=scaled)
        batch = {name: jnp.asarray(values[:, i : i + 1]) for i, name in enumerate(module.curves)}
        params = module.init(jax.random.key(0), batch)
        at_middle, beside = module.apply(params, batch)[:, 0]
        np.testing.assert_allclose(at_middle, 0, atol=1e-5)
        np.testing.assert_allclose(beside.std(), 2**0.5 * size, rtol=0.15)
