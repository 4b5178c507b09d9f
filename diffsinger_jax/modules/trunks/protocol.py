"""What a trunk is: the network of a diffusion model or a flow, called once a sampling step."""

from __future__ import annotations

from typing import Any, Protocol

import jax


class Trunk(Protocol):
    """x [B, T, D], t f32[B], cond [B, T, H], mask bool[B, T] -> f32[B, T, D].

    A sampler calls a trunk many times with one condition and with times known beforehand. What
    depends on neither x nor the other of the two is therefore split off, and computed once:

        trunk(x, t, cond, mask) == trunk.run(x, embed_steps(t), project_condition(cond), mask)

    Padding changes no number: frames where the mask is False are zero in the output and are seen
    by no other frame. A trunk puts out zeros before it is trained.
    """

    def project_condition(self, cond: jax.Array) -> Any:
        """[B, T, H] -> arrays with leading axes [B, T] that `run` takes at every step."""

    def embed_steps(self, t: jax.Array) -> jax.Array:
        """f32[n] times, in the unit the trunk was trained with -> [n, ...], a row for each."""

    def run(self, x: jax.Array, step: jax.Array, projected: Any, mask: jax.Array) -> jax.Array:
        """One call: x [B, T, D], step [B, ...] rows of `embed_steps` -> f32[B, T, D]."""

    def __call__(self, x: jax.Array, t: jax.Array, cond: jax.Array, mask: jax.Array) -> jax.Array:
        """All at once; see the class."""
