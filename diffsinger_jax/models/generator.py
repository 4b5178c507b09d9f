"""What makes mels, pitch and curves of noise: a trunk with its process."""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.diffusion.processes import Process
from diffsinger_jax.diffusion.samplers.estimates import PredictX0
from diffsinger_jax.diffusion.sampling import Sampling, shallow_sample
from diffsinger_jax.modules.layers import masked


@dataclasses.dataclass(frozen=True)
class AppliedTrunk:
    """A model's trunk and its params, as pure functions; see `modules.trunks.protocol.Trunk`.

    Attributes:
      model: that has the trunk.
      params: of the model.
      name: of the trunk in it.
    """

    model: nn.Module
    params: Any
    name: str

    def project_condition(self, cond: jax.Array) -> Any:
        """See the protocol."""
        return self._call("project_condition", cond)

    def embed_steps(self, t: jax.Array) -> jax.Array:
        """See the protocol."""
        return self._call("embed_steps", t.astype(jnp.float32))

    def run(self, x: jax.Array, step: jax.Array, projected: Any, mask: jax.Array) -> jax.Array:
        """See the protocol."""
        return self._call("run", x, step, projected, mask)

    def _call(self, method: str, *given: Any) -> Any:
        def of_trunk(model: nn.Module, *given: Any) -> Any:
            return getattr(getattr(model, self.name), method)(*given)

        return self.model.apply({"params": self.params}, *given, method=of_trunk)


@dataclasses.dataclass(frozen=True)
class Generator:
    """Noise -> z [B, T, D] by one trunk and one process, for any D; what z means is its caller's.

    Attributes:
      process: what the trunk's output means.
      trunk: the network.
      unmasked_convs: whether the trunk sees padding as real frames.
      masks_input: whether x_t is zero on padding before the process makes the trunk's input of it,
        as a process needs that looks at neighbouring frames.
    """

    process: Process
    trunk: AppliedTrunk
    unmasked_convs: bool = False
    masks_input: bool = False

    def predictor(
        self,
        cond: jax.Array,
        prior: jax.Array,
        mask: jax.Array,
        times: np.ndarray,
        *,
        estimate: str = "x0",
    ) -> PredictX0:
        """(x_t, t) -> x_0 for a sampler, with all that does not depend on x_t computed once.

        Args:
          cond: [B, T, H], what the trunk is shown of each frame.
          prior: [B, T, D].
          mask: bool[B, T].
          times: [n] of the path, sorted: all that will be asked for.
          estimate: what is predicted, "x0" or another that the process has.
        """
        process = self.process
        projected = self.trunk.project_condition(cond)
        known = jnp.asarray(times)
        embedded = self.trunk.embed_steps(process.trunk_time(known))  # [n, layers, C]

        def predict(x_t: jax.Array, t: jax.Array) -> jax.Array:
            x_t = masked(x_t, mask) if self.masks_input else x_t
            shown = process.trunk_input(x_t, t, prior)
            step = embedded[jnp.searchsorted(known, t)]
            seen = jnp.ones_like(mask) if self.unmasked_convs else mask
            output = self.trunk.run(shown, step, projected, seen)
            return getattr(process, estimate)(output, x_t, t, prior)

        return predict

    def estimate(
        self, x_t: jax.Array, t: jax.Array, cond: jax.Array, prior: jax.Array, mask: jax.Array
    ) -> jax.Array:
        """x_0 [B, T, D] behind `output`, for times t [B] that may differ from row to row."""
        return self.process.x0(self.output(x_t, t, cond, prior, mask), x_t, t, prior)

    def sample(
        self,
        cond: jax.Array,
        prior: jax.Array,
        mask: jax.Array,
        keys: jax.Array,
        sampling: Sampling,
        temperature: jax.Array | float | None = None,
    ) -> jax.Array:
        """z [B, T, D], see `diffusion.sampling.shallow_sample`."""
        times = sampling.model_times(self.process.path)
        estimate = sampling.sampler.estimate
        predict = self.predictor(cond, prior, mask, times, estimate=estimate)
        return shallow_sample(self.process, predict, prior, keys, sampling, temperature)

    def output(
        self, x_t: jax.Array, t: jax.Array, cond: jax.Array, prior: jax.Array, mask: jax.Array
    ) -> jax.Array:
        """What the trunk puts out for x_t [B, T, D] at times t [B] of the path, [B, T, D]."""
        x_t = masked(x_t, mask) if self.masks_input else x_t
        shown = self.process.trunk_input(x_t, t, prior)
        step = self.trunk.embed_steps(self.process.trunk_time(t))
        seen = jnp.ones_like(mask) if self.unmasked_convs else mask
        return self.trunk.run(shown, step, self.trunk.project_condition(cond), seen)
