"""A voicebank's dsconfig.yaml, typed, with the defaults that OpenUtau has for what is left out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.openutau.package import CONFIG_FILE, VoicebankFiles
from diffsinger_jax.score.plain_yaml import Plain
from diffsinger_jax.types import MelSpec

CURVES = ("energy", "breathiness", "voicing", "tension")
"""In the order of the last axis of the variance model's `retake`."""
_TRUE, _FALSE = ("true", "yes", "y", "on"), ("false", "no", "n", "off")
_NOTHING = ("", "~", "null", "Null", "NULL")
_MOST = {"sample_rate": 384_000, "hop_size": 65_536, "win_size": 65_536, "fft_size": 65_536}
_MOST |= {"num_mel_bins": 2048, "hidden_size": 16_384}


@dataclasses.dataclass(frozen=True)
class Settings:
    """The keys of a dsconfig.yaml that OpenUtau knows; `where` is its path.

    `range` is that of augmentation_args.random_pitch_shifting, `max_depth` a share of 1.
    """

    where: str
    phonemes: str = "phonemes.txt"
    languages: str | None = None
    use_lang_id: bool = False
    acoustic: str | None = None
    vocoder: str | None = None
    linguistic: str | None = None
    dur: str | None = None
    pitch: str | None = None
    variance: str | None = None
    speakers: tuple[str, ...] = ()
    hidden_size: int = 256
    use_key_shift_embed: bool = False
    use_speed_embed: bool = False
    use_energy_embed: bool = False
    use_breathiness_embed: bool = False
    use_voicing_embed: bool = False
    use_tension_embed: bool = False
    range: tuple[float, float] | None = None
    use_continuous_acceleration: bool = False
    use_variable_depth: bool = False
    max_depth: float = 0.0
    predict_dur: bool = True
    predict_energy: bool = True
    predict_breathiness: bool = True
    predict_voicing: bool = False
    predict_tension: bool = False
    use_expr: bool = False
    use_note_rest: bool = False
    sample_rate: int = 44_100
    hop_size: int = 512
    win_size: int = 2048
    fft_size: int = 2048
    num_mel_bins: int = 128
    mel_fmin: float = 40.0
    mel_fmax: float = 16_000.0
    mel_base: str = "10"
    mel_scale: str = "slaney"

    @property
    def frame_sec(self) -> float:
        """From one frame to the next."""
        return self.hop_size / self.sample_rate

    @property
    def mel(self) -> MelSpec:
        """That of the acoustic model."""
        return MelSpec(
            sample_rate=self.sample_rate,
            hop=self.hop_size,
            n_fft=self.fft_size,
            win=self.win_size,
            n_mels=self.num_mel_bins,
            fmin=self.mel_fmin,
            fmax=self.mel_fmax,
            mel_scale=self.mel_scale,
            log_base=self.mel_base,
            framing="reflect",
        )

    @property
    def shown_curves(self) -> tuple[str, ...]:
        """Those that the acoustic model is shown."""
        return tuple(name for name in CURVES if getattr(self, f"use_{name}_embed"))

    @property
    def predicted_curves(self) -> tuple[str, ...]:
        """Those that the variance model predicts."""
        return tuple(name for name in CURVES if getattr(self, f"predict_{name}"))


def read_settings(files: VoicebankFiles) -> Settings:
    """The dsconfig.yaml of a folder.

    Raises:
      InputError: if it is not there, or a value in it is none of its kind.
    """
    return settings_of(files.yaml(CONFIG_FILE), files.where(CONFIG_FILE))


def settings_of(said: Mapping[str, Plain], where: str) -> Settings:
    """Typed settings of a mapping of strings.

    Raises:
      InputError: naming the key whose value is none of its kind.
    """
    found: dict[str, object] = {}
    for field in dataclasses.fields(Settings):
        value = said.get(field.name)
        if field.name in ("where", "range") or value is None or value in _NOTHING:
            continue
        found[field.name] = _typed(field.name, str(field.type), value, where)
    if "use_variable_depth" not in found and isinstance(said.get("use_shallow_diffusion"), str):
        found["use_variable_depth"] = _typed(
            "use_shallow_diffusion", "bool", said["use_shallow_diffusion"], where
        )
    if not found.get("use_continuous_acceleration", False) and "max_depth" in found:
        found["max_depth"] = float(str(found["max_depth"])) / 1000.0
    settings = Settings(where, range=_range(said, where), **found)  # type: ignore[arg-type]
    _require_possible(settings)
    return settings


def _require_possible(settings: Settings) -> None:
    where = settings.where
    if settings.use_key_shift_embed and settings.range is None:
        raise InputError(
            f"{where}: use_key_shift_embed is true, but augmentation_args.random_pitch_shifting"
            ".range is not there; write the range that the model was trained with"
        )
    if not 0 <= settings.max_depth <= 1:
        raise InputError(
            f"{where}: max_depth means {settings.max_depth:g}, expected 0 to 1 with "
            "use_continuous_acceleration, else 0 to 1000; correct one of the two"
        )
    if settings.use_lang_id and settings.languages is None:
        raise InputError(f"{where}: use_lang_id is true, but languages names no file; name it")
    for name, known in (("mel_base", ("10", "e")), ("mel_scale", ("slaney", "htk"))):
        if (value := getattr(settings, name)) not in known:
            raise InputError(
                f"{where}: {name} is {value!r}, expected {' or '.join(known)}; correct it"
            )
    if not 0 <= settings.mel_fmin < settings.mel_fmax:
        raise InputError(
            f"{where}: mel_fmin is {settings.mel_fmin:g} and mel_fmax {settings.mel_fmax:g}; the "
            "one must be below the other"
        )
    if settings.hop_size > settings.sample_rate // 10 or settings.frame_sec < 1e-3:
        raise InputError(
            f"{where}: hop_size {settings.hop_size} at sample_rate {settings.sample_rate} is a "
            f"frame of {1000 * settings.frame_sec:g} ms, expected 1 to 100; correct them"
        )


def _typed(name: str, kind: str, value: Plain, where: str) -> object:
    if kind.startswith("tuple"):
        if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
            raise InputError(
                f"{where}: {name} is no list of names; write one a line, with - before"
            )
        return tuple(value)
    if not isinstance(value, str):
        raise InputError(f"{where}: {name} has lines below it, expected one value; correct it")
    if kind == "bool":
        if value.lower() not in _TRUE + _FALSE:
            raise InputError(f"{where}: {name} is {value!r}, expected true or false; correct it")
        return value.lower() in _TRUE
    if kind.startswith("str"):
        return value
    number = _number(value)
    whole = number == int(number) if math.isfinite(number) else False
    if kind == "int" and not (whole and 1 <= number <= _MOST[name]):
        raise InputError(
            f"{where}: {name} is {value!r}, expected a whole number from 1 to {_MOST[name]}; "
            "correct it"
        )
    if not math.isfinite(number):
        raise InputError(f"{where}: {name} is {value!r}, expected a number; correct it")
    return int(number) if kind == "int" else number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _range(said: Mapping[str, Plain], where: str) -> tuple[float, float] | None:
    node: Plain | None = dict(said)
    for key in ("augmentation_args", "random_pitch_shifting", "range"):
        node = node.get(key) if isinstance(node, dict) else None
    if node is None:
        return None
    ends = [_number(v) if isinstance(v, str) else math.nan for v in node] if node else []
    if not isinstance(node, list) or len(ends) != 2 or not ends[0] <= 0 <= ends[1]:
        raise InputError(
            f"{where}: augmentation_args.random_pitch_shifting.range is {node!r}, expected two "
            "numbers of semitones, one below 0 and one above"
        )
    return ends[0], ends[1]
