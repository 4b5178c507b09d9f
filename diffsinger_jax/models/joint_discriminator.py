"""DiffGAN-TTS's discriminator: is (x_{t-1}, x_t) a step of the diffusion? (Liu et al. 2022).

Joint conditional and unconditional: one head judges the pair alone, the other knows which step it
is and who sings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.modules.layers import Embed, masked

SLOPE = 0.2
TRUNK = ((64, 3, 1), (128, 5, 2), (256, 5, 2))
"""Channels, kernel and stride of each layer that both heads share."""
HEAD_CHANNELS, HEAD_KERNELS = 128, (5, 3)


class JointOutputs(NamedTuple):
    """Of one layer or head: what it puts out, and which of its frames are real.

    Attributes:
      values: f32[B, T', C].
      mask: bool[B, T'].
    """

    values: jax.Array
    mask: jax.Array


class JointDiscriminator(nn.Module):
    """See the module.

    Attributes:
      steps: T, of the diffusion.
      speakers: of whom the conditional head knows one from another; 0 for none.
      width: factor on all channels; 1 is as published.
    """

    steps: int
    speakers: int
    width: float = 1.0

    @nn.compact
    def __call__(
        self, pair: Sequence[jax.Array], step: jax.Array, speaker: jax.Array, mask: jax.Array
    ) -> tuple[list[JointOutputs], list[JointOutputs]]:
        """All features, and the scores [B, T', 1] of both heads.

        Args:
          pair: x_{t-1} and x_t, [B, T, D] each.
          step: i32[B] in [0, steps), t - 1.
          speaker: i32[B].
          mask: bool[B, T].
        """
        x, features = masked(jnp.concatenate(list(pair), axis=-1), mask), []
        for channels, kernel, stride in TRUNK:
            mask = mask[:, ::stride]
            x = masked(_convolved(x, int(channels * self.width), kernel, stride), mask)
            features.append(JointOutputs(x, mask))
        told = Embed(self.steps, x.shape[-1], name="step")(step)
        if self.speakers:
            told += Embed(self.speakers, x.shape[-1], name="speaker")(speaker)
        scores = []
        for seen in (x, masked(x + told[:, None, :], mask)):
            kernel, last = HEAD_KERNELS
            hidden = masked(_convolved(seen, int(HEAD_CHANNELS * self.width), kernel, 1), mask)
            features.append(JointOutputs(hidden, mask))
            score = nn.Conv(1, (last,), padding=((last // 2, last // 2),))(hidden)
            scores.append(JointOutputs(score, mask))
        return features, scores


def _convolved(x: jax.Array, channels: int, kernel: int, stride: int) -> jax.Array:
    """A convolution over time and its non-linearity; frame i of it lies at frame stride * i."""
    half = kernel // 2
    conv = nn.Conv(channels, (kernel,), strides=(stride,), padding=((half, half),))
    return nn.leaky_relu(conv(x), SLOPE)
