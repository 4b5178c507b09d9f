"""Lessons whose answer is known: the flow map of a Gaussian, and teachers that are lines."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian_data import MEAN, STD, exact_flow, exact_x0

from diffsinger_jax.diffusion.noise import key_noise
from diffsinger_jax.diffusion.processes import CONSISTENCY, PROCESSES, STRAIGHT, ConsistencyProcess
from diffsinger_jax.diffusion.samplers import make_sampler
from diffsinger_jax.diffusion.schedule import linear_schedule
from diffsinger_jax.diffusion.timesteps import even_times
from diffsinger_jax.tasks.distill.lessons import (
    LESSONS,
    Drawn,
    Plan,
    consistency_times,
)

PATH = linear_schedule(100).path
ROWS = 256


def drawn(seed=0, place=0.0):
    keys = jax.random.split(jax.random.key(seed), 2)
    x0, eps = (jax.random.normal(key, (ROWS, 1, 1)) for key in keys)
    return Drawn(MEAN + STD * x0, jnp.full((ROWS, 1, 1), MEAN), eps, jnp.full(ROWS, place))


def line(x, y):
    """(a, b) of the line y = a x + b, which goes through all points."""
    x, y = (np.asarray(one, np.float64).reshape(-1) for one in (x, y))
    a, b = np.polyfit(x, y, 1)
    np.testing.assert_allclose(a * x + b, y, atol=2e-4)
    return a, b


def learnt(method, path, plan, places, process=None):
    """A student that has learnt each lesson to the end, from the last time on: t -> (a, b).

    With a teacher that is a line every target is a line of x_t, so least squares is exact. Where
    it has no line yet, a process knows what it says: at the first noise.
    """
    table = {}

    def student(x_t, t):
        a, b = table[round(float(t[0]), 5)]
        return a * x_t + b

    def average(x_t, t):
        if process is not None and float(t[0]) == path.at_depth(path.resolution):
            return process.x0(jnp.full_like(x_t, 7.0), x_t, t, x_t)  # whatever the network says
        return student(x_t, t)

    for place in places:
        lesson = LESSONS[method](path, plan, exact_x0(path), average, drawn(place=place))
        table[round(float(lesson.t[0]), 5)] = line(lesson.x_t, lesson.target)
    return student


def sampled(student, path, method, times, x):
    noise_at = key_noise(jax.random.split(jax.random.key(9), ROWS), x.shape)
    run = make_sampler(method, clip_x0=False).run
    with jax.disable_jit():  # the student's table is read by numbers
        return np.asarray(run(path, student, x, noise_at, times))


def schedule_path(steps):
    """Of so many steps to about the same noise at a quarter of them."""
    return linear_schedule(steps, beta_max=6.0 / steps).path


@pytest.fixture(scope="module")
def students():
    """Of a Gaussian's diffusion from a quarter of a schedule, by its steps."""
    found = {}
    for steps in (40, 80):
        path, plan = schedule_path(steps), Plan(steps // 4, 1, steps // 4)
        count = len(consistency_times(path, plan)) - 1
        assert count == steps // 4 - 1  # every time once
        places = (np.arange(count)[::-1] + 0.5) / count
        process = ConsistencyProcess(PROCESSES["eps"].make(path, {}, {}))
        found[steps] = learnt("consistency", path, plan, places, process)
    return found


def start_of(path, depth, seed=3):
    given, t = drawn(seed), jnp.full(ROWS, path.at_depth(depth))
    return path.marginal(given.x0, t, given.eps), t


def test_consistency_on_gaussian_data_is_the_flow_map_in_closed_form(students):
    """Up to the teacher's steps, whose error halves with their length."""
    errors = {}
    for steps, student in students.items():
        path, first = schedule_path(steps), 0
        x, t = start_of(path, steps // 4)
        exact = exact_flow(path, np.asarray(x), t[0], first) / path.on_host(np.array(first))[0]
        errors[steps] = np.abs(np.asarray(student(x, t)) - exact).mean() / STD
    assert errors[80] < 0.04 and errors[80] < 0.6 * errors[40]


def test_one_call_of_the_student_is_all_of_its_teacher_s(students):
    """It is the composition of the teacher's DDIM steps, to rounding."""
    path = schedule_path(40)
    x, t = start_of(path, 10)
    times = np.arange(9, -1, -1)
    stepped = sampled(exact_x0(path), path, "ddim", times, x) / path.on_host(times[-1:])[0]
    np.testing.assert_allclose(students[40](x, t), stepped, atol=1e-4)


def test_several_calls_with_noise_put_back_keep_the_law_of_the_data(students):
    path = schedule_path(80)
    z = sampled(students[80], path, "consistency", even_times(path, 20, 3), start_of(path, 20)[0])
    np.testing.assert_allclose(z.mean(), MEAN, atol=0.03)
    np.testing.assert_allclose(z.std(), STD, rtol=0.12)


@pytest.mark.parametrize("calls", [1, 3])
@pytest.mark.parametrize("path,depth", [(PATH, 60), (STRAIGHT, 0.6)], ids=["diffusion", "flow"])
def test_progressive_halving_of_a_linear_teacher_is_exact(path, depth, calls):
    places = (np.arange(calls) + 0.5) / calls
    student = learnt("progressive", path, Plan(depth, calls, 1), places)
    start = jnp.full(ROWS, path.at_depth(depth))
    x = path.marginal(drawn(4).x0, start, drawn(4).eps)
    ours = sampled(student, path, "ddim", even_times(path, depth, calls), x)
    theirs = sampled(exact_x0(path), path, "ddim", even_times(path, depth, 2 * calls), x)
    np.testing.assert_allclose(ours, theirs, atol=2e-4)


@pytest.mark.parametrize("calls", [1, 2])
def test_reflow_of_a_linear_teacher_is_exact(calls):
    places = (np.arange(calls) + 0.5) / calls
    student = learnt("reflow", STRAIGHT, Plan(0.6, calls, 20), places)
    given = drawn(5)
    x = STRAIGHT.marginal(given.prior, jnp.full(ROWS, 0.4), given.eps)
    ours = sampled(student, STRAIGHT, "ddim", even_times(STRAIGHT, 0.6, calls), x)
    theirs = sampled(exact_x0(STRAIGHT), STRAIGHT, "ddim", even_times(STRAIGHT, 0.6, 20), x)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("name", CONSISTENCY)
def test_the_boundary_condition_is_exact_and_elsewhere_it_is_the_teacher_s_estimate(name):
    params = {"prior_scale": jnp.full(2, 0.1)}
    inner = PROCESSES["eps" if name == "field" else name].make(PATH, {}, params)
    process = ConsistencyProcess(inner)
    x_t, output = jax.random.normal(jax.random.key(0), (2, 3, 5, 2))
    first, middle = jnp.zeros(3, jnp.int32), jnp.full(3, 50)
    alpha = PATH.coefficients(first)[0]
    np.testing.assert_array_equal(process.x0(output, x_t, first, x_t * 0), x_t / alpha)
    expected = inner.x0(output, x_t, middle, x_t * 0)
    np.testing.assert_allclose(process.x0(output, x_t, middle, x_t * 0), expected, atol=1e-3)
