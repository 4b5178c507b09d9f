"""What the training of a variance model makes small: masked means, exact under any padding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from diffsinger_jax.diffusion.processes import TIME_WEIGHTS
from diffsinger_jax.engine.losses import Losses, LossFn, row_keys, row_noise, spread_places
from diffsinger_jax.engine.metrics import Mean
from diffsinger_jax.engine.state import Params
from diffsinger_jax.models.generator import Generator
from diffsinger_jax.models.variance import Variance, VarianceInputs
from diffsinger_jax.models.variance_inputs import inputs_of_batch
from diffsinger_jax.models.variance_model import VarianceModel
from diffsinger_jax.modules.length_regulator import word_of, word_sums
from diffsinger_jax.tasks.acoustic.losses import DIFFUSION_LOSSES
from diffsinger_jax.types import Batch

DURATION_LOSSES = ("duration_phoneme", "duration_word", "duration_sentence")
"""Names of what `duration_losses` measures."""
LARGEST_LOG_FRAMES = 8.0


def duration_losses(log_frames: jax.Array, batch: Batch) -> dict[str, Mean]:
    """Squared errors of log(1 + frames): of phonemes, of words and of whole rows.

    Args:
      log_frames: f32[B, N] predicted; sums are taken of predictions from 0 on.
      batch: with `ph_frames` and `onset`, which words begin with.

    Returns:
      A `Mean` for each of `DURATION_LOSSES`.
    """
    mask, word = batch.tokens > 0, word_of(batch.onset)
    frames = jnp.asarray(batch.ph_frames).astype(jnp.float32) * mask
    predicted = jnp.expm1(jnp.clip(log_frames, 0.0, LARGEST_LOG_FRAMES)) * mask
    words, words_true = word_sums(predicted, word), word_sums(frames, word)
    is_word = jnp.arange(word.shape[1])[None, :] < jnp.where(mask, word, 0).max(1, keepdims=True)
    whole, whole_true = words.sum(axis=1), words_true.sum(axis=1)

    def error(ours: jax.Array, theirs: jax.Array) -> jax.Array:
        return (jnp.log1p(ours) - jnp.log1p(theirs)) ** 2

    return {
        "duration_phoneme": Mean.of((log_frames - jnp.log1p(frames)) ** 2, mask),
        "duration_word": Mean.of(error(words, words_true), is_word),
        "duration_sentence": Mean.of(error(whole, whole_true), mask.any(axis=1)),
    }


LARGEST_SEMITONES = 4.0
"""Further from the line a frame is an error of the f0 tracker or the label, and left out."""
_PLACES, _RETAKE = 2**31 - 1, 2**31 - 2
"""In the place of a row's number: what all rows draw together, and which frames are given."""


def variance_loss(
    variance: VarianceModel,
    frames_per_sec: float,
    weights: Mapping[str, float],
    *,
    distance: str,
    weighting: str,
    retake_all: float,
) -> LossFn:
    """Durations, pitch, voicing and curves of a variance model, as far as it has them.

    Args:
      variance: the model.
      frames_per_sec: of the mel.
      weights: of the losses, see `tasks.variance.config.VarianceWeights`.
      distance: of what the trunks put out, a name in `DIFFUSION_LOSSES`.
      weighting: of the times of a flow, a name in `TIME_WEIGHTS`.
      retake_all: share of the rows of which all is to be generated; of the others a stretch.
    """
    model = variance.model
    measure, weigh = DIFFUSION_LOSSES[distance], TIME_WEIGHTS[weighting]

    def parts(params: Params, batch: Batch, key: jax.Array, rows: jax.Array, train: bool) -> Losses:
        inputs = inputs_of_batch(batch, frames_per_sec, model.curves)
        keys = row_keys(jax.random.fold_in(key, _RETAKE), rows)
        inputs = inputs._replace(retake=retake_masks(keys, inputs, retake_all))
        call = _calls(model, params, key, rows, train)
        encoded = call("encode", 0, inputs.batch)
        expanded = call("expand", None, encoded, inputs.batch)
        mask = inputs.batch.mask
        losses: Losses = {}
        if model.durations != "none":
            log_frames = call("predict_durations", 1, encoded, inputs)
            losses |= duration_losses(log_frames, inputs.batch)
        if model.voicing_settings:
            logits = call("predict_voicing", 2, expanded, inputs)
            entropy = jnp.logaddexp(0.0, logits) - logits * (inputs.batch.f0 > 0)
            losses["voicing"] = Mean.of(entropy, mask)

        def generated(generator: Generator, cond: Any, x0: Any, part: int, counted: Any) -> Mean:
            process, own = generator.process, jax.random.fold_in(key, part)
            places = spread_places(jax.random.fold_in(own, _PLACES), rows)
            t = process.training_times(places, process.path.depth)
            eps = row_noise(own, rows, x0.shape[1:])
            x_t = process.marginal(x0, t, eps)
            output = generator.output(x_t, t, cond, jnp.zeros_like(x0), mask)
            error = measure(output - process.target(x0, x_t, t, eps, x0))
            weight = weigh(t.astype(jnp.float32))[:, None, None]
            return Mean.of(weight * error, counted[..., None])

        if model.pitch_settings:
            apart = inputs.pitch - variance.apply(params, "base", inputs)
            credible = mask & (jnp.abs(inputs.pitch - inputs.line) < LARGEST_SEMITONES)
            cond = call("pitch_condition", 3, expanded, inputs)
            x0 = variance.pitch_scaling.scale(apart[..., None])
            losses["pitch"] = generated(variance.pitch_generator(params), cond, x0, 4, credible)
        if model.curves:
            values = jnp.stack([inputs.batch.curves[name] for name in model.curves], axis=-1)
            cond = call("curve_condition", None, expanded, inputs)
            x0 = variance.curve_scaling.scale(values)
            losses["curves"] = generated(variance.curve_generator(params), cond, x0, 5, mask)
        return losses

    has = {
        **dict.fromkeys(DURATION_LOSSES, model.durations != "none"),
        "pitch": bool(model.pitch_settings),
        "voicing": bool(model.voicing_settings),
        "curves": bool(model.curves),
    }
    return LossFn(parts, {name: weight for name, weight in weights.items() if has[name]})


def _calls(
    model: Variance, params: Params, key: jax.Array, rows: jax.Array, train: bool
) -> Callable[..., Any]:
    """(method, number or None for one without dropout, its arguments) -> what it returns."""
    variables = {"params": params}

    def call(method: str, part: int | None, *args: Any) -> Any:
        if part is None or not train:
            return model.apply(variables, *args, method=method)

        def of_row(row_key: jax.Array, *args: Any) -> Any:
            args = jax.tree.map(lambda x: x[None], args)
            rngs = {"dropout": row_key}
            out: Any = model.apply(variables, *args, train=True, rngs=rngs, method=method)
            return out[0]

        return jax.vmap(of_row)(row_keys(jax.random.fold_in(key, part), rows), *args)

    return call


def retake_masks(keys: jax.Array, inputs: VarianceInputs, whole: float) -> dict[str, jax.Array]:
    """Which frames are to be generated, bool[B, T] by name: all of a row, or one stretch of it.

    Args:
      keys: [B], one for each row.
      inputs: whose `retake` has the names.
      whole: share of the rows of which all is.
    """
    frames = inputs.batch.mask.sum(axis=1)  # [B]

    def of_row(key: jax.Array, frames: jax.Array) -> jax.Array:
        all_key, ends_key = jax.random.split(key)
        ends = jax.random.uniform(ends_key, (2,)) * frames
        place = jnp.arange(inputs.line.shape[1])
        stretch = (place >= ends.min()) & (place < ends.max())
        return stretch | jax.random.bernoulli(all_key, whole)

    masks = {}
    for number, name in enumerate(inputs.retake):
        own = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, number)
        masks[name] = jax.vmap(of_row)(own, frames)
    return masks
