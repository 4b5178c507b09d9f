"""What the families that speak without diffusion make small: masked means, row by row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffsinger_jax.engine.losses import Losses, LossFn, row_keys
from diffsinger_jax.engine.metrics import Mean
from diffsinger_jax.engine.state import Params
from diffsinger_jax.models.glow_tts import GlowTTS, GlowTtsModel, whole_pairs
from diffsinger_jax.models.tacotron2 import Tacotron2, Tacotron2Model, shown_steps
from diffsinger_jax.modules.attention_decoder import attention_frames
from diffsinger_jax.modules.length_regulator import expand_to_frames, phoneme_of_frames
from diffsinger_jax.pitch import hz_to_midi
from diffsinger_jax.tasks.acoustic.losses import pitch_losses
from diffsinger_jax.types import Batch

GUIDE_WIDTH = 0.2
"""How far attention may be from the diagonal, as a share (Tachibana et al. 2017, eq. 14)."""
STOP_WEIGHT = 5.0
"""Of a last step beside each of the others, which are hundreds; ESPnet's `bce_pos_weight`."""


def glow_tts_loss(acoustic: GlowTtsModel, weights: Mapping[str, float]) -> LossFn:
    """Likelihood of the mels, durations of the likeliest alignment, pitch on it.

        -ln p(mel) = sum_t -ln N(f(mel)_t; mean of its phoneme, 1) - ln |det df / dmel|

    per frame and bin, f the flow; as `search` -ln p of what the search compares, where that is not
    f (else 0); and as `alignment`, which has no weight, the mean distance of its boundaries from
    the corpus's in frames.
    """
    model = acoustic.model

    def parts(params: Params, batch: Batch, key: jax.Array, rows: jax.Array, train: bool) -> Losses:
        call = _calls(model, params, key, rows, train)
        is_phoneme = batch.tokens > 0
        z, mask = whole_pairs(acoustic.scaling.scale(batch.mel), batch.mask)
        encoded, mean = call("encode", 0, batch)
        noise, log_det = acoustic.apply(params, "to_noise", z, mask)
        compared = acoustic.apply(params, "compared", batch, mean, z, noise)
        frames = model.likeliest_frames(compared, is_phoneme, mask)
        mel2ph = phoneme_of_frames(frames, mask)

        def surprise_of(means: jax.Array, x: jax.Array) -> jax.Array:
            away = x - expand_to_frames(means, mel2ph)
            return 0.5 * (away**2 + jnp.log(2.0 * jnp.pi)) * mask[..., None]

        searched = surprise_of(*compared).sum() if model.search == "mel" else jnp.zeros(())
        count = jnp.float32(model.mel_bins) * mask.sum()
        log_frames = call("predict_durations", 1, encoded, batch)
        return {
            "likelihood": Mean(surprise_of(mean, noise).sum() - log_det.sum(), count),
            "search": Mean(searched, count),
            "duration": Mean.of((log_frames - jnp.log1p(frames)) ** 2, is_phoneme),
            **_pitch_losses(call("predict_pitch", 2, encoded, mel2ph), batch, mask),
            "alignment": alignment_error(frames, batch),
        }

    return LossFn(parts, weights)


def tacotron2_loss(acoustic: Tacotron2Model, weights: Mapping[str, float]) -> LossFn:
    """Mel before and after the post-net, stop token, diagonal attention, pitch where it looks.

    As `alignment`, which has no weight, the mean distance of the boundaries of its attention from
    the corpus's in frames. The attention off the diagonal is summed over phonemes and averaged over
    steps: its mean over both, N times less, is too little to move it.
    """
    model, reduction = acoustic.model, acoustic.model.reduction

    def parts(params: Params, batch: Batch, key: jax.Array, rows: jax.Array, train: bool) -> Losses:
        call = _calls(model, params, key, rows, train)
        is_phoneme = batch.tokens > 0
        z, mask, step_mask, given = shown_steps(
            acoustic.scaling.scale(batch.mel), batch.mask, reduction
        )
        encoded = call("encode", 0, batch)
        decoded = call("decode", 1, encoded, batch, given, draws=True, steps=step_mask.shape[1])
        made, looks, stop = decoded
        corrected = call("correct", 2, made, mask)
        error = jnp.abs(made - z) + jnp.abs(corrected - z)
        looked = jax.lax.stop_gradient(looks)
        frames = reduction * attention_frames(looked, is_phoneme, step_mask)
        mel2ph = phoneme_of_frames(frames, batch.mask)
        last = step_mask & ~jnp.pad(step_mask, ((0, 0), (0, 1)))[:, 1:]
        entropy = jnp.where(last, STOP_WEIGHT * nn.softplus(-stop), nn.softplus(stop))
        off = jnp.sum(looks * off_diagonal(step_mask, is_phoneme), axis=2)
        return {
            "mel": Mean.of(error, mask[..., None]),
            "stop": Mean.of(entropy, step_mask),
            "diagonal": Mean.of(off, step_mask),
            **_pitch_losses(call("predict_pitch", 3, encoded, mel2ph), batch, batch.mask),
            "alignment": alignment_error(frames, batch),
        }

    return LossFn(parts, weights)


def off_diagonal(step_mask: jax.Array, is_phoneme: jax.Array) -> jax.Array:
    """1 - exp(-(s / S - n / N)^2 / (2 width^2)) of each step and phoneme: f32[B, S, N]."""

    def places(mask: jax.Array) -> jax.Array:
        number = jax.lax.broadcasted_iota(jnp.float32, mask.shape, 1)
        return number / jnp.maximum(mask.sum(axis=1, keepdims=True), 1)

    apart = places(step_mask)[:, :, None] - places(is_phoneme)[:, None, :]
    return 1.0 - jnp.exp(-(apart**2) / (2.0 * GUIDE_WIDTH**2))


def alignment_error(frames: jax.Array, batch: Batch) -> Mean:
    """Mean distance of the boundaries between phonemes from those of the batch, in frames.

    Args:
      frames: i32[B, N] of each phoneme.
    """
    ends, true_ends = (jnp.cumsum(x, axis=1) for x in (frames, jnp.asarray(batch.ph_frames)))
    followed = jnp.pad(batch.tokens > 0, ((0, 0), (0, 1)))[:, 1:]
    return Mean.of(jnp.abs(ends - true_ends).astype(jnp.float32), followed)


def _pitch_losses(predicted: tuple[jax.Array, jax.Array], batch: Batch, mask: jax.Array) -> Losses:
    """Of MIDI pitch and voiced logits; of an odd number of frames the last may be cut off."""
    f0 = batch.f0[:, : mask.shape[1]]
    midi, voiced = predicted
    return pitch_losses(
        midi,
        voiced,
        distance=hz_to_midi(f0),
        voiced=f0 > 0,
        has_note=jnp.zeros_like(mask),
        mask=mask,
        needs_notes=False,
    )


def _calls(
    model: GlowTTS | Tacotron2, params: Params, key: jax.Array, rows: jax.Array, train: bool
) -> Callable[..., Any]:
    """(method, number of its draws, its arguments) -> what it returns, each row with its draws.

    With `draws` it draws in evaluation, too. `static` goes to the method as it is.
    """
    variables = {"params": params}

    def call(method: str, part: int, *args: Any, draws: bool = False, **static: Any) -> Any:
        if not (train or draws):
            return model.apply(variables, *args, method=method, **static)
        if not draws:
            static["train"] = True

        def of_row(row_key: jax.Array, *args: Any) -> Any:
            args = jax.tree.map(lambda x: x[None], args)
            rngs = {"dropout": row_key}
            out = model.apply(variables, *args, rngs=rngs, method=method, **static)
            return jax.tree.map(lambda x: x[0], out)

        return jax.vmap(of_row)(row_keys(jax.random.fold_in(key, part), rows), *args)

    return call


class FamilyLoss(NamedTuple):
    """How a family learns.

    Attributes:
      module: its Flax module, whose arguments are the config's `model`.
      make: (its `Acoustic`, weights) -> the loss.
      weighted: names of the parts that have a weight.
    """

    module: type
    make: Callable[[Any, Mapping[str, float]], LossFn]
    weighted: tuple[str, ...]


LOSSES = {
    "glow_tts": FamilyLoss(
        GlowTTS, glow_tts_loss, ("likelihood", "search", "duration", "pitch", "voicing")
    ),
    "tacotron2": FamilyLoss(
        Tacotron2, tacotron2_loss, ("mel", "stop", "diagonal", "pitch", "voicing")
    ),
}
"""By `config.family`, a name in `models.families.FAMILIES`."""
