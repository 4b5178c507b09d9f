"""Our numbers beside those of openvpi/DiffSinger's acoustic models."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from golden_measure import BOUND, SAMPLED_BOUND, Found, missing, relative

from diffsinger_jax.diffusion.processes import logit_normal_weights
from diffsinger_jax.diffusion.sampling import Sampling, shallow_start
from diffsinger_jax.diffusion.schedule import make_schedule
from diffsinger_jax.interop.schedule_buffers import schedule_buffers
from diffsinger_jax.models.acoustic import AcousticModel
from diffsinger_jax.models.diffsinger import SPEAKER_MIX, DiffSinger
from diffsinger_jax.modules.stretch import phoneme_progress
from diffsinger_jax.types import Batch

NOT_COMPARED = ("dpmsolver", "unipc", "times_dpmsolver", "times_unipc")
"""Their solvers run on a schedule that is cut off at the start, ours on all of it."""

SAMPLERS = {
    # in a name of a case -> how it is sampled; {n} is the number in it
    "euler": ("euler", "steps"),
    "rk2_": ("rk2", "steps"),
    "rk4_": ("rk4", "steps"),
    "rk5_": ("rk5", "steps"),
    "ddim": ("ddim", "plms_interval"),
    "pndm": ("plms", "plms_interval"),
}


def matches(folder: Path) -> bool:
    """Whether it is an acoustic experiment with its cases."""
    needed = ("config.yaml", "phonemes.json", "cases.npz")
    if not all((folder / name).is_file() for name in needed):
        return False
    return "acoustic_task" in (folder / "config.yaml").read_text(encoding="utf-8")


def differences(folder: Path) -> Found:
    """Of each number that was recorded."""
    with np.load(folder / "cases.npz") as arrays:
        cases = dict(arrays)
    voice = import_folder(folder).voice
    got = jax.jit(lambda params: acoustic_numbers(voice.acoustic, params, cases))(voice.params)
    got |= schedule_numbers(voice, cases)
    found: Found = {}
    for name, value in got.items():
        theirs = cases[name if name in cases else f"out_{name}"]
        sampled = name.endswith("_mel") and name != "aux_mel"
        found[name] = relative(value, theirs), SAMPLED_BOUND if sampled else BOUND
    return found | missing(cases, found, NOT_COMPARED)


def schedule_numbers(voice, cases) -> dict[str, np.ndarray]:
    """The buffers of a diffusion's schedule."""
    names = [name for name in cases if name.startswith("out_schedule_")]
    if not names:
        return {}
    buffers = schedule_buffers(make_schedule(voice.schedule))
    return {
        name.removeprefix("out_"): buffers[name.removeprefix("out_schedule_")] for name in names
    }


def import_folder(folder: Path):
    """`Imported` of the experiment in a golden folder."""
    from diffsinger_jax.interop.openvpi.checkpoint import import_experiment

    return import_experiment(folder)


def batch_of(cases: Mapping[str, np.ndarray], names: tuple[str, ...], mix: bool = False) -> Batch:
    """The cases' inputs."""
    tokens, mel2ph = cases["in_txt_tokens"].astype("i4"), cases["in_mel2ph"].astype("i4")
    per_phoneme = np.zeros(tokens.shape, "f4")
    curves = {name: np.broadcast_to(cases[f"in_{name}"], mel2ph.shape) for name in names}
    if mix:
        weights = np.asarray(cases["in_spk_mix"], "f4")
        curves[SPEAKER_MIX] = np.broadcast_to(weights, (*mel2ph.shape, len(weights)))
    return Batch(
        tokens=tokens,
        note_midi=per_phoneme,
        note_sec=per_phoneme,
        slur=per_phoneme.astype("i4"),
        onset=per_phoneme.astype("i4"),
        ph_frames=per_phoneme.astype("i4"),
        mel2ph=mel2ph,
        f0=cases["in_f0_hz"],
        mel=np.zeros((*mel2ph.shape, 1), "f4"),
        mask=mel2ph > 0,
        speaker=cases.get("in_spk_id", np.zeros(len(tokens))).astype("i4"),
        # Theirs count from 1, and 0 is none: to these models -1 is.
        language=cases.get("in_languages", per_phoneme).astype("i4") - 1,
        curves=curves,
    )


def seeing_padding(acoustic: AcousticModel) -> AcousticModel:
    """The model with padding in it as in theirs."""
    model = dataclasses.replace(acoustic.model, unmasked_convs=True, condition_on_padding=True)
    return dataclasses.replace(acoustic, model=model)


def frames_first(x: np.ndarray) -> jax.Array:
    """[..., B, 1, M, T] -> [..., B, T, M]."""
    return jnp.asarray(np.swapaxes(np.squeeze(x, -3), -1, -2))


def bins_first(x: jax.Array) -> jax.Array:
    """[B, T, M] -> [B, 1, M, T]."""
    return jnp.swapaxes(x, 1, 2)[:, None]


def acoustic_numbers(
    acoustic: AcousticModel, params, cases: Mapping[str, np.ndarray]
) -> dict[str, jax.Array]:
    """What the model computes of the cases, by the names of what was recorded."""
    acoustic = seeing_padding(acoustic)
    model, names = acoustic.model, acoustic.model.curves
    batch = batch_of(cases, names)
    call = functools.partial(acoustic._apply, params)
    got = {"encoder_out": call("encode", batch)}
    cond = got["decoder_inp"] = call("condition", got["encoder_out"], batch)
    if "out_stretch" in cases:
        got["stretch"] = phoneme_progress(jnp.asarray(batch.mel2ph), batch.tokens.shape[1])
    if "in_spk_mix" in cases:
        mixed = batch_of(cases, names, mix=True)
        got["decoder_inp_spk_mix"] = call("condition", got["encoder_out"], mixed)
    prior = prior_of(acoustic, params, batch, cond)
    if model.auxiliary != "none":
        got["aux_mel"] = acoustic.scaling.unscale(prior) * batch.mask[..., None]
        decoded = model.apply({"params": params}, cond, batch.mask, method=_decoded)
        target = acoustic.scaling.scale(jnp.asarray(cases["in_mel"]))
        got["aux_mel_loss"] = 0.2 * jnp.abs(decoded - target).mean()

    def denoise(x, step, rows=slice(None)):
        told = jnp.asarray(step, jnp.float32)
        return call("denoise", x, told, cond[rows], prior[rows], jnp.asarray(batch.mask)[rows])

    got["backbone"] = bins_first(
        denoise(frames_first(cases["in_backbone_x"]), cases["in_backbone_step"])
    )
    got |= _training(acoustic, params, cases, batch, denoise)
    got |= _sampled(acoustic, params, cases, batch, cond, prior)
    return got


def prior_of(acoustic: AcousticModel, params, batch: Batch, cond: jax.Array) -> jax.Array:
    """The auxiliary mel, z [B, T, M]; zeros where the model has none."""
    if acoustic.model.auxiliary == "none":
        return jnp.zeros((*batch.mask.shape, acoustic.model.mel_bins))
    return acoustic._apply(params, "auxiliary_mel", cond, batch.mask)


def _decoded(model: DiffSinger, cond, mask):
    return model.auxiliary_decoder(cond, mask, train=False)


def _training(acoustic, params, cases, batch, denoise) -> dict[str, jax.Array]:
    process = acoustic.make_process({"prior_scale": None, **params})
    x0 = acoustic.scaling.scale(jnp.asarray(cases["in_mel"]))
    noise, flow = frames_first(cases["train_noise"]), acoustic.process == "velocity"
    if flow:
        start = float(cases["reflow_t_start"])
        t = process.training_times(jnp.asarray(cases["train_t_uniform"]), 1.0 - start)
    else:
        t = jnp.asarray(cases["train_t"].astype("i4"))
    x_t = process.marginal(x0, t, noise)
    output = denoise(frames_first(cases["out_x_t"]), process.trunk_time(t))
    target = process.target(x0, x_t, t, noise, x0)
    error = jnp.abs(output - target) * batch.mask[..., None]
    got = {
        "x0": bins_first(x0),
        "x_t": bins_first(x_t),
        "backbone_step": process.trunk_time(t),
        ("v_pred" if flow else "eps_pred"): bins_first(output),
        "mel_loss": (error**2).mean(),
    }
    if flow:
        weights = logit_normal_weights(t)[:, None, None]
        got |= {
            "loss_l1_plain": error.mean(),
            "loss_l1_lognorm": (weights * error).mean(),
            "loss_l2_plain": (error**2).mean(),
            "loss_l2_lognorm": (weights * error**2).mean(),
        }
    return got


def _sampled(acoustic, params, cases, batch, cond, prior) -> dict[str, jax.Array]:
    """Whole sampling with the recorded noise."""
    process, path = acoustic.make_process({"prior_scale": None, **params}), acoustic.path
    got = {}
    for name in sorted(cases):
        case = name.removeprefix("out_").removeprefix("reflow_").removesuffix("_mel")
        if not name.endswith("_mel") or case == "aux" or name == "in_mel":
            continue
        shallow = acoustic.model.auxiliary != "none"
        found = _how(case, cases, path, shallow)
        if found is None:
            continue
        sampling, noises, recorded = found
        rows = slice(0, noises.shape[0])  # pndm is recorded for one alone
        some = jax.tree.map(lambda x, rows=rows: jnp.asarray(x)[rows], batch)
        got[name.removeprefix("out_")] = sample(
            acoustic, params, some, cond[rows], prior[rows], sampling, noises, recorded
        )
        if (asked := f"times_{case}") in cases:
            calls = sampling.sampler.model_times(path, sampling.times(path))
            if not sampling.ends_at_data:
                calls = np.append(calls, 0)  # theirs calls once more, in vain
            got[asked] = process.trunk_time(jnp.asarray(calls))
    return got


def sample(  # long: what a sampling is made of
    acoustic, params, batch, cond, prior, sampling, first, noise_at=None
) -> jax.Array:
    """The log mel [B, T, M], 0 on padding, from the recorded noises [B, T, M]."""
    path, process = acoustic.path, acoustic.make_process({"prior_scale": None, **params})
    z = prior
    if sampling.k_step > 0:
        sampler, model_times = sampling.sampler, sampling.model_times(path)
        predict = acoustic.predictor(
            params, batch, cond, prior, model_times, estimate=sampler.estimate
        )
        start = jnp.asarray(path.at_depth(sampling.k_step))
        x = shallow_start(process, prior, start, first, sampling.start)
        z = sampler.run(path, predict, x, noise_at, sampling.times(path))
    return acoustic.scaling.unscale(z) * batch.mask[..., None]


def _how(case, cases, path, shallow):
    """(Sampling, start noise [B, T, M], noise by time) of a case, or None for an unknown one."""
    start = "auxiliary" if shallow else "gaussian"
    if case == "ddpm":
        noise = frames_first(cases["ddpm_noise"])
        depth = int(cases["ddpm_depth"])
        sampling = Sampling(depth, depth, "ddpm", start="auxiliary", clip_x0=False)
        return sampling, noise[0], lambda t: noise[depth - t]
    key = next((key for key in SAMPLERS if case.startswith(key)), None)
    if key is None:
        return None
    method, says = SAMPLERS[key]
    number = int(case.removeprefix(key).partition("_")[0])
    if says == "steps":
        t_start = float(cases["reflow_t_start"]) if shallow else 0.0
        if "_from" in case:
            t_start = int(case.partition("_from")[2]) / 100
        noise = frames_first(cases["reflow_noise"])
        depth = 1.0 - t_start
        return Sampling(depth, number, method, start=start), noise, lambda t: noise
    noise = frames_first(cases["pndm20_start_noise" if method == "plms" else "start_noise"])
    calls = len(cases[f"times_{case}"]) - (method == "plms")
    depth = min(calls * number, round(path.depth))
    sampling = Sampling(
        depth, calls, method, start=start, plms_interval=number, ends_at_data=False, clip_x0=False
    )
    return sampling, noise, lambda t: noise
