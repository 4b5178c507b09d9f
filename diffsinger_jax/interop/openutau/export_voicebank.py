"""A voice of ours as a voicebank: a folder or a zip that OpenUtau installs."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from diffsinger_jax.atomic_write import atomic_write
from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.openutau.acoustic_graph import (
    acoustic_graph,
    frame_curves,
    has_depth,
    has_languages,
    has_speakers,
    require_exportable,
)
from diffsinger_jax.interop.openutau.export_models import variance_files, vocoder_files
from diffsinger_jax.interop.openutau.export_tables import (
    dictionary_files,
    speaker_entries,
    speaker_files,
    symbol_files,
    yaml_bytes,
)
from diffsinger_jax.interop.openutau.self_check import CheckedExport, check_export
from diffsinger_jax.synthesis.controls import DEFAULT_RANGES
from diffsinger_jax.types import SILENCE
from diffsinger_jax.voices.vocoder import NeuralVocoder
from diffsinger_jax.voices.voice import Voice

VOCODER = "pc_nsf_hifigan_44.1k_hop512_128bin_2025.02"
"""The package that openvpi's exports name, for voices of its mel."""
VOCODER_MEL = (44_100, 512, 128)
"""Its sample rate, hop and bins."""
_PHONEMIZERS = {
    "ja": "DiffSingerJapanesePhonemizer", "zh": "DiffSingerChinesePhonemizer",
    "en": "DiffSingerEnglishPhonemizer", "de": "DiffSingerGermanPhonemizer",
    "fr": "DiffSingerFrenchPhonemizer", "it": "DiffSingerItalianPhonemizer",
    "es": "DiffSingerSpanishPhonemizer", "pt": "DiffSingerPortuguesePhonemizer",
}  # fmt: skip


def export_voicebank(
    voice: Voice, out: str | os.PathLike, *, vocoder: str | NeuralVocoder | None = VOCODER
) -> CheckedExport:
    """Writes all of it, or nothing.

    Args:
      voice: see `acoustic_graph.require_exportable`.
      out: a folder that is not there yet, or a file that ends in .zip.
      vocoder: one of ours, which is written too, or the name of a package that OpenUtau shall sing
        with; None for neither.

    Returns:
      What was found of it by singing with it.

    Raises:
      InputError: if OpenUtau cannot give what the voice needs, jax2onnx is not installed, or the
        place cannot be written to.
    """
    out = Path(out)
    zipped = out.suffix.lower() == ".zip"
    if out.exists() and not zipped:
        raise InputError(f"{out}: is there already; name a folder that is not")
    files = voicebank_files(voice, vocoder)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
            folder = Path(scratch) / (out.stem if zipped else out.name)
            for name, content in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            written = vocoder if isinstance(vocoder, NeuralVocoder) else None
            checked = check_export(folder, voice, written)
            if zipped:
                _zip(folder, out)
            else:
                shutil.move(folder, out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror}); choose another") from error
    return checked


def voicebank_files(voice: Voice, vocoder: str | NeuralVocoder | None) -> dict[str, bytes]:
    """Its files by their paths; every key of dsconfig.yaml mirrors the graph.

    Raises:
      InputError: as of `export_voicebank`.
    """
    require_exportable(voice)
    vocabulary = voice.info.vocabulary
    if SILENCE not in vocabulary.phonemes:
        raise InputError(
            f"the voice {voice.name} has no phoneme {SILENCE}, which OpenUtau begins every phrase "
            "with; it cannot be exported"
        )
    files = {
        "dsconfig.yaml": yaml_bytes(_settings(voice, vocoder)),
        "character.txt": _lines(name=voice.name, author=voice.info.licence),
        "character.yaml": yaml_bytes(_character(voice)),
        "LICENSE.txt": f"{voice.name}\n\n{voice.info.licence}\n".encode(),
        "acoustic.onnx": acoustic_graph(voice),
    }
    files |= symbol_files(vocabulary, languages=has_languages(voice))
    files |= dictionary_files(vocabulary)
    if has_speakers(voice):
        files |= speaker_files(vocabulary, voice.params)
    if voice.variance is not None:
        files |= variance_files(voice.variance)
    if isinstance(vocoder, NeuralVocoder):
        files |= vocoder_files(vocoder)
    return files


def _settings(voice: Voice, vocoder: str | NeuralVocoder | None) -> dict[str, Any]:
    mel, curves = voice.info.mel, frame_curves(voice)
    settings: dict[str, Any] = {"phonemes": "phonemes.json", "acoustic": "acoustic.onnx"}
    if vocoder is not None:
        settings["vocoder"] = vocoder if isinstance(vocoder, str) else vocoder.name
    settings["hidden_size"] = voice.acoustic.model.hidden
    settings["use_lang_id"] = has_languages(voice)
    if has_languages(voice):
        settings["languages"] = "languages.json"
    if has_speakers(voice):
        settings["speakers"] = speaker_entries(voice.info.vocabulary)
    if "gender" in curves:
        shifts = {**DEFAULT_RANGES, **voice.ranges}["key_shift"]
        settings["augmentation_args"] = {
            "random_pitch_shifting": {"range": [float(end) for end in shifts]}
        }
    settings |= {
        "use_key_shift_embed": "gender" in curves,
        "use_speed_embed": "velocity" in curves,
        **{f"use_{n}_embed": n in curves for n in ("energy", "breathiness", "voicing", "tension")},
        "use_continuous_acceleration": True,
        "use_variable_depth": has_depth(voice),
    }
    if has_depth(voice):
        settings["max_depth"] = float(voice.sampling.k_step) / voice.path.depth
    return settings | {
        "sample_rate": mel.sample_rate, "hop_size": mel.hop, "win_size": mel.win,
        "fft_size": mel.n_fft, "num_mel_bins": mel.n_mels, "mel_fmin": mel.fmin,
        "mel_fmax": mel.fmax, "mel_base": mel.log_base, "mel_scale": mel.mel_scale,
    }  # fmt: skip


def _character(voice: Voice) -> dict[str, Any]:
    vocabulary = voice.info.vocabulary
    said: dict[str, Any] = {
        "name": voice.name,
        "author": voice.info.licence,
        "singer_type": "diffsinger",
        "text_file_encoding": "utf-8",
    }
    phonemizer = _PHONEMIZERS.get(vocabulary.languages[0], "DiffSingerPhonemizer")
    said["default_phonemizer"] = f"OpenUtau.Core.DiffSinger.{phonemizer}"
    if has_speakers(voice):
        said["subbanks"] = [
            {"color": name if i else "", "prefix": "", "suffix": entry}
            for i, (name, entry) in enumerate(
                zip(vocabulary.speakers, speaker_entries(vocabulary), strict=True)
            )
        ]
    return said


def _zip(folder: Path, out: Path) -> None:
    with atomic_write(out) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as file:
        for one in sorted(folder.rglob("*")):
            file.write(one, one.relative_to(folder.parent))


def _lines(**fields: str) -> bytes:
    return "".join(f"{key}={' '.join(value.split())}\n" for key, value in fields.items()).encode()
