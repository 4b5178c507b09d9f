"""Curves, mels and augmentation beside what other programs made of a recording."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from golden_measure import FEATURE_BOUND, Found, missing, relative

from diffsinger_jax.audio import augmentation, curves
from diffsinger_jax.audio.f0 import interpolate_f0
from diffsinger_jax.audio.mel import log_mel
from diffsinger_jax.types import MEL_SPECS

MELS = {
    # a name of a case -> (ours, its floor)
    "popcs": ("24k_hop128", 1e-10),
    "opencpop": ("24k_hop128", 1e-6),
    "ljspeech": ("22k_hop256", 1e-10),
    "openvpi_44k": ("44k_hop512", 1e-5),
}
NOT_COMPARED = ("f0_speed",)
"""f0 that another extractor found."""


def _has(folder: Path, name: str) -> bool:
    if not (folder / "cases.npz").is_file():
        return False
    with np.load(folder / "cases.npz") as cases:
        return name in cases


def matches(folder: Path) -> bool:
    """Whether it holds openvpi/DiffSinger's features of a recording."""
    return _has(folder, "out_energy_raw")


def differences(folder: Path) -> Found:
    """Of each curve and mel."""
    with np.load(folder / "cases.npz") as arrays:
        cases = dict(arrays)
    got = feature_numbers(cases)
    found: Found = {
        name: (relative(value, cases[f"out_{name}"]), FEATURE_BOUND) for name, value in got.items()
    }
    return found | missing(cases, found, NOT_COMPARED)


def has_mels(folder: Path) -> bool:
    """Whether it holds recordings with their mels, as `popcs_wav` and `popcs_mel`."""
    return _has(folder, "popcs_mel")


def mel_differences(folder: Path) -> Found:
    """Of each mel: the largest, of a log amplitude."""
    found: Found = {}
    with np.load(folder / "cases.npz") as cases:
        for case, (name, floor) in MELS.items():
            theirs = cases[f"{case}_mel"]
            spec = dataclasses.replace(MEL_SPECS[name], log_floor=floor)
            ours = log_mel(cases[f"{case}_wav"], spec)[: len(theirs)]
            found[case] = float(np.abs(ours - theirs).max()), FEATURE_BOUND
    return found


def feature_numbers(cases: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Curves and mels of the cases' recording."""
    spec, wav, f0 = MEL_SPECS["44k_hop512"], cases["in_wav"], cases["in_f0_raw"]
    parts = curves.Separation(cases["in_harmonic_wav"], cases["in_aperiodic_wav"])
    frames = len(f0)
    raw = {
        "energy_raw": curves.level_db(wav, frames, spec),
        "breathiness_raw": curves.level_db(parts.aperiodic, frames, spec),
        "voicing_raw": curves.level_db(parts.harmonic, frames, spec),
        "tension_raw": curves.tension(parts.harmonic, f0, spec),
    }
    smoothed = curves.extract_curves(wav, f0, spec, separation=parts)
    got = {
        "mel": log_mel(wav, spec),
        "f0_interp": interpolate_f0(f0),
        **raw,
        "energy_0.06": smoothed.pop("energy"),
        "energy_0.12": curves.smooth(raw["energy_raw"], round(0.12 * spec.frames_per_sec)),
        **smoothed,
        "base_harmonic_wav": curves.fundamental(parts.harmonic, f0, spec),
    }
    speeds: dict[float, float] = {}
    for name in cases:
        if name.startswith("out_energy_resampled_speed"):
            speed = augmentation.speed_of_hop(spec, float(name.partition("speed")[2]))
            got[name.removeprefix("out_")] = curves.resample_curve(
                got["energy_0.06"],
                1.0 / spec.frames_per_sec,
                len(cases[name]),
                spec.frames_per_sec / speed,
            )
        if name.startswith("out_mel_key"):
            key, speed = name.removeprefix("out_mel_key").split("_speed")
            got[name.removeprefix("out_")] = augmentation.augmented_mel(
                wav, spec, key_shift=float(key), speed=float(speed)
            )
            speeds |= {float(speed): augmentation.speed_of_hop(spec, float(speed))}
        if name.startswith("out_curve_ts"):
            step, count = name.removeprefix("out_curve_ts").split("_n")
            hop = 1.0 / spec.frames_per_sec
            step = hop if abs(float(step) - hop) < 1e-6 else float(step)  # written with six digits
            got[name.removeprefix("out_")] = curves.resample_curve(
                cases["in_curve"], step, int(count), spec.frames_per_sec
            )
    if "out_speed_real" in cases:
        got["speed_real"] = np.asarray([real for asked, real in speeds.items() if asked != 1])
    return got
