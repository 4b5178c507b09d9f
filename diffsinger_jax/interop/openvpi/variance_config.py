"""`config.yaml` of an openvpi/DiffSinger variance model -> what a variance model of ours is."""

from __future__ import annotations

from typing import Any

from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.flat_config import FlatConfig
from diffsinger_jax.interop.openvpi.config import (
    Names,
    block_settings,
    odd_count,
    positions,
    require_heads,
    trunk_settings,
)
from diffsinger_jax.models.scaling import CURVE_RANGES, PITCH

CURVES = ("energy", "breathiness", "voicing", "tension")
"""In the order in which a model generates them."""


def variance_settings(config: FlatConfig, names: Names) -> dict[str, Any]:
    """Keyword arguments of `Variance`.

    Raises:
      InputError: for a setting that is missing, wrong or unknown here.
    """
    hidden, heads = config.count("hidden_size"), config.count("num_heads", 2)
    rope, durations = config.flag("use_rope", False), config.flag("predict_dur", True)
    require_heads(config, hidden, heads, rope)
    scaled = config.flag("use_variance_scaling", False)
    languages = list(names.phonemes.cross_lingual) if config.flag("use_lang_id", False) else None
    encoder: dict[str, Any] = {
        "cross_lingual": languages,
        "block_settings": block_settings(config, rope),
    }
    if not durations:
        encoder["scaled_durations"] = scaled
    return {
        "hidden": hidden,
        "encoder_layers": config.count("enc_layers"),
        "heads": heads,
        "kernel_size": odd_count(config, "enc_ffn_kernel_size", 9),
        "dropout": config.number("dropout", 0.1),
        "score_inputs": "words" if durations else "durations",
        "positions": positions(config, rope),
        "encoder_settings": encoder,
        "scaled": scaled,
        **(_durations(config) if durations else {"durations": "none"}),
        **(_pitch(config) if config.flag("predict_pitch", False) else {}),
        **_curves(config),
        "stretch": config.flag("use_stretch_embed", False),
        "speaker_in_condition": config.flag("use_spk_id", False),
    }


def variance_ranges(config: FlatConfig) -> dict[str, tuple[float, ...]]:
    """Of pitch and curves, see `scaling.CURVE_RANGES`."""
    args = config.section("pitch_prediction_args")
    keys = ("pitd_norm_min", "pitd_norm_max", "pitd_clip_min", "pitd_clip_max")
    ranges = {
        PITCH: tuple(
            args.number(key, default, least=-128.0)
            for key, default in zip(keys, CURVE_RANGES[PITCH], strict=True)
        )
    }
    for name in _predicted(config):
        unit = "logit" if name == "tension" else "db"
        low, high, least, most = CURVE_RANGES[name]
        low = config.number(f"{name}_{unit}_min", low, least=-1000.0)
        high = config.number(f"{name}_{unit}_max", high, least=-1000.0)
        ranges[name] = (low, high, low, high if unit == "logit" else 0.0)
    return ranges


def conditioners_are_cached(config: FlatConfig) -> dict[str, bool]:
    """Whether each LYNXNet2 keeps its condition's projection as a convolution."""
    sections = {
        "pitch_trunk": "pitch_prediction_args",
        "curve_trunk": "variances_prediction_args",
    }
    return {
        ours: bool(
            config.section(section).section("backbone_args").values.get("use_conditioner_cache")
        )
        for ours, section in sections.items()
    }


def _predicted(config: FlatConfig) -> tuple[str, ...]:
    return tuple(name for name in CURVES if config.flag(f"predict_{name}", False))


def _durations(config: FlatConfig) -> dict[str, Any]:
    args = config.section("dur_prediction_args")
    if (offset := args.number("log_offset", 1.0)) != 1.0:
        raise InputError(f"{config.path}: log_offset is {offset:g}, this program knows 1")
    return {
        "durations": args.word("arch", "fs2", ("fs2", "resnet")),
        "duration_settings": {
            "layers": args.count("num_layers", 5),
            "hidden": args.count("hidden_size", 512),
            "kernel_size": odd_count(args, "kernel_size", 3),
            "dropout": args.number("dropout", 0.1),
        },
    }


def _pitch(config: FlatConfig) -> dict[str, Any]:
    args = config.section("pitch_prediction_args")
    settings = {"pitch_settings": _trunk(args, args.count("repeat_bins", 64))}
    if not config.flag("use_melody_encoder", False):
        return settings
    merged = {**config.values, **config.section("melody_encoder_args").values}
    melody = FlatConfig(merged, config.path)
    width, heads = melody.count("hidden_size"), melody.count("num_heads", 2)
    rope = melody.flag("use_rope", False)
    require_heads(melody, width, heads, rope)
    settings["melody_settings"] = {
        "width": width,
        "layers": melody.count("enc_layers"),
        "heads": heads,
        "kernel_size": odd_count(melody, "enc_ffn_kernel_size", 9),
        "dropout": melody.number("dropout", 0.1),
        "positions": positions(melody, rope),
        "block_settings": block_settings(melody, rope),
    }
    if melody.flag("use_glide_embed", False):
        settings["melody_settings"] |= {
            "glides": len(melody.values.get("glide_types") or ()),
            "glide_scale": melody.number("glide_embed_scale", 1.0),
        }
    return settings


def _curves(config: FlatConfig) -> dict[str, Any]:
    curves = _predicted(config)
    if not curves:
        return {}
    args = config.section("variances_prediction_args")
    total = args.count("total_repeat_bins", 48)
    if total % len(curves):
        raise InputError(
            f"{config.path}: total_repeat_bins is {total}, which {len(curves)} curves do not divide"
        )
    return {"curves": list(curves), "curve_settings": _trunk(args, total // len(curves))}


def _trunk(args: FlatConfig, repeats: int) -> dict[str, Any]:
    found = trunk_settings(args)
    own = {"dilation_cycle": found["dilation_cycle"]} if found["trunk"] == "wavenet" else {}
    return {
        "trunk": found["trunk"],
        "repeats": repeats,
        "channels": found["denoiser_channels"],
        "layers": found["denoiser_layers"],
        **own,
        **found.get("trunk_settings", {}),
    }
