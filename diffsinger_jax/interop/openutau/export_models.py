"""The models beside the acoustic one in a voicebank: dsdur, dspitch, dsvariance, dsvocoder."""

from __future__ import annotations

from typing import Any

from diffsinger_jax.interop.openutau.export_tables import (
    dictionary_files,
    speaker_entries,
    speaker_files,
    symbol_files,
    yaml_bytes,
)
from diffsinger_jax.interop.openutau.settings import CURVES
from diffsinger_jax.interop.openutau.variance_graphs import (
    by_words,
    has_languages,
    has_speakers,
    variance_graphs,
)
from diffsinger_jax.interop.openutau.vocoder_graph import vocoder_graph, vocoder_settings
from diffsinger_jax.voices.variance import VarianceVoice
from diffsinger_jax.voices.vocoder import NeuralVocoder

_FOLDERS = {"dur": "dsdur", "pitch": "dspitch", "variance": "dsvariance"}
"""Where OpenUtau looks for a graph, each beside a linguistic one of its own."""


def variance_files(voice: VarianceVoice) -> dict[str, bytes]:
    """The folders of what a variance model predicts, by paths from the voicebank's root.

    Raises:
      InputError: as of `variance_graphs`.
    """
    graphs = variance_graphs(voice)
    common = symbol_files(voice.vocabulary, languages=has_languages(voice))
    common |= dictionary_files(voice.vocabulary)
    common["linguistic.onnx"] = graphs["linguistic"]
    if has_speakers(voice):
        common |= speaker_files(voice.vocabulary, voice.params)
    files: dict[str, bytes] = {}
    for role, folder in _FOLDERS.items():
        if role not in graphs:
            continue
        inside = common | {f"{role}.onnx": graphs[role]}
        inside["dsconfig.yaml"] = yaml_bytes(_settings(voice, role))
        files |= {f"{folder}/{name}": content for name, content in inside.items()}
    return files


def vocoder_files(vocoder: NeuralVocoder) -> dict[str, bytes]:
    """The folder dsvocoder.

    Raises:
      InputError: if jax2onnx is not installed.
    """
    return {
        "dsvocoder/vocoder.yaml": yaml_bytes(vocoder_settings(vocoder, "vocoder.onnx")),
        "dsvocoder/vocoder.onnx": vocoder_graph(vocoder),
        "dsvocoder/LICENSE.txt": f"{vocoder.name}\n\n{vocoder.licence}\n".encode(),
    }


def _settings(voice: VarianceVoice, role: str) -> dict[str, Any]:
    """The dsconfig.yaml of one graph; OpenUtau's defaults of what is left out are not ours."""
    model = voice.variance.model
    settings: dict[str, Any] = {"phonemes": "phonemes.json"}
    settings["use_lang_id"] = has_languages(voice)
    if has_languages(voice):
        settings["languages"] = "languages.json"
    settings |= {"linguistic": "linguistic.onnx", "hidden_size": model.hidden}
    settings["predict_dur"] = by_words(voice)
    if has_speakers(voice):
        settings["speakers"] = speaker_entries(voice.vocabulary)
    settings[role] = f"{role}.onnx"
    if role == "pitch":
        settings |= {"use_expr": True, "use_note_rest": bool(model.melody_settings)}
    if role == "variance":
        settings |= {f"predict_{name}": name in voice.curves for name in CURVES}
    settings["use_continuous_acceleration"] = True
    return settings | {"sample_rate": voice.sample_rate, "hop_size": voice.hop}
