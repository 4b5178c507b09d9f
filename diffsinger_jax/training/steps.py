"""One update, as pure functions: the losses of each stage and the step around them."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from diffsinger_jax.diffusion.processes import Process, q_sample
from diffsinger_jax.models.diffsinger import DiffSinger, hz_to_midi
from diffsinger_jax.models.scaling import MelScaling
from diffsinger_jax.training.losses import (
    DIFFUSION_LOSSES,
    Mean,
    duration_losses,
    mel_losses,
    pitch_losses,
)
from diffsinger_jax.training.state import Params, TrainState, join_params
from diffsinger_jax.types import Batch

Losses = dict[str, Mean]
LossFn = Callable[[Params, Batch, jax.Array, bool], tuple[jax.Array, Losses]]
"""(all params, batch, key, train) -> the scalar to make small, and its parts."""

MakeProcess = Callable[[jax.Array], Process]
"""prior_scale f32[M] -> process; a process that has no use for the scale ignores it."""


def auxiliary_loss(model: DiffSinger, scaling: MelScaling, weights: dict[str, float]) -> LossFn:
    """Stage 1: blurry mel (L1 + SSIM), durations and pitch.

    Args:
      model: the acoustic model.
      scaling: of the corpus.
      weights: for each of mel_l1, mel_ssim, duration_phoneme, duration_note, pitch, voicing.
    """

    def loss(params: Params, batch: Batch, key: jax.Array, train: bool):
        encoder_key, duration_key, pitch_key, decoder_key = jax.random.split(key, 4)

        def call(method, dropout_key, *args):
            rngs = {"dropout": dropout_key} if train else None
            return model.apply({"params": params}, *args, train=train, rngs=rngs, method=method)

        encoded = call(model.encode, encoder_key, batch)
        log_frames = call(model.predict_durations, duration_key, encoded, batch)
        note, residual, voiced_logits = call(model.predict_pitch, pitch_key, encoded, batch)
        cond = model.apply({"params": params}, encoded, batch, method=model.condition)
        z = call(model.auxiliary_mel, decoder_key, cond, batch.mask)

        voiced = batch.f0 > 0
        parts = {
            **mel_losses(z, scaling.scale(batch.mel), scaling.half_range, batch.mask),
            **duration_losses(log_frames, batch.ph_frames, batch.onset, batch.tokens > 0),
            **pitch_losses(
                residual,
                voiced_logits,
                distance=hz_to_midi(batch.f0) - note,
                voiced=voiced,
                mask=batch.mask,
            ),
        }
        total = sum(weights[name] * part.compute() for name, part in parts.items())
        return total, parts

    return loss


def denoiser_inputs(
    model: DiffSinger, scaling: MelScaling, params: Params, batch: Batch
) -> tuple[jax.Array, jax.Array]:
    """Condition [B, T, H] and blurry mel z [B, T, M] of a batch, with nothing left to chance."""
    variables = {"params": params}
    encoded = model.apply(variables, batch, method=model.encode)
    cond = model.apply(variables, encoded, batch, method=model.condition)
    return cond, model.apply(variables, cond, batch.mask, method=model.auxiliary_mel)


def denoiser_loss(
    model: DiffSinger,
    scaling: MelScaling,
    make_process: MakeProcess,
    *,
    t_below: int,
    distance: str,
) -> LossFn:
    """Stage 2: the distance between the denoiser's output and its target at random steps.

    Args:
      model: the acoustic model.
      scaling: of the corpus.
      make_process: see `MakeProcess`.
      t_below: steps are drawn from [0, t_below): K, or S to learn the naive sampler too.
      distance: a name in `DIFFUSION_LOSSES`.
    """
    measure = DIFFUSION_LOSSES[distance]

    def loss(params: Params, batch: Batch, key: jax.Array, train: bool):
        t_key, eps_key = jax.random.split(key)
        process = make_process(params["prior_scale"])
        cond, prior = denoiser_inputs(model, scaling, params, batch)
        cond, prior = jax.lax.stop_gradient((cond, prior))
        x0 = scaling.scale(batch.mel)
        t = spread_steps(t_key, x0.shape[0], t_below)
        eps = jax.random.normal(eps_key, x0.shape)
        x_t = q_sample(process.schedule, x0, t, eps)
        output = model.apply(
            {"params": params},
            process.trunk_input(x_t, t, prior),
            t,
            cond,
            prior,
            batch.mask,
            method=model.denoise,
        )
        target = process.target(x0, x_t, t, eps, prior)
        part = Mean.of(measure(output - target), batch.mask[..., None])
        return part.compute(), {"diffusion": part}

    return loss


def spread_steps(key: jax.Array, rows: int, below: int) -> jax.Array:
    """Steps for the rows of a batch, i32[B]: each uniform in [0, below), together evenly spread.

    One random offset for equal strides (Kingma et al. 2021, variational diffusion models,
    appendix I.1): the loss of a small batch then varies less than with independent draws.
    """
    offset = jax.random.uniform(key)
    place = (offset + jnp.arange(rows) / rows) % 1.0
    return jnp.minimum((place * below).astype(jnp.int32), below - 1)


def train_step(
    state: TrainState,
    frozen: Params,
    batch: Batch,
    key: jax.Array,
    *,
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    ema_decay: float,
) -> tuple[TrainState, dict]:
    """One update.

    Args:
      state: before.
      frozen: the params that this stage does not train.
      batch: of any shape.
      key: of the run; the step's own is folded in from it.
      loss_fn: of the stage.
      optimizer: of the stage.
      ema_decay: of the moving average; it warms up as (1 + step) / (10 + step).

    Returns:
      The state after it, and metrics: a `Mean` for each loss, "loss" and "gradient_norm".
    """
    step_key = jax.random.fold_in(key, state.step)

    def objective(params: Params):
        return loss_fn(join_params(frozen, params), batch, step_key, True)

    (loss, parts), gradients = jax.value_and_grad(objective, has_aux=True)(state.params)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)

    step = state.step.astype(jnp.float32)
    decay = jnp.minimum(ema_decay, (1.0 + step) / (10.0 + step))
    ema = optax.incremental_update(params, state.ema, 1.0 - decay)
    metrics = {**parts, "loss": loss, "gradient_norm": optax.tree.norm(gradients)}
    return TrainState(state.step + 1, params, ema, opt_state), metrics


def residual_squares(
    model: DiffSinger, scaling: MelScaling, params: Params, batch: Batch
) -> tuple[jax.Array, jax.Array]:
    """Sums for the spread of real mels around the blurry ones.

    Returns:
      f32[M] sum of (z - blurry z)^2 over real frames; f32[] number of frames.
    """
    _, prior = denoiser_inputs(model, scaling, params, batch)
    error = jnp.where(batch.mask[..., None], scaling.scale(batch.mel) - prior, 0.0)
    return (error**2).sum(axis=(0, 1)), batch.mask.sum().astype(jnp.float32)
