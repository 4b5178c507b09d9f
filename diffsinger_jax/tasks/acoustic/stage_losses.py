"""The losses of the stages, as pure functions of a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from diffsinger_jax.diffusion.places import frame_features, local_height
from diffsinger_jax.diffusion.processes import TIME_WEIGHTS, Process
from diffsinger_jax.engine.losses import Losses, LossFn, row_keys, row_noise, spread_places
from diffsinger_jax.engine.metrics import Mean
from diffsinger_jax.engine.state import Params
from diffsinger_jax.models.diffsinger import (
    PITCH_FROM_NOTES,
    DiffSinger,
    heard_curves,
    heard_f0,
)
from diffsinger_jax.models.scaling import MelScaling
from diffsinger_jax.modules.layers import masked
from diffsinger_jax.pitch import hz_to_midi
from diffsinger_jax.tasks.acoustic.losses import (
    CURVE_LOSSES,
    DIFFUSION_LOSSES,
    DURATION_LOSSES,
    PITCH_LOSSES,
    curve_losses,
    duration_losses,
    mel_losses,
    pitch_losses,
)
from diffsinger_jax.tasks.acoustic.regularizers import UNREGULARIZED, Regularizers
from diffsinger_jax.types import Batch

MakeProcess = Callable[[Params], Process]
"""All params, for what is known of the data around the prior, -> process."""

_SHARED = 2**31 - 1
"""In the place of a row's number: what all rows of a batch draw together."""


class AuxiliaryOutputs(NamedTuple):
    """What the auxiliary model makes of a batch; a pytree.

    Attributes:
      z: f32[B, T, M], the auxiliary mel.
      note, residual, voiced_logits: f32[B, T], see `DiffSinger.predict_pitch`.
      log_frames: f32[B, N], durations; None where they are not predicted.
      curves: f32[B, T] by name, those that are predicted.
    """

    z: jax.Array
    note: jax.Array
    residual: jax.Array
    voiced_logits: jax.Array
    log_frames: jax.Array | None
    curves: Mapping[str, jax.Array]


def auxiliary_outputs(
    model: DiffSinger, params: Params, batch: Batch, key: jax.Array, rows: jax.Array, train: bool
) -> AuxiliaryOutputs:
    """All of them; with dropout in training, where each row has draws of its own."""
    variables = {"params": params}

    def call(method: Callable, part: int, *args: Any) -> Any:
        if not train:
            return model.apply(variables, *args, method=method)

        def of_row(row_key: jax.Array, *args: Any) -> Any:
            args = jax.tree.map(lambda x: x[None], args)
            rngs = {"dropout": row_key}
            out = model.apply(variables, *args, train=True, rngs=rngs, method=method)
            return jax.tree.map(lambda x: x[0], out)

        return jax.vmap(of_row)(row_keys(jax.random.fold_in(key, part), rows), *args)

    encoded = call(model.encode, 0, batch)
    note, residual, voiced_logits = call(model.predict_pitch, 2, encoded, batch)
    cond = model.apply(variables, encoded, batch, method=model.condition)
    z = call(model.auxiliary_mel, 3, cond, batch.mask)
    log_frames = call(model.predict_durations, 1, encoded, batch) if model.durations else None
    curves = call(model.predict_curves, 4, encoded, batch) if model.predicted_curves else {}
    return AuxiliaryOutputs(z, note, residual, voiced_logits, log_frames, curves)


def auxiliary_losses(
    model: DiffSinger, scaling: MelScaling, batch: Batch, outputs: AuxiliaryOutputs
) -> Losses:
    """The distances of these outputs to the singer's, by the names of the losses."""
    losses = mel_losses(outputs.z, scaling.scale(batch.mel), scaling.half_range, batch.mask)
    if outputs.log_frames is not None:
        losses |= duration_losses(
            outputs.log_frames, batch.ph_frames, batch.onset, batch.tokens > 0
        )
    if outputs.curves:
        losses |= curve_losses(outputs.curves, heard_curves(model, batch), batch.mask)
    if model.pitch == "none":
        return losses
    f0 = heard_f0(model, batch)
    of_pitch = pitch_losses(
        outputs.residual,
        outputs.voiced_logits,
        distance=hz_to_midi(f0) - outputs.note,
        voiced=f0 > 0,
        has_note=outputs.note > 0,
        mask=batch.mask,
        needs_notes=model.pitch in PITCH_FROM_NOTES,
    )
    return losses | of_pitch


def auxiliary_loss(model: DiffSinger, scaling: MelScaling, weights: Mapping[str, float]) -> LossFn:
    """Stage 1: auxiliary mel (L1 + SSIM), durations and pitch.

    Args:
      model: the acoustic model.
      scaling: of the corpus.
      weights: for each of mel_l1, mel_ssim, duration_phoneme, duration_note, pitch, voicing and
        curves; those of what the model does not predict are not used.
    """

    def parts(params: Params, batch: Batch, key: jax.Array, rows: jax.Array, train: bool) -> Losses:
        outputs = auxiliary_outputs(model, params, batch, key, rows, train)
        return auxiliary_losses(model, scaling, batch, outputs)

    left_out: tuple[str, ...] = () if model.pitch != "none" else PITCH_LOSSES
    left_out += () if model.durations else DURATION_LOSSES
    left_out += () if model.predicted_curves else CURVE_LOSSES
    return LossFn(parts, {name: w for name, w in weights.items() if name not in left_out})


def denoiser_inputs(
    model: DiffSinger, scaling: MelScaling, params: Params, batch: Batch
) -> tuple[jax.Array, jax.Array]:
    """Condition [B, T, H] and auxiliary mel z [B, T, M] of a batch, with nothing left to chance.

    A model without an auxiliary decoder has zeros in the place of the mel.
    """

    def apply(method: Callable, *given: Any) -> Any:
        return model.apply({"params": params}, *given, method=method)

    cond = apply(model.condition, apply(model.encode, batch), batch)
    if model.auxiliary == "none":
        return cond, jnp.zeros((*batch.mask.shape, model.mel_bins))
    return cond, apply(model.auxiliary_mel, cond, batch.mask)


def denoiser_loss(
    model: DiffSinger,
    scaling: MelScaling,
    make_process: MakeProcess,
    *,
    depth: float,
    distance: str,
    weighting: str = "uniform",
    regularizers: Regularizers = UNREGULARIZED,
) -> LossFn:
    """Stage 2: the distance between the denoiser's output and its target at random times.

    Without an auxiliary decoder the condition is learnt by it, too.

    Args:
      model: the acoustic model.
      scaling: of the corpus.
      make_process: see `MakeProcess`.
      depth: of the deepest times that are drawn (`Path.training_times`): K, or the path's whole
        depth to learn the naive sampler too.
      distance: a name in `DIFFUSION_LOSSES`.
      weighting: of the times of a flow, a name in `TIME_WEIGHTS`.
      regularizers: what of a batch is shown in training.
    """
    weigh = TIME_WEIGHTS[weighting]
    measure = DIFFUSION_LOSSES[distance]

    def parts(params: Params, batch: Batch, key: jax.Array, rows: jax.Array, train: bool) -> Losses:
        process = make_process(params)
        cond, prior = denoiser_inputs(model, scaling, params, batch)
        if model.auxiliary != "none":
            cond, prior = jax.lax.stop_gradient((cond, prior))
        x0, mask = scaling.scale(batch.mel), batch.mask
        if train:
            mask, cond, prior, x0 = regularizers.crop(key, rows, mask, cond, prior, x0)
        places = spread_places(jax.random.fold_in(key, _SHARED), rows)
        t = process.training_times(places, depth)
        eps = row_noise(key, rows, x0.shape[1:])
        x_t = process.marginal(x0, t, eps)
        if model.prior_field:  # its estimate looks at neighbouring frames
            x_t = masked(x_t, mask)
        shown = prior
        if train:
            cond, shown = regularizers.show(key, rows, cond, prior)
        output: Any = model.apply(
            {"params": params},
            process.trunk_input(x_t, t, prior),
            process.trunk_time(t),
            cond,
            shown,
            mask,
            method=model.denoise,
        )
        target = process.target(x0, x_t, t, eps, prior)
        error = weigh(t.astype(jnp.float32))[:, None, None] * measure(output - target)
        return {"diffusion": Mean.of(error, mask[..., None])}

    return LossFn(parts, {"diffusion": 1.0})


def residuals(
    model: DiffSinger, scaling: MelScaling, params: Params, batch: Batch
) -> tuple[jax.Array, ...]:
    """What auxiliary mels lack, and what their places are told apart by.

    Returns:
      bool[B, T] the mask; f32[B, T, M] z - auxiliary z; f32[B, T] level, f32[B, T] movement and
      f32[B, T, M] height, see `frame_features` and `local_height`.
    """
    _, prior = denoiser_inputs(model, scaling, params, batch)
    residual = scaling.scale(batch.mel) - prior
    return batch.mask, residual, *frame_features(prior), local_height(prior)
