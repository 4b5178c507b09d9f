"""The sampling of a generator in ONNX: one traced step of its network, in a loop written by hand.

The noise is drawn inside. Flows follow Euler's method, schedules the steps of openvpi's exports.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.diffusion.path import Path
from diffsinger_jax.diffusion.processes import EpsProcess
from diffsinger_jax.diffusion.samplers import make_sampler
from diffsinger_jax.diffusion.samplers.ancestral import step_weights
from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.interop.openutau import onnx_parts
from diffsinger_jax.interop.openutau.graph_inputs import N_FRAMES, row
from diffsinger_jax.interop.openutau.onnx_parts import FLOAT32, INT32, INT64, GraphBuilder, Node
from diffsinger_jax.models.generator import Generator

NOISE = "noise"
"""The value that holds the noise of the start, f32[1, T, D]."""


def graph_sampling(own: Sampling, path: Path, steps: int, depth: float | None) -> Sampling:
    """What a graph does of its inputs depth and steps, as our own sampling.

    Args:
      own: of the voice that the graph was made of.
      path: that it samples along.
      steps: the input.
      depth: the input; None for a graph without it, which starts from noise alone.
    """
    start = "gaussian" if depth is None else own.start
    clips = make_sampler(own.method).clips and own.clip_x0
    own = dataclasses.replace(own, start=start, clip_x0=clips, eta=0.0, plms_interval=None)
    if not path.discrete:
        k_step = path.depth if depth is None else min(depth, float(own.k_step))
        return dataclasses.replace(own, k_step=k_step, steps=steps, method="euler")
    if depth is None:
        wanted = round(path.depth)
        interval = max(n for n in range(1, max(wanted // steps, 1) + 1) if wanted % n == 0)
    else:
        wanted = min(round(path.depth * depth), round(float(own.k_step)))
        interval = max(1, wanted // steps)
    calls = wanted // interval
    found = dataclasses.replace(own, k_step=calls * interval, steps=calls, method="ddpm")
    if interval == 1:
        return found
    return dataclasses.replace(found, method="ddim", plms_interval=interval, ends_at_data=False)


@dataclasses.dataclass(frozen=True)
class SamplerGraph:
    """A generator, and what it is sampled by.

    Attributes:
      generator: with its trunk and process.
      width: of what the trunk is shown of each frame.
      channels: D of what is made.
      depth: of the deepest start from the prior, which an input `depth` may lessen; None to start
        from noise alone, without that input.
      temperature: factor on all noise.
      bound: of estimates of x_0, None for none.
    """

    generator: Generator
    width: int
    channels: int
    depth: float | None = None
    temperature: float = 1.0
    bound: float | None = None

    @property
    def path(self) -> Path:
        """That is sampled along."""
        return self.generator.process.path

    @property
    def known(self) -> tuple[str, ...]:
        """Names of what is computed of each frame once: `projected`'s arrays."""
        return tuple(f"projected_{i}" for i in range(len(self._widths)))

    def projected(self, shown: jax.Array) -> list[jax.Array]:
        """What the trunk needs to know of f32[1, T, width], as many arrays as `known` has names."""
        return jax.tree.leaves(self.generator.trunk.project_condition(shown))

    def add_to(self, graph: GraphBuilder) -> None:
        """Nodes from the values `known` and `prior` f32[1, T, D] to `z` f32[1, T, D].

        Adds the inputs depth f32[], unless it starts from noise alone, and steps i64[].
        """
        if self.depth is not None:
            graph.add_input("depth", "float", [])
            graph.add(("Reshape", "depth flat", "depth_0"))  # callers may give it as [1]
        graph.add_input("steps", "int64", [])
        graph.add(("Reshape", "steps flat", "steps_0"))
        graph.hold(flat=np.array([], np.int64), row=np.array([1], np.int64), yes=np.asarray(True))
        graph.hold(temperature=np.float32(self.temperature))
        graph.add(("RandomNormalLike", "prior", NOISE))
        body = GraphBuilder("step")
        body.add_input("i", "int64", [])
        body.add_input("go", "bool", [])
        body.add_input("x", "float", [1, "n_frames", self.channels])
        body.add(("Identity", "go", "go_on"))
        if self.path.discrete:
            self._add_schedule(graph, body)
        else:
            self._add_flow(graph, body)
        body.add_output("go_on", "bool", [])
        body.add_output("x_next", "float", [1, "n_frames", self.channels])
        graph.loop(body, "count yes start", "z")

    def _add_flow(self, graph: GraphBuilder, body: GraphBuilder) -> None:
        """x += v(x, t0 + i dt) dt, dt = (1 - t0) / steps, from t0 prior + (1 - t0) noise.

        t0 = max(1 - depth, 1 - k), k the deepest; 0 without a prior.
        """
        graph.hold(one=np.float32(1.0), least=np.float32(1.0 - (self.depth or 1.0)))
        if self.depth is None:
            graph.add(("Identity", "least", "t0"))
        else:
            graph.add(
                ("Sub", "one depth_0", "wanted"),
                ("Max", "wanted least", "from_depth"),
                ("Min", "from_depth one", "t0"),
            )
        graph.add(
            ("Identity", "steps_0", "count"),
            ("Sub", "one t0", "left"),
            ("Cast", "steps_0", "steps_f", {"to": FLOAT32}),
            ("Div", "left steps_f", "dt"),
            ("Mul", "prior t0", "kept"),
            ("Mul", "left temperature", "share"),
            ("Mul", f"{NOISE} share", "added"),
            ("Add", "kept added", "start"),
        )
        body.add(
            ("Cast", "i", "i_f", {"to": FLOAT32}),
            ("Mul", "i_f dt", "passed"),
            ("Add", "t0 passed", "now"),
            ("Reshape", "now row", "t"),
        )
        body.join(self._step(jnp.float32), ["slope"])
        body.add(("Mul", "slope dt", "change"), ("Add", "x change", "x_next"))

    def _add_schedule(self, graph: GraphBuilder, body: GraphBuilder) -> None:
        """Every s-th step below K: DDIM for s > 1, the ancestral sampler for s = 1.

        With a prior K = min(round(S depth), k), s = max(1, K // steps), K cut to a multiple of s;
        without K = S and s the largest divisor of S that is at most S // steps.
        """
        graph.hold(**_tables(self.path, self.temperature), one=np.int64(1), zero=np.int64(0))
        graph.hold(silent=np.float32(0.0))
        graph.add(*(_WITHOUT_PRIOR if self.depth is None else _WITH_PRIOR))
        if self.depth is not None:
            graph.hold(
                length=np.float32(self.path.depth), deepest=np.float32(round(float(self.depth)))
            )
        else:
            numbers = np.arange(1, self.path.depth + 1)
            graph.hold(
                length=np.int64(self.path.depth), divisors=numbers[self.path.depth % numbers == 0]
            )
        graph.add(*_SCHEDULE_START)
        body.add(*_SCHEDULE_TIMES)
        body.join(self._step(jnp.int32), ["eps"])
        body.add(("RandomNormalLike", "x", "drawn"))
        body.add(*_SCHEDULE_STEP)

    def _step(self, time: Any) -> onnx_parts.Part:
        """x f32[1, T, D] and t [1] to the velocity there, or the noise in x."""
        generator, structure = self.generator, self._structure
        process: Any = generator.process
        inputs = {"x": row(N_FRAMES, self.channels), "t": jax.ShapeDtypeStruct((1,), time)}
        inputs["prior"] = row(N_FRAMES, self.channels)
        for name, width in zip(self.known, self._widths, strict=True):
            inputs[name] = row(N_FRAMES, width)

        def step(x: jax.Array, t: jax.Array, prior: jax.Array, *known: jax.Array) -> jax.Array:
            mask: Any = np.ones((1, 1), bool)  # of one row without padding
            projected = jax.tree.unflatten(structure, known)
            embedded = generator.trunk.embed_steps(process.trunk_time(t))
            shown = process.trunk_input(x, t, prior)
            output = generator.trunk.run(shown, embedded, projected, mask)
            if not self.path.discrete:
                return process.velocity(output, x, t, prior)
            if isinstance(process, EpsProcess) and self.bound is None:
                return output
            x0 = process.x0(output, x, t, prior)
            x0 = x0 if self.bound is None else jnp.clip(x0, -self.bound, self.bound)
            alpha, sigma = self.path.coefficients(t)
            return (x - alpha * x0) / sigma

        return onnx_parts.traced("step", step, inputs)

    @property
    def _shapes(self) -> Any:
        """Of what is computed once, of two frames."""
        shown = jax.ShapeDtypeStruct((1, 2, self.width), jnp.float32)
        return jax.eval_shape(self.generator.trunk.project_condition, shown)

    @property
    def _structure(self) -> Any:
        return jax.tree.structure(self._shapes)

    @property
    def _widths(self) -> list[int]:
        return [leaf.shape[-1] for leaf in jax.tree.leaves(self._shapes)]


def _tables(path: Path, temperature: float) -> dict[str, np.ndarray]:
    """What the nodes below gather from.

    start_prior and start_noise f32[S + 1] at each depth, from the full one noise alone; signal and
    ratio f32[S], alpha and sigma / alpha; by_x_1, by_eps_1, by_noise_1 f32[S], the weights of an
    ancestral step.
    """
    times = np.arange(path.depth)
    alpha, sigma = path.on_host(times)
    step = step_weights(path, times, times - 1)
    of_x0 = step.x0.astype(np.float64)
    tables = {
        "start_prior": np.concatenate([[1.0], alpha[:-1], [0.0]]),
        "start_noise": np.concatenate([[0.0], sigma[:-1], [1.0]]) * temperature,
        "signal": alpha,
        "ratio": sigma / alpha,
        "by_x_1": step.x_t + of_x0 / alpha,
        "by_eps_1": -of_x0 * sigma / alpha,
        "by_noise_1": step.noise * temperature,
    }
    return {name: np.asarray(table, np.float32) for name, table in tables.items()}


_WITH_PRIOR: list[Node] = [
    ("Mul", "depth_0 length", "depth_steps"),
    ("Round", "depth_steps", "rounded"),
    ("Min", "rounded deepest", "bounded"),
    ("Cast", "bounded", "wanted", {"to": INT64}),
    ("Div", "wanted steps_0", "quotient"),
    ("Max", "quotient one", "interval"),
    ("Div", "wanted interval", "count"),
]
_WITHOUT_PRIOR: list[Node] = [
    ("Div", "length steps_0", "quotient"),
    ("LessOrEqual", "divisors quotient", "fits"),
    ("Where", "fits divisors one", "possible"),
    ("ReduceMax", "possible", "interval", {"keepdims": 0}),
    ("Div", "length interval", "count"),
]
_SCHEDULE_START: list[Node] = [
    ("Mul", "count interval", "begin"),
    ("Equal", "interval one", "ancestral"),
    ("Gather", "start_prior begin", "prior_share"),
    ("Gather", "start_noise begin", "noise_share"),
    ("Mul", "prior prior_share", "kept"),
    ("Mul", f"{NOISE} noise_share", "added"),
    ("Add", "kept added", "start"),
]
_SCHEDULE_TIMES: list[Node] = [
    ("Add", "i one", "number"),
    ("Mul", "number interval", "down"),
    ("Sub", "begin down", "step_number"),
    ("Sub", "step_number interval", "below"),
    ("Max", "below zero", "next_number"),  # the last step leads from 0 to 0
    ("Reshape", "step_number row", "step_row"),
    ("Cast", "step_row", "t", {"to": INT32}),
]
_SCHEDULE_STEP: list[Node] = [
    ("Gather", "signal step_number", "signal_here"),
    ("Gather", "signal next_number", "signal_next"),
    ("Gather", "ratio step_number", "ratio_here"),
    ("Gather", "ratio next_number", "ratio_next"),
    ("Div", "signal_next signal_here", "by_x_ddim"),
    ("Sub", "ratio_next ratio_here", "ratio_change"),
    ("Mul", "signal_next ratio_change", "by_eps_ddim"),
    ("Gather", "by_x_1 step_number", "by_x_ddpm"),
    ("Gather", "by_eps_1 step_number", "by_eps_ddpm"),
    ("Gather", "by_noise_1 step_number", "by_noise_ddpm"),
    ("Where", "ancestral by_x_ddpm by_x_ddim", "by_x"),
    ("Where", "ancestral by_eps_ddpm by_eps_ddim", "by_eps"),
    ("Where", "ancestral by_noise_ddpm silent", "by_noise"),
    ("Mul", "x by_x", "moved"),
    ("Mul", "eps by_eps", "predicted"),
    ("Mul", "drawn by_noise", "renewed"),
    ("Add", "moved predicted", "mean"),
    ("Add", "mean renewed", "x_next"),
]
