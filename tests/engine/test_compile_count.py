import jax
import jax.numpy as jnp

from diffsinger_jax.engine.compile import CompileCounter


def test_programs_are_counted_once_each_and_not_after_the_end():
    double = jax.jit(lambda x: 2 * x)
    short, long, longer = (jnp.zeros(n) for n in (3, 4, 5))
    compiles = CompileCounter()
    double(short)
    double(short)
    assert compiles.since_last() == 1
    double(short)
    assert compiles.since_last() == 0
    double(long)
    compiles.close()
    double(longer)
    assert compiles.since_last() == 1
