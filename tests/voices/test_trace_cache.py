import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffsinger_jax.voices.trace_cache import SUBFOLDER, TraceCache, cached_shapes


@pytest.fixture(autouse=True)
def cache(tmp_path):
    """A compilation cache of this test alone."""
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    yield tmp_path
    jax.config.update("jax_compilation_cache_dir", before)


class Scaled:
    """factor * x + y["b"], and how often that was traced."""

    def __init__(self, factor):
        self.factor, self.traces = factor, 0

    def __call__(self, x, y, *, power=1):
        self.traces += 1
        return {"sum": self.factor * x**power + y["b"], "noise": jax.random.normal(y["key"], (2,))}

    def program(self):
        def function(*args, **kwargs):
            return self(*args, **kwargs)

        return TraceCache(function, self.factor, ("power",))


def arguments(size=3):
    return np.arange(size, dtype=np.float32), {"b": jnp.ones(size), "key": jax.random.key(1)}


def files(cache):
    return sorted((cache / SUBFOLDER).glob("*"))


def test_a_later_start_traces_nothing_and_computes_the_same():
    first = Scaled(2.0)
    told = first.program()(*arguments())
    assert first.traces == 1
    later = Scaled(2.0)
    again = later.program()(*arguments())
    assert later.traces == 0
    plain = jax.jit(Scaled(2.0))(*arguments())
    for name in plain:
        np.testing.assert_array_equal(told[name], plain[name])
        np.testing.assert_array_equal(again[name], plain[name])


def test_shapes_static_arguments_and_what_is_closed_over_are_told_apart():
    scaled = Scaled(2.0)
    program = scaled.program()
    np.testing.assert_allclose(program(*arguments())["sum"], [1, 3, 5])
    np.testing.assert_allclose(program(*arguments(), power=2)["sum"], [1, 3, 9])
    np.testing.assert_allclose(program(*arguments(2))["sum"], [1, 3])
    np.testing.assert_allclose(Scaled(3.0).program()(*arguments())["sum"], [1, 4, 7])
    assert scaled.traces == 3


def test_a_setting_that_changes_the_trace_is_told_apart(cache):
    x = np.ones((2, 2), np.float32)
    for precision in ("highest", "default"):
        with jax.default_matmul_precision(precision):
            TraceCache(jnp.matmul)(x, x)
    assert len(files(cache)) == 2


def test_a_damaged_file_is_told_and_written_anew(cache):
    expected = Scaled(2.0).program()(*arguments())
    (file,) = files(cache)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.warns(UserWarning, match="damaged"):
        again = Scaled(2.0).program()(*arguments())
    np.testing.assert_array_equal(again["sum"], expected["sum"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Scaled(2.0).program()(*arguments())


def test_without_a_folder_or_inside_a_trace_nothing_is_kept(cache):
    program = Scaled(2.0).program()
    x, y = arguments()
    doubled = jax.jit(lambda x: 2 * program(x, y)["sum"])(x)
    np.testing.assert_allclose(doubled, [2, 6, 10])
    jax.config.update("jax_compilation_cache_dir", None)
    np.testing.assert_allclose(program(*arguments())["sum"], [1, 3, 5])
    assert not files(cache)


def test_a_folder_that_cannot_be_written_to_is_said(cache):
    (cache / SUBFOLDER).write_text("in the way")
    with pytest.warns(UserWarning, match="cannot be kept"):
        told = Scaled(2.0).program()(*arguments())
    np.testing.assert_allclose(told["sum"], [1, 3, 5])


def test_shapes_are_read_back():
    def init():
        calls.append(1)
        return {"a": {"w": jnp.zeros((2, 3))}, "b": jnp.zeros(4, jnp.int32)}

    calls = []
    first, again = cached_shapes(init, "x"), cached_shapes(init, "x")
    assert len(calls) == 1
    assert first == again
    assert again["a"]["w"].shape == (2, 3) and again["b"].dtype == jnp.int32
