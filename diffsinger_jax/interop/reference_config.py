"""The reference's `config.yaml` and `phone_set.json` -> what a voice of ours is made of."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.flat_config import FlatConfig
from diffsinger_jax.types import CorpusInfo, MelSpec, Vocabulary

RESERVED = ("<pad>", "<EOS>", "<UNK>")
"""Ids 0, 1 and 2 of its vocabulary, before the phones."""

PITCH_KINDS = {"frame": "frame", "cwt": "wavelet"}
"""Its names of pitch predictors, and ours."""

ONLY = {
    "encoder_type": ("fft", "fft"),
    "decoder_type": ("fft", "fft"),
    "diff_decoder_type": ("wavenet", "wavenet"),
    "ffn_padding": ("SAME", "SAME"),
    "ffn_act": ("gelu", "gelu"),
    "dur_loss": ("mse", "mse"),
    "pitch_norm": ("log", "log"),
    "pitch_ar": (False, False),
    "use_spk_id": (False, False),
    "use_spk_embed": (False, False),
    "use_energy_embed": (False, False),
}
"""Settings of which one value is known here: key -> (that value, what a missing key means)."""


class ReferenceModel(NamedTuple):
    """What a config says.

    Attributes:
      model: keyword arguments of `DiffSinger`.
      schedule: name and keyword arguments of the noise schedule.
      sampling: as in a voice.
      info: mel, vocabulary and range.
      requires: as in a voice.
      behaviours: sentences that say which of the reference's ways are active.
    """

    model: dict[str, Any]
    schedule: dict[str, Any]
    sampling: Sampling
    info: CorpusInfo
    requires: tuple[str, ...]
    behaviours: tuple[str, ...]


def read_phone_set(path: Path) -> tuple[str, ...]:
    """Phonemes in order of their ids, from 1: EOS, UNK, then the file's.

    Raises:
      InputError: if the file is not a JSON list of different names.
    """
    try:
        phones = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the phone set {path}: {error.strerror}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not JSON ({error}); give phone_set.json") from error
    if not (isinstance(phones, list) and phones and all(isinstance(p, str) for p in phones)):
        raise InputError(f"{path} is not a list of phones; give the model's phone_set.json")
    phones = [phone for phone in phones if phone not in RESERVED]
    if len(set(phones)) != len(phones):
        twice = next(phone for phone in phones if phones.count(phone) > 1)
        raise InputError(f"{path} names the phone {twice!r} twice; give the model's own file")
    return (*RESERVED[1:], *phones)


def interpret(  # long: one line for each setting of the reference
    config: FlatConfig,
    phonemes: tuple[str, ...],
    *,
    name: str,
    licence: str,
    language: str,
    mel_range: tuple[np.ndarray, np.ndarray],
) -> ReferenceModel:
    """What the config says, in our words.

    Args:
      config: see `flat_config.read_config`.
      phonemes: see `read_phone_set`.
      name, licence, language: of the voice.
      mel_range: the checkpoint's spec_min and spec_max, f32[M].

    Raises:
      InputError: for a setting that is missing, wrong, unknown here, or that contradicts
        another one or the checkpoint.
    """
    for key, (known, default) in ONLY.items():
        value = config.values.get(key, default)
        if value != known:
            raise InputError(
                f"{config.path}: {key} is {value!r}, this program knows {known!r} only"
            )
    spec = mel_spec(config)
    hidden, heads = config.count("hidden_size"), config.count("num_heads", 2)
    if hidden % heads:
        raise InputError(f"{config.path}: hidden_size {hidden} is no multiple of num_heads {heads}")
    midi, pitched = config.flag("use_midi", False), config.flag("use_pitch_embed", True)
    voicing = config.flag("use_uv", True)
    positions = _positions(config, midi)
    kind = config.word("pitch_type", "frame", tuple(PITCH_KINDS)) if pitched else "none"
    pitch = PITCH_KINDS.get(kind, "none")
    pitch_settings: dict[str, Any] = {"predicts_voicing": voicing}
    if pitch == "wavelet":
        pitch_settings["width"] = config.count("cwt_hidden_size", 128)
        pitch_settings["std_scale"] = config.number("cwt_std_scale", 0.8)
    dropout = config.number("dropout", 0.1)
    of_predictors = config.number("predictor_hidden", -1, least=-1)
    model = {
        "hidden": hidden,
        "encoder_layers": config.count("enc_layers"),
        "decoder_layers": config.count("dec_layers"),
        "heads": heads,
        "kernel_size": _odd(config, "enc_ffn_kernel_size", 9),
        "decoder_kernel_size": _odd(config, "dec_ffn_kernel_size", 9),
        "dropout": dropout,
        "score_inputs": "midi" if midi else "phonemes",
        "positions": positions,
        "predictor_layers": config.count("predictor_layers", 2),
        "predictor_hidden": int(of_predictors) if of_predictors > 0 else hidden,
        "predictor_dropout": config.number("predictor_dropout", 0.5),
        "predictor_gradient": config.number("predictor_grad", 0.1),
        "duration_layers": config.count("dur_predictor_layers", 2),
        "duration_kernel_size": _odd(config, "dur_predictor_kernel", 3),
        "pitch_kernel_size": _odd(config, "predictor_kernel", 5),
        "pitch": pitch,
        "pitch_settings": pitch_settings if pitched else {},
        "pitch_input": "bins" if pitched else "none",
        "pitch_input_settings": {"fills_unvoiced": not voicing} if pitched else {},
        "auxiliary_output": "log_mel",
        "denoiser_channels": config.count("residual_channels"),
        "denoiser_layers": config.count("residual_layers"),
        "dilation_cycle": config.count("dilation_cycle_length"),
        "condition_on_prior": False,
        "dtype": "float32",
    }
    schedule, sampling = _schedule(config), _sampling(config)
    given_f0 = not pitched or config.flag("use_gt_f0", False)
    requires = ("durations",) * config.flag("use_gt_dur", False) + ("f0",) * given_f0
    info = CorpusInfo(
        name=name,
        mel=spec,
        vocabulary=Vocabulary(phonemes, languages=(language,)),
        mel_min=mel_range[0],
        mel_max=mel_range[1],
        licence=licence,
    )
    _check_range(config, info)
    return ReferenceModel(
        model, schedule, sampling, info, requires, _behaviours(model, schedule, sampling, requires)
    )


def mel_spec(config: FlatConfig) -> MelSpec:
    """The mel that a config describes.

    Raises:
      InputError: naming what is missing or wrong.
    """
    rate = config.count("audio_sample_rate")
    bins = config.count("audio_num_mel_bins", 80)
    if (kept := config.count("keep_bins", bins)) != bins:
        raise InputError(
            f"{config.path}: keep_bins is {kept} of audio_num_mel_bins {bins}; a model of a part "
            "of the mel cannot be sung with"
        )
    fmax = config.number("fmax", -1, least=-1)
    return MelSpec(
        sample_rate=rate,
        hop=config.count("hop_size"),
        n_fft=config.count("fft_size"),
        win=config.count("win_size"),
        n_mels=bins,
        fmin=config.number("fmin", 0, least=-1) if config.number("fmin", 0, least=-1) > 0 else 0.0,
        fmax=fmax if fmax > 0 else rate / 2,
        mel_scale="slaney",
        log_base="10",
        log_floor=config.number("wav2spec_eps", 1e-10),
        framing="centered",
    )


def _positions(config: FlatConfig, midi: bool) -> str:
    if not config.flag("use_pos_embed", True):
        return "none"
    if not config.flag("rel_pos", False):
        return "sinusoid"
    if not midi:
        raise InputError(
            f"{config.path}: rel_pos is true without use_midi, which the reference cannot compute"
        )
    return "espnet_relative"


def _schedule(config: FlatConfig) -> dict[str, Any]:
    steps = config.count("timesteps")
    # A config without schedule_type means cosine there, one without max_beta 0.01.
    if config.word("schedule_type", "cosine", ("linear", "cosine")) == "cosine":
        return {"name": "cosine", "steps": steps}
    beta_max = config.number("max_beta", 0.01)
    if not 1e-4 <= beta_max < 1:
        raise InputError(f"{config.path}: max_beta is {beta_max}, expected 1e-4 to below 1")
    return {"name": "linear", "steps": steps, "beta_max": beta_max}


def _sampling(config: FlatConfig) -> Sampling:
    steps, k_step = config.count("timesteps"), config.count("K_step")
    if k_step > steps:
        raise InputError(f"{config.path}: K_step is {k_step}, more than timesteps {steps}")
    start = "gaussian" if config.flag("gaussian_start", False) else "auxiliary"
    if (interval := config.count("pndm_speedup", 0, least=0)) > 1:
        interval = min(interval, k_step)
        steps = math.ceil(k_step / interval)
        return Sampling(k_step, steps, "plms", start=start, plms_interval=interval)
    return Sampling(k_step, k_step, start=start)


def _odd(config: FlatConfig, key: str, default: int) -> int:
    if (size := config.count(key, default)) % 2 == 0:
        raise InputError(f"{config.path}: {key} is {size}, expected an odd number")
    return size


def _check_range(config: FlatConfig, info: CorpusInfo) -> None:
    """The config's spec_min and spec_max, where it has them, are the checkpoint's."""
    bins = info.mel.n_mels
    for key, there in (("spec_min", info.mel_min), ("spec_max", info.mel_max)):
        if there.shape != (bins,):
            raise InputError(
                f"{config.path}: audio_num_mel_bins is {bins}, the checkpoint's model.{key} is "
                f"(1, 1, {len(there)}) and not (1, 1, {bins}); the two do not belong together"
            )
        here = config.row(key, bins)
        if here is not None and not np.allclose(here, there, rtol=0, atol=1e-5):
            i = int(np.argmax(np.abs(here - there)))
            raise InputError(
                f"{config.path}: {key} of bin {i} is {here[i]:g}, the checkpoint has "
                f"{there[i]:g}; the two files do not belong together"
            )


def _behaviours(
    model: Mapping[str, Any],
    schedule: Mapping[str, Any],
    sampling: Sampling,
    requires: tuple[str, ...],
) -> tuple[str, ...]:
    positions = {
        "sinusoid": "sinusoids, counted from 1",
        "espnet_relative": "ESPnet's relative table, row 4999 - i, behind a second sqrt(H)",
        "none": "none",
    }[model["positions"]]
    f0_bins = "300 rows, 50 to 1100 Hz in 255 bins" if model["pitch_input"] == "bins" else "none"
    betas = f", betas to {schedule['beta_max']}" if "beta_max" in schedule else ""
    k_step, interval = sampling.k_step, sampling.plms_interval
    return (
        f"score: {model['score_inputs']}; positions: {positions}",
        f"f0 in the condition: {f0_bins}; f0 predicted: {model['pitch']}",
        f"the score must give: {', '.join(requires) or 'nothing that it may leave out'}",
        f"schedule: {schedule['name']}, {schedule['steps']} steps{betas}; k = {k_step}",
        f"start: {sampling.start}; "
        + (
            f"PLMS, every {interval}th step, x0 not clamped"
            if interval
            else "DDPM, x0 clamped to [-1, 1]"
        ),
        f"denoiser: {model['denoiser_layers']} layers of {model['denoiser_channels']} channels, "
        f"dilation cycle {model['dilation_cycle']}",
    )
