"""The decoder of Tacotron 2: frame after frame, by location-sensitive attention.

Shen et al. 2018, arXiv 1712.05884; the attention is that of Chorowski et al. 2015, and where asked
for goes forward only: Zhang et al. 2018, arXiv 1807.06736.
"""

from __future__ import annotations

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.modules.alignment import monotonic_alignment
from diffsinger_jax.modules.layers import Conv1D, Linear

PRENET_DROPOUT = 0.5
"""Of the frames that are fed back, in training and always: without it attention is not learnt."""
LOCATION_KERNEL = 31
"""Phonemes over which the attention sees where it has been."""
_NEVER = -1e9
_LEAST = 1e-7


class DecoderCarry(NamedTuple):
    """What goes from step to step.

    Attributes:
      attention_state, decoder_state: (c, h) [B, H] of the two LSTMs.
      context: [B, E] what was looked at.
      weights, summed: f32[B, N] where the attention was, and has been so far.
      frame: [B, M] the last frame that was made.
    """

    attention_state: tuple[jax.Array, jax.Array]
    decoder_state: tuple[jax.Array, jax.Array]
    context: jax.Array
    weights: jax.Array
    summed: jax.Array
    frame: jax.Array


class DecoderStep(nn.Module):
    """One step: `reduction` frames, and whether it is the last.

    Attributes:
      mel_bins: M.
      reduction: frames of a step.
      hidden: of the LSTMs.
      prenet: width of the two layers before them.
      attention, filters: of the attention, and of the convolution over where it has been.
      forward: whether attention stays or goes on by one phoneme, see `reached`.
      feeds_back: whether it is fed its own frames, or those that are given.
    """

    mel_bins: int
    reduction: int
    hidden: int
    prenet: int
    attention: int
    filters: int
    forward: bool
    feeds_back: bool

    @nn.compact
    def __call__(
        self,
        carry: DecoderCarry,
        given: jax.Array,
        encoded: jax.Array,
        keys: jax.Array,
        mask: jax.Array,
    ) -> tuple[DecoderCarry, tuple[jax.Array, jax.Array, jax.Array]]:
        """Makes the next frames.

        Args:
          carry: of the step before.
          given: [B, M] the frame before, used unless it feeds back its own.
          encoded: [B, N, E] phonemes.
          keys: [B, N, A] the same, projected for the attention.
          mask: bool[B, N].

        Returns:
          The carry; frames [B, reduction, M], attention weights [B, N] and stop logit [B].
        """
        x = carry.frame if self.feeds_back else given
        for i in range(2):
            x = nn.relu(Linear(self.prenet, name=f"prenet_{i}")(x))
            x = nn.Dropout(PRENET_DROPOUT, deterministic=False)(x)
        attention_state, query = nn.OptimizedLSTMCell(self.hidden, name="attention_lstm")(
            carry.attention_state, jnp.concatenate([x, carry.context], axis=-1)
        )
        been = jnp.stack([carry.weights, carry.summed], axis=-1)  # [B, N, 2]
        place = Conv1D(self.filters, LOCATION_KERNEL, name="location")(been)
        energy = Linear(1, use_bias=False, name="energy")(
            jnp.tanh(
                Linear(self.attention, use_bias=False, name="query")(query)[:, None]
                + keys
                + Linear(self.attention, use_bias=False, name="place")(place)
            )
        )[..., 0]
        if self.forward:
            energy += jnp.log(reached(carry.weights) + _LEAST)
        weights = nn.softmax(jnp.where(mask, energy, _NEVER)) * mask  # [B, N]
        context = jnp.einsum("bn,bne->be", weights, encoded)
        decoder_state, out = nn.OptimizedLSTMCell(self.hidden, name="decoder_lstm")(
            carry.decoder_state, jnp.concatenate([query, context], axis=-1)
        )
        out = jnp.concatenate([out, context], axis=-1)
        frames = Linear(self.reduction * self.mel_bins, name="frames")(out)
        frames = frames.reshape(-1, self.reduction, self.mel_bins)
        stop = Linear(1, name="stop")(out)[..., 0]
        after = DecoderCarry(
            attention_state,
            decoder_state,
            context,
            weights,
            carry.summed + weights,
            frames[:, -1],
        )
        return after, (frames, weights, stop)


class AttentionDecoder(nn.Module):
    """All steps, by `jax.lax.scan`; the attributes are those of `DecoderStep`."""

    mel_bins: int
    reduction: int
    hidden: int
    prenet: int
    attention: int
    filters: int
    forward: bool = False

    @nn.compact
    def __call__(
        self, encoded: jax.Array, mask: jax.Array, given: jax.Array | None, steps: int
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Frames of phonemes; draws of the prenet's dropout come from the stream "dropout".

        Args:
          encoded: [B, N, E].
          mask: bool[B, N].
          given: [B, steps, M] the frame before each step, as in training; None to feed back.
          steps: how many.

        Returns:
          frames [B, steps * reduction, M]; attention weights f32[B, steps, N]; stop logits
          f32[B, steps].
        """
        rows, phonemes, width = encoded.shape
        scan = nn.scan(
            DecoderStep,
            variable_broadcast="params",
            split_rngs={"params": False, "dropout": True},
            in_axes=(1, nn.broadcast, nn.broadcast, nn.broadcast),
            out_axes=1,
            length=steps,
        )
        step = scan(
            self.mel_bins,
            self.reduction,
            self.hidden,
            self.prenet,
            self.attention,
            self.filters,
            self.forward,
            feeds_back=given is None,
            name="step",
        )
        state = jnp.zeros((rows, self.hidden))
        nowhere = jnp.zeros((rows, phonemes))
        carry = DecoderCarry(
            (state, state),
            (state, state),
            jnp.zeros((rows, width)),
            nowhere.at[:, 0].set(1.0) if self.forward else nowhere,
            nowhere,
            jnp.zeros((rows, self.mel_bins)),
        )
        keys = Linear(self.attention, name="keys")(encoded) * mask[..., None]
        given = jnp.zeros((rows, steps, self.mel_bins)) if given is None else given
        _, (frames, weights, stop) = step(carry, given, encoded, keys, mask)
        return frames.reshape(rows, -1, self.mel_bins), weights, stop


def reached(weights: jax.Array) -> jax.Array:
    """Where attention f32[B, N] may be a step later: where it was, or one phoneme on.

    Forward attention is a_s(n) ~ (a_{s-1}(n) + a_{s-1}(n - 1)) softmax(energy)_n, from a_0 on the
    first phoneme (Zhang et al. 2018, arXiv 1807.06736, eq. 8).
    """
    return weights + jnp.pad(weights, ((0, 0), (1, 0)))[:, :-1]


def attention_frames(
    weights: jax.Array, phoneme_mask: jax.Array, step_mask: jax.Array
) -> jax.Array:
    """Steps of each phoneme: the monotonic path along which most is looked at, i32[B, N].

    Args:
      weights: f32[B, S, N] of the attention.
      phoneme_mask: bool[B, N].
      step_mask: bool[B, S], at least as many steps as phonemes.
    """
    likelihood = jnp.log(jnp.swapaxes(weights, 1, 2) + 1e-8)
    return monotonic_alignment(likelihood, phoneme_mask, step_mask)


def warp_frames(
    mel: jax.Array, own_frames: jax.Array, ph_frames: jax.Array, mel2ph: jax.Array
) -> jax.Array:
    """A mel with other durations: each phoneme stretched on a line, itself where they are its own.

    Args:
      mel: [B, L, M].
      own_frames: i32[B, N] durations in it.
      ph_frames: i32[B, N] wanted ones.
      mel2ph: i32[B, T] of these, 1-based, 0 on padding.

    Returns:
      [B, T, M], any values on padding.
    """
    index = jnp.maximum(mel2ph - 1, 0)  # [B, T]

    def of_frame(values: jax.Array) -> jax.Array:
        return jnp.take_along_axis(values.astype(jnp.float32), index, axis=1)

    start = of_frame(jnp.cumsum(ph_frames, axis=1) - ph_frames)
    own_start = of_frame(jnp.cumsum(own_frames, axis=1) - own_frames)
    number = jax.lax.broadcasted_iota(jnp.float32, mel2ph.shape, 1)
    share = (number - start + 0.5) / jnp.maximum(of_frame(ph_frames), 1.0)
    last = jnp.maximum(own_frames.sum(axis=1, keepdims=True) - 1, 0).astype(jnp.float32)
    place = jnp.clip(own_start + share * of_frame(own_frames) - 0.5, 0.0, last)
    before = jnp.floor(place)
    after = jnp.minimum(before + 1, last).astype(jnp.int32)[..., None]
    between = (place - before)[..., None]
    one = jnp.take_along_axis(mel, before.astype(jnp.int32)[..., None], axis=1)
    return (1.0 - between) * one + between * jnp.take_along_axis(mel, after, axis=1)
