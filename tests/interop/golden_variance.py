"""Our numbers beside openvpi/DiffSinger's, for its variance models."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from golden_measure import BOUND, SAMPLED_BOUND, Found, missing, relative

from diffsinger_jax import features
from diffsinger_jax.diffusion.processes import logit_normal_weights
from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.diffusion.schedule import make_schedule
from diffsinger_jax.interop.schedule_buffers import schedule_buffers
from diffsinger_jax.models.scaling import PITCH
from diffsinger_jax.models.variance import VarianceInputs
from diffsinger_jax.models.variance_model import VarianceModel
from diffsinger_jax.modules.length_regulator import fit_to_words
from diffsinger_jax.modules.melody import Notes, note_line, sine_kernel
from diffsinger_jax.modules.stretch import phoneme_progress
from diffsinger_jax.tasks.variance.losses import duration_losses

DURATION_WEIGHTS = {"duration_phoneme": 0.3, "duration_word": 1.0, "duration_sentence": 3.0}
SAMPLERS = {"euler": "steps", "rk2_": "steps", "rk4_": "steps", "rk5_": "steps", "ddim": "speedup"}
FRAMES_PER_SEC = 44_100 / 512


def matches(folder: Path) -> bool:
    """Whether a golden folder holds a variance experiment."""
    config = folder / "config.yaml"
    return config.is_file() and "variance_task" in config.read_text(encoding="utf-8")


def differences(folder: Path) -> Found:
    """Largest difference of each number that was recorded, by the array's range, and its bound."""
    with np.load(folder / "cases.npz") as arrays:
        cases = dict(arrays)
    voice = import_folder(folder).voice
    numbers = jax.jit(lambda params: variance_numbers(voice.variance, params, cases))
    got = numbers(voice.params) | schedule_numbers(voice, cases)
    found = {name: _beside(name, value, cases) for name, value in got.items()}
    return found | missing(cases, found)


def _beside(name, ours, cases) -> tuple[float, float]:
    theirs = cases[name if name in cases else f"out_{name}"]
    sampled = any(name.removeprefix("retake_").startswith(key) for key in SAMPLERS)
    return relative(ours, theirs), SAMPLED_BOUND if sampled else BOUND


def import_folder(folder: Path):
    """`ImportedVariance` of a golden folder."""
    from diffsinger_jax.interop.openvpi.variance import import_variance

    return import_variance(folder)


def schedule_numbers(voice, cases) -> dict[str, np.ndarray]:
    """The buffers of a diffusion's schedule."""
    names = [name for name in cases if name.startswith("out_schedule_")]
    if not names:
        return {}
    buffers = schedule_buffers(make_schedule(voice.schedule))
    return {
        name.removeprefix("out_"): buffers[name.removeprefix("out_schedule_")] for name in names
    }


def seeing_padding(variance: VarianceModel) -> VarianceModel:
    """The model with padding in it as in theirs."""
    model = variance.model.clone(unmasked_convs=True, condition_on_padding=True)
    return dataclasses.replace(variance, model=model)


def inputs_of(
    cases: Mapping[str, np.ndarray],
    curves: tuple[str, ...],
    *,
    retake: str = "",
    expressive: bool = False,
) -> VarianceInputs:
    """The cases' inputs.

    Args:
      cases: see the golden README.
      curves: that are generated.
      retake: prefix of the masks, "in_retake_" or "train_retake_"; "" generates all of nothing.
      expressive: whether the recorded expressiveness is asked for.
    """
    tokens, mel2ph = cases["in_txt_tokens"].astype("i4"), cases["in_mel2ph"].astype("i4")
    ph2word = cases["in_ph2word"]
    batch = features.empty_batch(
        rows=len(tokens), frames=mel2ph.shape[1], phonemes=tokens.shape[1], mel_bins=1
    )
    batch = batch._replace(
        tokens=tokens,
        onset=(np.diff(ph2word, prepend=0) > 0).astype("i4"),
        ph_frames=cases["in_ph_dur"].astype("i4"),
        mel2ph=mel2ph,
        mask=mel2ph > 0,
        speaker=cases.get("in_spk_id", np.zeros(len(tokens))).astype("i4"),
        language=np.maximum(cases.get("in_languages", tokens * 0).astype("i4") - 1, 0),
        curves={name: cases[f"in_{name}"] if retake else batch.f0 for name in curves},
    )
    everywhere = np.ones(mel2ph.shape, bool)
    masks = dict.fromkeys((PITCH, *curves), everywhere)
    if retake:
        masks = {name: cases.get(f"{retake}{name}", everywhere) for name in curves}
        masks[PITCH] = cases["in_pitch_retake" if retake == "in_retake_" else f"{retake}pitch"]
    return VarianceInputs(
        batch=batch,
        key=cases["in_midi"].astype("i4"),
        notes=Notes(
            midi=cases["in_note_midi"],
            rest=cases["in_note_rest"],
            frames=cases["in_note_dur"].astype("i4"),
            glide=cases.get("in_note_glide", cases["in_note_dur"] * 0).astype("i4"),
            mel2note=cases["in_mel2note"].astype("i4"),
        ),
        line=cases["in_base_pitch"],
        pitch=cases["in_pitch"] if retake else batch.f0,
        retake=masks,
        expressiveness=cases["in_pitch_expr"] if expressive else np.ones(mel2ph.shape, "f4"),
    )


def channels_last(x: np.ndarray) -> jax.Array:
    """[B, F, R, T] -> [B, T, F R]."""
    x = jnp.asarray(x)
    return jnp.moveaxis(x, -1, 1).reshape(x.shape[0], x.shape[-1], -1)


def curves_first(x: jax.Array, curves: int) -> jax.Array:
    """[B, T, F R] -> [B, F, R, T]."""
    return jnp.moveaxis(x.reshape(*x.shape[:2], curves, -1), 1, -1)


def variance_numbers(
    variance: VarianceModel, params, cases: Mapping[str, np.ndarray]
) -> dict[str, jax.Array]:
    """What the model computes of the cases, by the names of what was recorded."""
    variance = seeing_padding(variance)
    model = variance.model
    inputs = inputs_of(cases, model.curves)
    call = functools.partial(variance.apply, params)
    got = {"encoder_out": call("encode", inputs.batch)}
    got["in_base_pitch"] = note_line(inputs.notes, FRAMES_PER_SEC)
    got["midi_smooth_kernel"] = sine_kernel(0.06 * FRAMES_PER_SEC)
    if model.durations != "none":
        got |= duration_numbers(call, inputs, got["encoder_out"], cases)
    if model.stretch:
        got["stretch"] = phoneme_progress(inputs.batch.mel2ph, inputs.batch.tokens.shape[1])
    if model.melody_settings:
        got["melody_encoder_out"] = call("encode_melody", inputs.notes)
    got |= _sampled(variance, params, cases, inputs, "")
    retake = inputs_of(cases, model.curves, retake="in_retake_", expressive=True)
    got |= _sampled(variance, params, cases, retake, "retake_")
    train = inputs_of(cases, model.curves, retake="train_retake_")
    return got | _training(variance, params, cases, train)


def duration_numbers(call, inputs, encoded, cases) -> dict[str, jax.Array]:
    """What is predicted of durations, fitted to the words, and their loss."""
    log_frames, mask = call("predict_durations", encoded, inputs), inputs.batch.tokens > 0
    frames = jnp.maximum(jnp.expm1(log_frames), 0.0) * mask
    aligned = fit_to_words(frames, jnp.asarray(cases["in_ph2word"]), cases["in_word_dur"])
    longest = cases["out_mel2ph_aligned"].shape[1]
    ends = jnp.cumsum(aligned, axis=1)  # [B, N]
    reached = jnp.arange(longest)[None, :, None] >= ends[:, None, :]
    mel2ph = jnp.where(jnp.arange(longest)[None] < ends[:, -1:], 1 + reached.sum(axis=2), 0)
    losses = duration_losses(log_frames, inputs.batch)
    # Theirs divides by all places, padding too.
    phonemes, words = cases["in_txt_tokens"].size, cases["in_ph_num"].size
    places = {"duration_phoneme": phonemes, "duration_word": words}
    loss = sum(
        weight * losses[name].total / places.get(name, len(mask))
        for name, weight in DURATION_WEIGHTS.items()
    )
    return {
        "dur_pred": frames,
        "dur_pred_unclamped": jnp.expm1(log_frames),
        "dur_aligned": aligned,
        "mel2ph_aligned": mel2ph,
        "dur_loss": loss,
    }


def _sampled(variance, params, cases, inputs, prefix) -> dict[str, jax.Array]:
    """Pitch, and curves of it, by each sampler that was recorded."""
    call, model = functools.partial(variance.apply, params), variance.model
    expanded = variance.expanded(params, inputs)
    cond = call("pitch_condition", expanded, inputs)
    got = {f"{prefix}pitch_cond": cond}
    cases_of = [
        name.removeprefix(f"out_{prefix}").removesuffix("_delta_pitch")
        for name in cases
        if name.startswith(f"out_{prefix}") and name.endswith("_delta_pitch")
    ]
    for case in (name for name in cases_of if not name.startswith("retake_")):
        key = next(key for key in SAMPLERS if case.startswith(key))
        number = int(case.removeprefix(key))
        generator = variance.pitch_generator(params)
        z = from_noise(variance, generator, cond, inputs, cases["pitch_noise"], key, number)
        distance = variance.pitch_scaling.unscale(z)[..., 0]
        got[f"{prefix}{case}_delta_pitch"] = distance
        pitch = inputs.pitch if prefix else call("base", inputs) + distance
        shown = inputs._replace(pitch=pitch)
        curve_cond = call("curve_condition", expanded, shown)
        if key + str(number) in ("euler6", "ddim100"):
            got[f"{prefix}variance_cond"] = curve_cond
        generator = variance.curve_generator(params)
        noise = cases["variance_noise"]
        z_curves = from_noise(variance, generator, curve_cond, inputs, noise, key, number)
        values = variance.curve_scaling.unscale(z_curves)
        for i, name in enumerate(model.curves):
            got[f"{prefix}{case}_{name}"] = values[..., i]
        if f"out_{prefix}{case}_pitch_raw" in cases:
            got[f"{prefix}{case}_pitch_raw"] = z
            raw = curves_first(z_curves, len(model.curves))
            got[f"{prefix}{case}_variance_raw"] = raw.swapaxes(2, 3)
    return got


def from_noise(variance, generator, cond, inputs, noise, key, number) -> jax.Array:
    """z [B, T, D] of the recorded noise."""
    path, x = variance.path, channels_last(noise)
    if key == "ddim":
        steps = round(path.depth) // number
        sampling = Sampling(
            round(path.depth),
            steps,
            "ddim",
            start="gaussian",
            plms_interval=number,
            ends_at_data=False,
            clip_x0=False,
        )
    else:
        sampling = Sampling(1.0, number, key.rstrip("_"), start="gaussian")
    times, sampler = sampling.times(path), sampling.sampler
    predict = generator.predictor(
        cond,
        jnp.zeros_like(x),
        jnp.asarray(inputs.batch.mask),
        sampling.model_times(path),
        estimate=sampler.estimate,
    )
    return sampler.run(path, predict, x, lambda t: x, times)


def _training(variance, params, cases, inputs) -> dict[str, jax.Array]:
    """The losses of the recorded draws, and what leads to them."""
    call, model = functools.partial(variance.apply, params), variance.model
    expanded = variance.expanded(params, inputs)
    distance = jnp.asarray(inputs.pitch - call("base", inputs))[..., None]
    values = jnp.stack([inputs.batch.curves[name] for name in model.curves], axis=-1)
    parts = {
        "pitch": (
            variance.pitch_generator(params),
            call("pitch_condition", expanded, inputs),
            variance.pitch_scaling.scale(distance),
        ),
        "variance": (
            variance.curve_generator(params),
            call("curve_condition", expanded, inputs),
            variance.curve_scaling.scale(values),
        ),
    }
    got = {}
    for part, (generator, cond, x0) in parts.items():
        process, curves = generator.process, 1 if part == "pitch" else len(model.curves)
        t, noise = jnp.asarray(cases[f"train_t_{part}"]), cases[f"train_noise_{part}"]
        noise = channels_last(noise)
        t = t if variance.process == "velocity" else t.astype(jnp.int32)
        x_t = process.marginal(x0, t, noise)
        output = generator.output(x_t, t, cond, x0, jnp.asarray(inputs.batch.mask))
        error = (output - process.target(x0, x_t, t, noise, x0)) * inputs.batch.mask[..., None]
        weights = logit_normal_weights(t) if variance.process == "velocity" else jnp.ones(len(t))
        name = f"train_{part}"
        x0_shape = x0.reshape(*x0.shape[:2], curves, -1)
        got |= {
            f"{name}_cond": cond,
            f"{name}_x0": x0 if curves == 1 else jnp.moveaxis(x0_shape, 2, 1),
            f"{name}_x_t": curves_first(x_t, curves),
            f"{name}_step": process.trunk_time(t),
            f"{name}_pred": curves_first(output, curves),
            f"{'pitch' if curves == 1 else 'var'}_loss": (weights[:, None, None] * error**2).mean(),
        }
    return got
