"""Our numbers beside those of MoonInTheRiver/DiffSinger, for its four kinds of acoustic models."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from golden_measure import Found, missing

from diffsinger_jax.diffusion.samplers.ancestral import (
    ancestral_sampler,
    reverse_step,
    step_weights,
)
from diffsinger_jax.diffusion.samplers.plms import plms_sampler
from diffsinger_jax.diffusion.sampling import Sampling, shallow_start
from diffsinger_jax.diffusion.schedule import make_schedule
from diffsinger_jax.diffusion.timesteps import even_times, interval_times
from diffsinger_jax.interop.schedule_buffers import schedule_buffers
from diffsinger_jax.models.acoustic import AcousticModel
from diffsinger_jax.types import Batch

BOUNDS = {"ddpm_mel": 1e-3, "pndm10_mel": 1e-3}
"""Of the largest absolute difference; `BOUND` for what is not named here."""
BOUND, SCHEDULE_BOUND = 2e-5, 1e-6


NOT_COMPARED = ("x0", "eps", "t", "p_sample_noise", "ddpm_noise", "pndm10_noise")
NOT_COMPARED += ("pred_mel2ph", "pred_f0_denorm")
"""What was drawn, and what is another form of what is compared."""


def matches(folder: Path) -> bool:
    """Whether it is a checkpoint with its config, phone set and cases."""
    return all((folder / name).is_file() for name in ("phone_set.json", "cases.npz"))


def differences(folder: Path) -> Found:
    """Of each number that was recorded."""
    voice = import_folder(folder).voice
    with np.load(folder / "cases.npz") as arrays:
        cases = dict(arrays)
    far = model_differences(voice.acoustic, voice.params, cases, voice.sampling)
    found: Found = {name: (one, BOUNDS.get(name, BOUND)) for name, one in far.items()}
    buffers = schedule_buffers(make_schedule(voice.schedule))
    for name in (n.removeprefix("out_") for n in cases if n.startswith("out_schedule_")):
        ours, theirs = buffers[name.removeprefix("schedule_")], cases[f"out_{name}"]
        found[name] = float((np.abs(ours - theirs) / (np.abs(theirs) + 0.1)).max()), SCHEDULE_BOUND
    return found | {
        name: far for name, far in missing(cases, found).items() if name not in NOT_COMPARED
    }


def import_folder(folder: Path):
    """`Imported` of the checkpoint in a golden folder."""
    from diffsinger_jax.interop.torch_checkpoint import import_checkpoint

    return import_checkpoint(
        next(folder.glob("*.ckpt")), folder / "config.yaml", folder / "phone_set.json"
    )


def batch_of(cases: Mapping[str, np.ndarray]) -> Batch:
    """The cases' inputs."""
    tokens, mel2ph = cases["in_txt_tokens"].astype("i4"), cases["in_mel2ph"].astype("i4")
    per_phoneme, per_frame = np.zeros(tokens.shape, "f4"), np.zeros(mel2ph.shape, "f4")
    return Batch(
        tokens=tokens,
        note_midi=cases.get("in_pitch_midi", per_phoneme).astype("f4"),
        note_sec=cases.get("in_midi_dur", per_phoneme).astype("f4"),
        slur=cases.get("in_is_slur", per_phoneme).astype("i4"),
        onset=per_phoneme.astype("i4"),
        ph_frames=per_phoneme.astype("i4"),
        mel2ph=mel2ph,
        f0=cases.get("in_f0_hz", per_frame).astype("f4"),
        mel=np.zeros((*mel2ph.shape, 1), "f4"),
        mask=mel2ph > 0,
        speaker=np.zeros(len(tokens), "i4"),
        language=np.zeros(tokens.shape, "i4"),
    )


def our_numbers(
    acoustic: AcousticModel, params, cases: Mapping[str, np.ndarray], sampling: Sampling
) -> dict[str, np.ndarray]:
    """What the model computes of the cases that it has the parameters and inputs for.

    Every stage is given the reference's own input where it was recorded, but for those that go
    through all of it: aux_mel, ddpm_mel and pndm10_mel.
    """
    model = dataclasses.replace(acoustic.model, unmasked_convs=True)
    acoustic = dataclasses.replace(acoustic, model=model)
    batch, has = batch_of(cases), cases.__contains__
    call = functools.partial(acoustic._apply, params)
    k_step, gaussian = sampling.k_step, sampling.start == "gaussian"
    got = {}

    def frames_first(name):
        return jnp.asarray(np.swapaxes(cases[name], -1, -2))  # [..., M, T] -> [..., T, M]

    encoded = call("encode", batch) if "encoder" in params else cases.get("out_encoder_out")
    if "encoder" in params:
        got["encoder_out"] = encoded
    if has("out_pred_dur") and "duration_predictor" in params:
        got["pred_dur"] = call("predict_durations", encoded, batch)
    if has("out_pred_pitch_pred") and "pitch_predictor" in params:
        note, residual, voiced = call("predict_pitch", encoded, batch)
        log2_f0 = (note + residual - 69.0) / 12.0 + np.log2(440.0).astype("f4")
        got["pred_pitch_pred"] = jnp.stack([log2_f0, -voiced], axis=-1)
    if has("out_pred_cwt") and "pitch_predictor" in params:
        names = ("pred_cwt", "pred_f0_mean", "pred_f0_std")
        got |= dict(zip(names, call("predict_wavelets", encoded, batch), strict=True))
    cond = cases.get("out_decoder_inp")
    if "encoder" in params:
        cond = got["decoder_inp"] = call("condition", encoded, batch)
    prior = None
    if "auxiliary_decoder" in params:
        prior = call("auxiliary_mel", cond, batch.mask)
        got["aux_mel"] = acoustic.scaling.unscale(prior) * batch.mask[..., None]
    if "denoiser" not in params:
        return got

    prior = jnp.zeros((*batch.mask.shape, model.mel_bins)) if prior is None else prior
    path, process = acoustic.path, acoustic.make_process({"prior_scale": None, **params})
    predict_x0 = acoustic.predictor(params, batch, cond, prior, path.grid())
    if has("out_x0"):
        x0, eps, t = frames_first("out_x0"), frames_first("out_eps"), cases["out_t"].astype("i4")
        x_t = process.marginal(x0, jnp.asarray(t), eps)
        eps_pred = call("denoise", frames_first("out_x_t"), t.astype("f4"), cond, prior, batch.mask)
        weights = step_weights(path, t[:, None, None], t[:, None, None] - 1)
        noise = frames_first("out_p_sample_noise")
        step = reverse_step(predict_x0, frames_first("out_x_t"), jnp.asarray(t), weights, noise)
        got |= {
            "x_t": x_t.swapaxes(1, 2),
            "eps_pred": eps_pred.swapaxes(1, 2),
            "diff_loss_l1": jnp.abs(eps_pred - eps).mean(),
            "p_sample": step.swapaxes(1, 2),
        }

    def mel(z):
        return acoustic.scaling.unscale(z) * batch.mask[..., None]

    start = "gaussian" if gaussian else "auxiliary"
    if has("out_ddpm_noise"):
        draws = frames_first("out_ddpm_noise")[int(gaussian) :]  # the first is thrown away there

        def recorded(t):
            return draws[k_step - t]

        times = even_times(path, k_step, k_step)
        x = shallow_start(process, prior, jnp.asarray(times[0]), recorded(k_step), start)
        got["ddpm_mel"] = mel(ancestral_sampler(path, predict_x0, x, recorded, times))
    if has("out_pndm10_noise"):
        first = frames_first("out_pndm10_noise")
        start_time = path.at_depth(np.asarray(k_step))
        x = shallow_start(process, prior, jnp.asarray(start_time), first, start)
        times = interval_times(path, k_step, 10)
        got["pndm10_mel"] = mel(plms_sampler(path, predict_x0, x, lambda t: first, times))
    return got


def model_differences(acoustic, params, cases, sampling) -> dict[str, float]:
    """Largest absolute difference of each number that was recorded."""
    cases = dict(cases)
    got = jax.jit(lambda p: our_numbers(acoustic, p, cases, sampling))(params)
    return {
        name: float(np.abs(np.asarray(value) - cases[f"out_{name}"]).max())
        for name, value in got.items()
    }
