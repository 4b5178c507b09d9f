"""Where training starts from when it does not start from nothing: a voice.

A voice brings all that its weights fix: the model's sizes and ways, the noise schedule, what the
denoiser predicts, the mel, and the range that mels are scaled by. Its phonemes, speakers and
languages keep their numbers and their rows; what a corpus has beyond them gets rows behind. Curves
that a config names beyond the voice's are added to its model, with params of their own.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import flax.traverse_util
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.engine.state import Params, is_below
from diffsinger_jax.errors import InputError
from diffsinger_jax.pipeline.mix import MixedCorpus, open_corpora
from diffsinger_jax.tasks.acoustic.config import AcousticConfig
from diffsinger_jax.tasks.acoustic.measurements import PRIOR_PARAMS
from diffsinger_jax.tasks.acoustic.stages import DENOISER_PARAMS
from diffsinger_jax.voices.voice import Voice, load_diffsinger

TABLES = {
    "phonemes": ("encoder/phoneme/embedding",),
    "speakers": ("encoder/speaker/embedding", "speaker_embedding/embedding"),
    "languages": ("encoder/language/embedding",),
}
"""The params with a row for each name of a vocabulary, of which a model has some."""
CURVE_PARAMS = "curve_embedding"
"""The params that grow with the curves of a model."""
OF_DENOISER = (
    *("trunk", "trunk_settings", "denoiser_channels", "denoiser_layers", "dilation_cycle"),
    "condition_on_prior",
)
"""Arguments of the model that say how its denoiser is built."""
NEW_WITH_DENOISER = (*DENOISER_PARAMS, *PRIOR_PARAMS)
"""The params that a new denoiser begins with or that are measured for it."""
MEAN_AT_FIRST = (*TABLES["speakers"], *TABLES["languages"])
"""A new speaker or language begins as the mean of those that are known, a phoneme at random."""


@functools.lru_cache(maxsize=1)  # a run asks for it more than once
def _load(path: str) -> Voice:
    try:
        return load_diffsinger(path)
    except InputError as error:
        raise InputError(f"config.start_from: {error}") from error


def start_voice(path: str) -> Voice | None:
    """The voice of `config.start_from`; None if that is "".

    Raises:
      InputError: if it cannot be read.
    """
    return _load(path) if path else None


def with_voice(given: Mapping[str, Any]) -> dict[str, Any]:
    """Sections of a config with the model, schedule and process of the voice that it starts from.

    What says how to compute and not what, `model.dtype`, stays the config's; curves that the config
    names come to those of the voice. With `new_denoiser` the denoiser, its schedule and its process
    are the config's, too.

    Raises:
      InputError: if the voice cannot be read.
    """
    voice = start_voice(given.get("start_from", ""))
    if voice is None:
        return dict(given)
    model = {**voice.model, "dtype": given["model"]["dtype"]}
    if new := new_curves(voice, given["model"].get("curves", ())):
        model["curves"] = (*voice.curves, *new)
    if given.get("new_denoiser"):
        kept = {name: value for name, value in model.items() if name not in OF_DENOISER}
        ours = {name: value for name, value in given["model"].items() if name in OF_DENOISER}
        return {**given, "model": kept | ours}
    return {
        **given,
        "model": model,
        "schedule": dict(voice.schedule),
        "process": voice.process,
    }


def new_curves(voice: Voice, curves: Sequence[str]) -> list[str]:
    """Those of the names that the voice has not learned to follow."""
    return [name for name in curves if name not in voice.curves]


def open_training_corpus(config: AcousticConfig) -> MixedCorpus:
    """The corpora of `config.corpus`, numbered and scaled as the voice to start from is.

    Raises:
      InputError: if one cannot be read, or its mel is not the voice's.
    """
    voice = start_voice(config.start_from)
    curves = config.model.get("curves", ())
    return open_corpora(config.corpus, base=voice.info if voice else None, curves=curves)


def start_params(config: AcousticConfig, fresh: Params) -> Params:
    """The voice's params in the shapes of `fresh` ones, or those where there is no voice."""
    voice = start_voice(config.start_from)
    if voice is None:
        return fresh
    return join_voice(fresh, voice.params, NEW_WITH_DENOISER if config.new_denoiser else ())


def join_voice(fresh: Params, trained: Mapping[str, Any], renewed: tuple[str, ...] = ()) -> Params:
    """Params of a voice, with rows for what is new behind the rows that it has.

    Args:
      fresh: of the same model with perhaps more phonemes, speakers, languages and curves.
      trained: the voice's.
      renewed: paths of params that stay fresh.
    """
    known = flax.traverse_util.flatten_dict(dict(trained), sep="/")
    joined = {}
    for path, value in flax.traverse_util.flatten_dict(fresh, sep="/").items():
        if is_below(path, renewed) or path not in known and is_below(path, (CURVE_PARAMS,)):
            joined[path] = value
            continue
        old = jnp.array(known[path])  # a copy: training donates its buffers
        if any(path in tables for tables in TABLES.values()):
            new = value[len(old) :]
            if path in MEAN_AT_FIRST:
                new = jnp.broadcast_to(old.mean(axis=0), new.shape)
            old = jnp.concatenate([old, new])
        joined[path] = old
    return flax.traverse_util.unflatten_dict(joined, sep="/")


def frozen_paths(config: AcousticConfig) -> tuple[str, ...]:
    """`config.freeze`; one entry may hold several paths with commas between, as flags do."""
    return tuple(path for entry in config.freeze for path in entry.split(","))


def require_paths(params: Params, freeze: tuple[str, ...]) -> None:
    """Refuses to freeze what the model does not have.

    Args:
      params: or their shapes.

    Raises:
      InputError: naming the path, and what there is.
    """
    paths = flax.traverse_util.flatten_dict(params, sep="/")
    for top in freeze:
        if not any(is_below(path, (top,)) for path in paths):
            parent = top.rpartition("/")[0]
            beside = sorted({_next(path, parent) for path in paths if is_below(path, (parent,))})
            beside = beside or sorted(params)
            raise InputError(
                f"config.freeze names {top!r}, which is no param of the model; there are "
                f"{', '.join(beside)}"
            )


def describe_start(config: AcousticConfig, corpus: MixedCorpus) -> list[str]:
    """Sentences for the user: what is taken from the voice, what is new, what does not fit."""
    voice = start_voice(config.start_from)
    weights = config.auxiliary.weights
    said = []
    if config.model.get("pitch") == "none" and (weights.pitch or weights.voicing):
        said.append("the model predicts no pitch: the weights of pitch and voicing are not used")
    if voice is None:
        return said
    kept = "model, schedule, process and mel range are kept"
    if config.new_denoiser:
        kept = "encoder, auxiliary decoder and mel range are kept, and the denoiser is a new one"
    said += [f"training starts from the voice {voice.name} ({config.start_from}): its {kept}"]
    known = flax.traverse_util.flatten_dict(dict(voice.params), sep="/")
    for kind, tables in TABLES.items():
        old, now = (getattr(info.vocabulary, kind) for info in (voice.info, corpus.info))
        if new := ", ".join(now[len(old) :]):
            has = any(table in known for table in tables)
            rows = "with rows of their own" if has else "which its model sings alike"
            said.append(f"new {kind}, {rows}: {new}")
    if new := ", ".join(new_curves(voice, config.model.get("curves", ()))):
        said.append(f"new curves, which the voice has yet to learn: {new}")
    low, high = (np.asarray(edge) for edge in (voice.info.mel_min, voice.info.mel_max))
    infos = [part.info for part in corpus.parts]
    beyond = max(
        np.max(low - np.min([info.mel_min for info in infos], axis=0)),
        np.max(np.max([info.mel_max for info in infos], axis=0) - high),
    )
    if beyond > 0:
        said.append(
            f"mels of the corpus go up to {beyond:.2f} beyond the voice's range, which stays; "
            "singing clips them there"
        )
    return said


def _next(path: str, parent: str) -> str:
    """The path down to one name below the parent."""
    depth = parent.count("/") + 2 if parent else 1
    return "/".join(path.split("/")[:depth])
