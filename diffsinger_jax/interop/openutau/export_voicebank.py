"""A voice of ours as a voicebank: a folder or a zip that OpenUtau installs."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from diffsinger_jax.atomic_write import atomic_write
from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.openutau.acoustic_graph import (
    acoustic_graph,
    frame_curves,
    has_languages,
    has_speakers,
    require_exportable,
)
from diffsinger_jax.interop.openutau.findings import voicebank_findings
from diffsinger_jax.score.dictionary import Dictionary
from diffsinger_jax.score.phonology import is_rest, is_vowel
from diffsinger_jax.synthesis.controls import DEFAULT_RANGES
from diffsinger_jax.types import SILENCE, Vocabulary
from diffsinger_jax.voices.voice import Voice

VOCODER = "pc_nsf_hifigan_44.1k_hop512_128bin_2025.02"
"""The package that openvpi's exports name, for voices of its mel."""
_PHONEMIZERS = {
    "ja": "DiffSingerJapanesePhonemizer", "zh": "DiffSingerChinesePhonemizer",
    "en": "DiffSingerEnglishPhonemizer", "de": "DiffSingerGermanPhonemizer",
    "fr": "DiffSingerFrenchPhonemizer", "it": "DiffSingerItalianPhonemizer",
    "es": "DiffSingerSpanishPhonemizer", "pt": "DiffSingerPortuguesePhonemizer",
}  # fmt: skip
_CLASSES = {
    "semivowel": {"w", "y", "j"}, "liquid": {"r", "l", "ry"}, "nasal": {"m", "n", "ny", "my", "ng"},
    "fricative": {"s", "sh", "z", "j", "f", "h", "hy", "v", "x", "th", "dh", "zh"},
    "affricate": {"ch", "ts", "c", "q"},
}  # fmt: skip


def export_voicebank(voice: Voice, out: str | os.PathLike, *, vocoder: str = VOCODER) -> Path:
    """Writes all of it, or nothing.

    Args:
      voice: see `acoustic_graph.require_exportable`.
      out: a folder that is not there yet, or a file that ends in .zip.
      vocoder: name of the package that OpenUtau shall sing with.

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
            _check(folder)
            if zipped:
                _zip(folder, out)
            else:
                shutil.move(folder, out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror}); choose another") from error
    return out


def voicebank_files(voice: Voice, vocoder: str) -> dict[str, bytes]:
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
    files: dict[str, bytes] = {
        "dsconfig.yaml": _yaml(_settings(voice, vocoder)),
        "phonemes.json": _json(phoneme_ids(vocabulary)),
        "character.txt": _lines(name=voice.name, author=voice.info.licence),
        "character.yaml": _yaml(_character(voice)),
        "LICENSE.txt": f"{voice.name}\n\n{voice.info.licence}\n".encode(),
        "acoustic.onnx": acoustic_graph(voice),
    }
    if has_languages(voice):
        ids = {name: i + 1 for i, name in enumerate(vocabulary.languages)}
        files["languages.json"] = _json(ids)
    if has_speakers(voice):
        table = _speaker_table(voice.params)
        for name, row in zip(vocabulary.speakers, table, strict=True):
            files[f"embeds/{name}.emb"] = np.asarray(row, "<f4").tobytes()
    tables = {language: _entries(voice, language) for language in vocabulary.languages}
    files["dsdict.yaml"] = _sounds(
        vocabulary, {k: v for t in tables.values() for k, v in t.items()}
    )
    if len(tables) > 1:
        for language, entries in tables.items():
            files[f"dsdict-{language}.yaml"] = _sounds(vocabulary, entries)
    return files


def phoneme_ids(vocabulary: Vocabulary) -> dict[str, int]:
    """Ids of all names, those of merged phonemes too."""
    ids = {name: i + 1 for i, name in enumerate(vocabulary.phonemes)}
    return ids | {name: ids[group[0]] for group in vocabulary.merged for name in group}


def _settings(voice: Voice, vocoder: str) -> dict[str, Any]:
    mel, curves = voice.info.mel, frame_curves(voice)
    settings: dict[str, Any] = {"phonemes": "phonemes.json", "acoustic": "acoustic.onnx"}
    settings |= {"vocoder": vocoder, "hidden_size": voice.acoustic.model.hidden}
    settings["use_lang_id"] = has_languages(voice)
    if has_languages(voice):
        settings["languages"] = "languages.json"
    if has_speakers(voice):
        settings["speakers"] = [f"embeds/{name}" for name in voice.info.vocabulary.speakers]
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
        "use_variable_depth": True,
        "max_depth": float(voice.sampling.k_step),
    }
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
            {"color": "" if i == 0 else name, "prefix": "", "suffix": f"embeds/{name}"}
            for i, name in enumerate(vocabulary.speakers)
        ]
    return said


def _entries(voice: Voice, language: str) -> dict[str, tuple[str, ...]]:
    """What the project's dictionary spells with phonemes that the voice has."""
    try:
        dictionary = Dictionary.of(language)
    except InputError:
        return {}
    if dictionary.rules is not None:  # OpenUtau has its own for languages of words
        return {}
    fitted = {}
    for grapheme, phones in dictionary.entries.items():
        try:
            fitted[grapheme] = dictionary.fit(phones, voice.info.vocabulary)
        except InputError:  # a syllable of another inventory
            continue
    return fitted


def _sounds(vocabulary: Vocabulary, entries: Mapping[str, tuple[str, ...]]) -> bytes:
    names = [name for name in phoneme_ids(vocabulary) if not is_rest(name)]
    symbols = [{"symbol": name, "type": _type_of(name)} for name in names]
    rows = [{"grapheme": g, "phonemes": list(phones)} for g, phones in entries.items()]
    return _yaml({"symbols": symbols, "entries": rows})


def _type_of(symbol: str) -> str:
    short = symbol.rpartition("/")[2]
    if is_vowel(symbol) or short == "N":  # ん has a note of its own
        return "vowel"
    return next((kind for kind, known in _CLASSES.items() if short.lower() in known), "stop")


def _speaker_table(params: Mapping[str, Any]) -> np.ndarray:
    (table,) = params["speaker_embedding"].values()
    return np.asarray(table, np.float32)


def _check(folder: Path) -> None:
    """Loads what was written as OpenUtau does, and looks through all of it."""
    errors = [one for one in voicebank_findings(folder) if one.level == "error"]
    # What a model is shown, and no model of the voice predicts, is its user's to add.
    errors = [one for one in errors if "no dsvariance predicts" not in one.what]
    if errors:
        raise ValueError(f"the exported voicebank is at fault: {errors[0]}")


def _zip(folder: Path, out: Path) -> None:
    with atomic_write(out) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as file:
        for one in sorted(folder.rglob("*")):
            file.write(one, one.relative_to(folder.parent))


def _yaml(content: Mapping[str, Any]) -> bytes:
    return yaml.safe_dump(dict(content), allow_unicode=True, sort_keys=False).encode()


def _json(content: Mapping[str, int]) -> bytes:
    return json.dumps(dict(content), ensure_ascii=False, indent=1).encode()


def _lines(**fields: str) -> bytes:
    return "".join(f"{key}={' '.join(value.split())}\n" for key, value in fields.items()).encode()
