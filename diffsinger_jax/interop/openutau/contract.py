"""What OpenUtau gives to each graph of a voicebank, by its dsconfig: names, types, ranks."""

from __future__ import annotations

from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.openutau.settings import Settings
from diffsinger_jax.voices.onnx_graph import BOOL, FLOAT, INT, OnnxGraph

Inputs = dict[str, tuple[str, int]]
"""(type, rank) by name; scalars are of rank 0, or have one element."""


def acoustic_inputs(settings: Settings) -> Inputs:
    """Of the acoustic model."""
    inputs = {"tokens": (INT, 2), "durations": (INT, 2), "f0": (FLOAT, 2)}
    inputs |= _languages(settings)
    inputs |= {name: (FLOAT, 2) for name in settings.shown_curves}
    inputs |= {"gender": (FLOAT, 2)} if settings.use_key_shift_embed else {}
    inputs |= {"velocity": (FLOAT, 2)} if settings.use_speed_embed else {}
    inputs |= _speaker(settings)
    if settings.use_variable_depth:
        inputs["depth"] = (FLOAT if settings.use_continuous_acceleration else INT, 0)
    return inputs | _steps(settings)


def linguistic_inputs(settings: Settings) -> Inputs:
    """Of the linguistic encoder, by words or by phonemes."""
    inputs = {"tokens": (INT, 2)} | _languages(settings)
    if settings.predict_dur:
        return inputs | {"word_div": (INT, 2), "word_dur": (INT, 2)}
    return inputs | {"ph_dur": (INT, 2)}


def dur_inputs(settings: Settings) -> Inputs:
    """Of the duration predictor."""
    inputs = {"encoder_out": (FLOAT, 3), "x_masks": (BOOL, 2), "ph_midi": (INT, 2)}
    return inputs | _speaker(settings)


def pitch_inputs(settings: Settings) -> Inputs:
    """Of the pitch predictor."""
    inputs = {"encoder_out": (FLOAT, 3), "ph_dur": (INT, 2), "note_midi": (FLOAT, 2)}
    inputs |= {"note_rest": (BOOL, 2)} if settings.use_note_rest else {}
    inputs |= {"note_dur": (INT, 2), "pitch": (FLOAT, 2)}
    inputs |= {"expr": (FLOAT, 2)} if settings.use_expr else {}
    return inputs | {"retake": (BOOL, 2)} | _speaker(settings) | _steps(settings)


def variance_inputs(settings: Settings) -> Inputs:
    """Of the variance predictor."""
    inputs = {"encoder_out": (FLOAT, 3), "ph_dur": (INT, 2), "pitch": (FLOAT, 2)}
    inputs |= {name: (FLOAT, 2) for name in settings.predicted_curves}
    return inputs | {"retake": (BOOL, 3)} | _speaker(settings) | _steps(settings)


def vocoder_inputs(settings: Settings) -> Inputs:
    """Of the vocoder."""
    return {"mel": (FLOAT, 3), "f0": (FLOAT, 2)}


def _languages(settings: Settings) -> Inputs:
    return {"languages": (INT, 2)} if settings.use_lang_id else {}


def _speaker(settings: Settings) -> Inputs:
    return {"spk_embed": (FLOAT, 3)} if settings.speakers else {}


def _steps(settings: Settings) -> Inputs:
    return {"steps" if settings.use_continuous_acceleration else "speedup": (INT, 0)}


INPUTS = {
    "acoustic": acoustic_inputs,
    "linguistic": linguistic_inputs,
    "dur": dur_inputs,
    "pitch": pitch_inputs,
    "variance": variance_inputs,
}
"""By the key of dsconfig.yaml that names the file."""

_KEYS = {
    "languages": "use_lang_id", "gender": "use_key_shift_embed", "velocity": "use_speed_embed",
    "spk_embed": "speakers", "depth": "use_variable_depth", "expr": "use_expr",
    "note_rest": "use_note_rest", "steps": "use_continuous_acceleration",
    "speedup": "use_continuous_acceleration", "word_div": "predict_dur", "word_dur": "predict_dur",
    "ph_dur": "predict_dur",
}  # fmt: skip
_SCALARS = ((), (1,), (None,))


def outputs_of(settings: Settings, role: str) -> tuple[str, ...]:
    """Names of the outputs that are asked for by name; of others the first one counts."""
    if role == "linguistic":
        return ("encoder_out", "x_masks")
    if role == "variance":
        return tuple(f"{name}_pred" for name in settings.predicted_curves)
    return ()


def require_contract(graph: OnnxGraph, settings: Settings, role: str) -> None:
    """Checks names first, then types and shapes.

    Raises:
      InputError: with every name that is missing or too many, and the key that asks for it; or
        with the first input of another type or shape; or with a missing output.
    """
    expected = INPUTS[role](settings)
    missing = [name for name in expected if name not in graph.inputs]
    extra = [name for name in graph.inputs if name not in expected]
    if missing or extra:
        lacks = [f"no input {name} ({_key(name, role)})" for name in missing]
        has = [f"an input {name} that is never given ({_key(name, role)})" for name in extra]
        raise InputError(
            f"{graph.where}: has {' and '.join(lacks + has)}; make {settings.where} say what the "
            "graph has"
        )
    for name, (dtype, rank) in expected.items():
        tensor = graph.inputs[name]
        if tensor.dtype != dtype:
            raise InputError(
                f"{graph.where}: its input {name} has type {tensor.dtype}, expected {dtype}; "
                "export it again"
            )
        fits = tensor.shape is None or (
            len(tensor.shape) == rank if rank else tensor.shape in _SCALARS
        )
        if not fits:
            raise InputError(
                f"{graph.where}: its input {name} has {len(tensor.shape or ())} axes, expected "
                f"{rank}; export it again"
            )
    _require_sizes(graph, settings)
    lost = [name for name in outputs_of(settings, role) if name not in graph.outputs]
    if lost or not graph.outputs:
        raise InputError(
            f"{graph.where}: has no output {', '.join(lost) or 'at all'}; make {settings.where} "
            "say what the graph has"
        )


def _require_sizes(graph: OnnxGraph, settings: Settings) -> None:
    """The widths that a graph declares, against hidden_size and the number of curves."""
    shape = graph.inputs["spk_embed"].shape if "spk_embed" in graph.inputs else None
    if shape and shape[-1] not in (None, settings.hidden_size):
        raise InputError(
            f"{graph.where}: its input spk_embed is {shape[-1]} wide, but hidden_size is "
            f"{settings.hidden_size}; write {shape[-1]} in {settings.where}"
        )
    shape = graph.inputs["retake"].shape if "retake" in graph.inputs else None
    curves = len(settings.predicted_curves)
    if shape and len(shape) == 3 and shape[-1] not in (None, curves):
        raise InputError(
            f"{graph.where}: predicts {shape[-1]} curves, but {settings.where} names {curves}; "
            "correct its predict_ keys"
        )
    shape = graph.outputs["mel"].shape if "mel" in graph.outputs else None
    if shape and len(shape) == 3 and shape[-1] not in (None, settings.num_mel_bins):
        raise InputError(
            f"{graph.where}: makes {shape[-1]} mel bins, but num_mel_bins is "
            f"{settings.num_mel_bins}; write {shape[-1]} in {settings.where}"
        )


def _key(name: str, role: str) -> str:
    """The key that decides on an input."""
    if name in ("energy", "breathiness", "voicing", "tension"):
        return f"use_{name}_embed" if role == "acoustic" else f"predict_{name}"
    if name == "note_glide":
        return "OpenUtau gives none: export the model with its glide frozen"
    return _KEYS.get(name, "always given" if name in ("tokens", "f0") else "of no key")
