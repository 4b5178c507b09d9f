"""`config.yaml` of an openvpi/DiffSinger acoustic model -> what a voice of ours is made of.

A key that is missing means what releases did that had not got it yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from diffsinger_jax.diffusion.samplers import FLOW_SAMPLERS
from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.flat_config import FlatConfig
from diffsinger_jax.interop.openvpi.phonemes import (
    PhonemeTable,
    phoneme_table,
    read_dictionary,
    read_ids,
)
from diffsinger_jax.types import MelSpec

CURVES = ("energy", "breathiness", "voicing", "tension", "key_shift", "speed")
"""Those that a model may be told, in the order in which their switches stand in a config."""

RESIDUAL_KEYS = {
    "num_layers": "residual_layers",
    "num_channels": "residual_channels",
    "dilation_cycle_length": "dilation_cycle_length",
}
"""Of a backbone's settings before there were `backbone_args`."""

NO_PREDICTORS = {
    "decoder_layers": 1,
    "predictor_layers": 1,
    "predictor_hidden": 1,
    "predictor_dropout": 0.0,
    "predictor_gradient": 1.0,
}
"""Settings of modules that these models have not."""

GATES = ("swiglu", "atanglu")
PROCESSES = {"ddpm": "eps", "reflow": "velocity"}
"""`diffusion_type`, and our name."""


class Names(NamedTuple):
    """What an experiment's numbers mean.

    Attributes:
      phonemes: see `PhonemeTable`.
      languages, speakers: in the order of their ids.
    """

    phonemes: PhonemeTable
    languages: tuple[str, ...]
    speakers: tuple[str, ...]


def read_names(config: FlatConfig, folder: Path) -> Names:
    """Rebuilds the ids from the files that lie beside a config.

    Raises:
      InputError: if a dictionary is missing, or a file is something else.
    """
    files = {
        path.stem.removeprefix("dictionary-"): path for path in folder.glob("dictionary-*.txt")
    }
    if not files and (single := folder / "dictionary.txt").is_file():
        files = {"": single}
    wanted = config.values.get("dictionaries") or {}
    for language in wanted:
        if language not in files:
            raise InputError(
                f"{folder} has no dictionary-{language}.txt, which {config.path} names; without "
                "its dictionaries nobody knows what the ids of a model's phonemes mean"
            )
    if not files:
        raise InputError(
            f"{folder} has no dictionary-*.txt; copy the dictionaries there, since without them "
            "nobody knows what the ids of a model's phonemes mean"
        )
    dictionaries = {name: read_dictionary(files[name]) for name in sorted(wanted or files)}
    table = phoneme_table(
        dictionaries,
        config.values.get("extra_phonemes") or (),
        config.values.get("merged_phoneme_groups") or (),
        str(config.path),
    )
    languages = read_ids(folder / "lang_map.json", first=1) or tuple(sorted(dictionaries))
    speakers = read_ids(folder / "spk_map.json", first=0) or _speakers(config)
    return Names(table, languages, speakers)


def mel_spec(config: FlatConfig) -> MelSpec:
    """The mel that a config describes."""
    return MelSpec(
        sample_rate=config.count("audio_sample_rate"),
        hop=config.count("hop_size"),
        n_fft=config.count("fft_size"),
        win=config.count("win_size"),
        n_mels=config.count("audio_num_mel_bins"),
        fmin=config.number("fmin", 40),
        fmax=config.number("fmax", 16_000),
        mel_scale="slaney",
        log_base=str(config.word("mel_base", "10", ("10", "e", 10))),
        log_floor=1e-5,
        framing="reflect",
    )


def model_settings(config: FlatConfig, names: Names) -> dict[str, Any]:
    """Keyword arguments of `DiffSinger`.

    Raises:
      InputError: for a setting that is missing, wrong or unknown here.
    """
    config.word("f0_embed_type", "continuous", ("continuous",))
    hidden, heads = config.count("hidden_size"), config.count("num_heads", 2)
    rope = config.flag("use_rope", False)
    require_heads(config, hidden, heads, rope)
    scaled = config.flag("use_variance_scaling", False)
    shallow = config.flag("use_shallow_diffusion", False)
    return {
        "hidden": hidden,
        "encoder_layers": config.count("enc_layers"),
        "heads": heads,
        "kernel_size": odd_count(config, "enc_ffn_kernel_size", 9),
        "dropout": config.number("dropout", 0.1),
        "score_inputs": "durations",
        "positions": positions(config, rope),
        "encoder_settings": {
            "scaled_durations": scaled,
            "cross_lingual": (
                list(names.phonemes.cross_lingual) if config.flag("use_lang_id", False) else None
            ),
            "block_settings": block_settings(config, rope),
        },
        **NO_PREDICTORS,
        "durations": False,
        "pitch": "none",
        "pitch_input": "mel_scale",
        "curves": [name for name in CURVES if config.flag(f"use_{name}_embed", False)],
        "scaled_curves": scaled,
        "stretch": config.flag("use_stretch_embed", False),
        "speaker_in_condition": config.flag("use_spk_id", False),
        **(_auxiliary(config) if shallow else {"auxiliary": "none"}),
        **trunk_settings(config),
        "condition_on_prior": False,
        "dtype": "float32",
    }


def require_heads(config: FlatConfig, hidden: int, heads: int, rope: bool) -> None:
    """Sees that the heads of an attention divide its width.

    Raises:
      InputError: if not.
    """
    if hidden % (heads * (2 if rope else 1)):
        raise InputError(
            f"{config.path}: hidden_size {hidden} is no multiple of num_heads {heads}"
            + (" times 2, which use_rope needs" if rope else "")
        )


def sampling_settings(config: FlatConfig, process: str, steps: int) -> Sampling:
    """How the model is sampled there, in our words.

    Args:
      config: of the model.
      process: our name.
      steps: S, of a diffusion's schedule.
    """
    shallow = config.flag("use_shallow_diffusion", False)
    if process == "velocity":
        t_start = config.number("T_start_infer", config.number("T_start", 0.0)) if shallow else 0.0
        return Sampling(
            k_step=1.0 - t_start,
            steps=config.count("sampling_steps", 20),
            start="auxiliary" if t_start > 0 else "gaussian",
            method=config.word("sampling_algorithm", "euler", tuple(FLOW_SAMPLERS)),
        )
    k_step = min(config.count("K_step_infer", config.count("K_step", steps)), steps)
    k_step = k_step if shallow else steps
    speedup = config.count("diff_speedup", 10)
    return Sampling(
        k_step=k_step,
        steps=max(k_step // speedup, 1),
        start="gaussian" if k_step == steps else "auxiliary",
        method="ddpm" if speedup == 1 else "ddim",
        plms_interval=None if speedup == 1 else speedup,
        ends_at_data=speedup == 1,
        clip_x0=False,
    )


def augmentation_ranges(config: FlatConfig) -> dict[str, tuple[float, float]]:
    """The key shifts and speeds that a model was trained with, where its config says them."""
    args = config.section("augmentation_args")
    sections = {"key_shift": "random_pitch_shifting", "speed": "random_time_stretching"}
    found = {}
    for name, key in sections.items():
        ends = args.section(key).values.get("range")
        if ends is None:
            continue
        if not (isinstance(ends, list) and len(ends) == 2 and ends[0] <= ends[1]):
            raise InputError(f"{config.path}: {key}.range is {ends!r}, expected two numbers")
        found[name] = (float(ends[0]), float(ends[1]))
    return found


def mel_range(config: FlatConfig, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """`spec_min` and `spec_max`, f32[bins]: one number for all, or one for each.

    Raises:
      InputError: if they are neither, or not in this order.
    """
    ends = []
    for key in ("spec_min", "spec_max"):
        values = np.atleast_1d(np.asarray(config.values.get(key), np.float32))
        if values.shape not in ((1,), (bins,)) or not np.isfinite(values).all():
            raise InputError(
                f"{config.path}: {key} is {config.values.get(key)!r}, expected one number or {bins}"
            )
        ends.append(np.broadcast_to(values, bins).copy())
    if not np.all(ends[0] < ends[1]):
        raise InputError(f"{config.path}: spec_min does not lie below spec_max")
    return ends[0], ends[1]


def _speakers(config: FlatConfig) -> tuple[str, ...]:
    """Without spk_map.json: the names in the config, as far as it has them."""
    named = config.values.get("speakers")
    return tuple(named) if isinstance(named, list) and named else ("default",)


def positions(config: FlatConfig, rope: bool) -> str:
    """How places are told, a name in `score_encoder.POSITIONS`."""
    if rope or not config.flag("use_pos_embed", True):
        return "none"
    return "espnet_relative" if config.flag("rel_pos", False) else "sinusoid"


def block_settings(config: FlatConfig, rope: bool) -> dict[str, Any]:
    """Further keyword arguments of an encoder's `FFTStack`."""
    settings: dict[str, Any] = {
        "activation": config.word("ffn_act", "gelu", ("gelu", "relu", "swish", *GATES))
    }
    if rope and config.flag("use_pos_embed", True):
        pairs = config.flag("rope_interleaved", True)
        settings["rotary"] = "interleaved" if pairs else "halves"
    if config.flag("use_mix_ln", False):
        settings["styled"] = list(config.values.get("mix_ln_layer") or ())
    return settings


def _auxiliary(config: FlatConfig) -> dict[str, Any]:
    shallow = config.section("shallow_diffusion_args")
    shallow.word("aux_decoder_arch", "convnext", ("convnext",))
    args = shallow.section("aux_decoder_args")
    return {
        "auxiliary": "convnext",
        "auxiliary_settings": {
            "channels": args.count("num_channels", 512),
            "layers": args.count("num_layers", 6),
            "kernel_size": odd_count(args, "kernel_size", 7),
            "dropout": args.number("dropout_rate", 0.1),
        },
    }


def trunk_settings(config: FlatConfig) -> dict[str, Any]:
    """The trunk of a config or of a section of it, as keyword arguments of `DiffSinger`."""
    kind = config.values.get("backbone_type") or config.values.get("diff_decoder_type")
    if (kind := kind or "wavenet") not in TRUNKS:
        raise InputError(
            f"{config.path}: backbone_type is {kind!r}, this program knows {', '.join(TRUNKS)}"
        )
    old = {new: config.values.get(key) for new, key in RESIDUAL_KEYS.items()}
    args = FlatConfig(config.values.get("backbone_args") or old, config.path)
    common = {"trunk": kind, "denoiser_layers": args.count("num_layers")}
    return {
        "dilation_cycle": 1,
        **common,
        "denoiser_channels": args.count("num_channels"),
        **TRUNKS[kind](args),
    }


def _wavenet(args: FlatConfig) -> dict[str, Any]:
    return {"dilation_cycle": args.count("dilation_cycle_length")}


def _lynxnet(args: FlatConfig) -> dict[str, Any]:
    activation = args.word("activation", "PReLU", ("PReLU", "SiLU", "ReLU"))
    return {
        "trunk_settings": {
            "expansion": args.count("expansion_factor", 2),
            "kernel_size": odd_count(args, "kernel_size", 31),
            "activation": activation.lower(),
            "strong_condition": args.flag("strong_cond", False),
        }
    }


def _lynxnet2(args: FlatConfig) -> dict[str, Any]:
    return {
        "trunk_settings": {
            "expansion": args.count("expansion_factor", 1),
            "kernel_size": odd_count(args, "kernel_size", 31),
            "gate": args.word("glu_type", "swiglu", GATES),
        }
    }


TRUNKS = {"wavenet": _wavenet, "lynxnet": _lynxnet, "lynxnet2": _lynxnet2}


def conditioner_is_cached(config: FlatConfig) -> bool:
    """Whether a LYNXNet2 keeps its condition's projection as a convolution."""
    args: Mapping[str, Any] = config.values.get("backbone_args") or {}
    return bool(args.get("use_conditioner_cache", False))


def odd_count(config: FlatConfig, key: str, default: int) -> int:
    """A whole number that is odd."""
    if (size := config.count(key, default)) % 2 == 0:
        raise InputError(f"{config.path}: {key} is {size}, expected an odd number")
    return size
