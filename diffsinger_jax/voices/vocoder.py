"""A neural vocoder: a folder with what turns a mel and f0 into sound.

vocoder.json         name, licence, the mel it expects, the sizes of its generator
params.safetensors   the weights, float32; no code, unlike a pickle
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.errors import InputError
from diffsinger_jax.models.nsf_hifigan import SINE_ENTERS, SOURCES, NsfHifigan
from diffsinger_jax.modules.hifigan import RESBLOCK_DILATIONS
from diffsinger_jax.pitch import fill_unvoiced
from diffsinger_jax.types import Array, MelSpec
from diffsinger_jax.voices.trace_cache import TraceCache, cached_shapes
from diffsinger_jax.voices.vocoder_spec import require_renderable
from diffsinger_jax.voices.weights import read_weights, require_weights, write_folder

FORMAT_VERSION = 1
VOCODER_FILE = "vocoder.json"
UNVOICED = ("zero", "filled")
"""What f0 was in unvoiced frames while the vocoder was trained: 0, or filled in between."""


@dataclasses.dataclass(frozen=True)
class NeuralVocoder:
    """A trained generator and what it expects.

    Attributes:
      name: for people.
      mel: that it reads.
      model: the generator's keyword arguments, but for those that `mel` says.
      unvoiced: of `UNVOICED`.
      params: of the generator, f32.
      licence: of the weights, with the credit line that must travel with them.
    """

    name: str
    mel: MelSpec
    model: Mapping[str, Any]
    unvoiced: str
    params: Mapping[str, Any]
    licence: str = ""

    @functools.cached_property
    def generator(self) -> NsfHifigan:
        """Its network."""
        return make_generator(self.model, self.mel, self.name)

    def __call__(
        self, mel: Array, f0: Array, keys: jax.Array, mask: Array | None = None
    ) -> np.ndarray:
        """Sound of a batch; rows do not see each other, nor the padding behind them.

        Args:
          mel: f32[B, T, M] log amplitude as `self.mel` says.
          f0: f32[B, T] Hz, 0 unvoiced.
          keys: [B], of what is random in each row.
          mask: bool[B, T] True on real frames; None if all are.

        Returns:
          f32[B, T * hop].

        Raises:
          InputError: if mel and f0 do not fit each other or the vocoder, or are not numbers.
        """
        mel, f0 = np.asarray(mel, np.float32), np.asarray(f0, np.float32)
        mask = np.ones(f0.shape, bool) if mask is None else np.asarray(mask)
        if mask.shape == f0.shape == mel.shape[:2]:  # what padding holds is nobody's concern
            mel, f0 = (
                np.where(mask[..., None], mel, np.float32(self.mel.silence)),
                np.where(mask, f0, 0.0),
            )
        require_renderable(mel, f0, self.mel, self.name)
        mel, f0 = self._prepared(mel, f0)
        wav = self._render(self.params, mel, f0, keys)
        return np.asarray(wav)[:, : mask.shape[1] * self.mel.hop]

    def stream(
        self, mel: np.ndarray, f0: np.ndarray, key: jax.Array, *, frames_at_once: int = 128
    ) -> Iterator[np.ndarray]:
        """Sound of one long row, piece by piece: together what `__call__` makes of it.

        Each piece is computed with as many frames around it as the generator can see, and a
        source whose phase runs on.

        Args:
          mel: f32[T, M] log amplitude.
          f0: f32[T] Hz, 0 unvoiced.
          key: of what is random.
          frames_at_once: bounds the memory.

        Yields:
          f32[L], L = frames_at_once * hop but for the last piece.

        Raises:
          InputError: as `__call__`.
        """
        mel, f0 = np.asarray(mel, np.float32)[None], np.asarray(f0, np.float32)[None]
        require_renderable(mel, f0, self.mel, self.name)
        reach, frames, hop = self.generator.reach_frames, f0.shape[1], self.mel.hop
        mel, f0 = self._prepared(mel, f0)
        source_key, noise_key = jax.random.split(key)
        source = self._excite(self.params, f0, source_key)
        per_frame = source.shape[1] // f0.shape[1]
        window = min(frames_at_once + 2 * reach, f0.shape[1])  # one length, one program
        for first in range(0, frames, frames_at_once):
            last = min(first + frames_at_once, frames)
            begin = min(max(first - reach, 0), f0.shape[1] - window)
            end = begin + window
            wav = self._voice(
                self.params,
                mel[:, begin:end],
                source[:, begin * per_frame : end * per_frame],
                jax.random.fold_in(noise_key, first),
            )
            yield np.asarray(wav)[0, (first - begin) * hop : (last - begin) * hop]

    def _prepared(self, mel: np.ndarray, f0: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """f0 as in training, and silence behind each row: its end is the same however padded."""
        tail = (0, self.generator.reach_frames)
        hold: Literal["constant", "edge"] = "constant"
        if self.unvoiced == "filled":
            f0, hold = fill_unvoiced(f0), "edge"
        mel = np.pad(mel, ((0, 0), tail, (0, 0)), constant_values=np.float32(self.mel.silence))
        return mel, np.pad(f0, ((0, 0), tail), mode=hold)

    @functools.cached_property
    def _render(self) -> Callable[..., jax.Array]:
        def row(params, mel, f0, key):
            return self.generator.apply({"params": params}, mel[None], f0[None], key)[0]

        return jax.jit(jax.vmap(row, in_axes=(None, 0, 0, 0)))

    @functools.cached_property
    def _excite(self) -> TraceCache:
        def excite(params, *args):
            return self.generator.apply({"params": params}, *args, method="excite")

        return TraceCache(excite, self.generator)

    @functools.cached_property
    def _voice(self) -> TraceCache:
        def voice(params, *args):
            return self.generator.apply({"params": params}, *args, method="voice")

        return TraceCache(voice, self.generator)


def make_generator(
    model: Mapping[str, Any],
    mel: MelSpec,
    where: str,
    *,
    advice: str = "give the config that the weights were trained with",
) -> NsfHifigan:
    """The generator of a vocoder.

    Args:
      model: its keyword arguments but for mel_bins and sample_rate; lists may stand for tuples.
      mel: gives these two.
      where: the file they are from, for the error message.
      advice: what to do where they do not fit each other.

    Raises:
      InputError: if the sizes do not fit each other.
    """
    try:
        sizes = dict(model)
        sizes["resblock_dilations"] = tuple(map(tuple, sizes["resblock_dilations"]))
        for name in ("upsample_rates", "upsample_kernels", "resblock_kernels"):
            sizes[name] = tuple(sizes[name])
        generator = NsfHifigan(mel_bins=mel.n_mels, sample_rate=mel.sample_rate, **sizes)
        wrong = _contradiction(generator, mel)
    except (TypeError, KeyError, ValueError) as error:
        raise InputError(f"{where} does not describe an NSF-HiFiGAN ({error})") from error
    if wrong:
        raise InputError(f"{where}: {wrong}; {advice}")
    return generator


def _contradiction(g: NsfHifigan, mel: MelSpec) -> str | None:
    """What is wrong with a generator's sizes, or None."""
    rates, kernels = g.upsample_rates, g.upsample_kernels
    if not rates or len(rates) != len(kernels):
        return f"{len(rates)} upsample rates and {len(kernels)} upsample kernel sizes"
    if not g.resblock_kernels or len(g.resblock_kernels) != len(g.resblock_dilations):
        return (
            f"{len(g.resblock_kernels)} resblock kernel sizes and {len(g.resblock_dilations)} "
            "lists of resblock dilations"
        )
    if g.resblock not in RESBLOCK_DILATIONS:
        return f"the resblock is {g.resblock!r}, this program knows {', '.join(RESBLOCK_DILATIONS)}"
    sizes = [*rates, *kernels, *g.resblock_kernels, *sum(g.resblock_dilations, ()), g.channels]
    if any(isinstance(x, bool) or not isinstance(x, int) or x < 1 for x in sizes):
        return "not all sizes are whole numbers above 0"
    if math.prod(rates) != mel.hop:
        return f"the upsample rates multiply to {math.prod(rates)}, the hop is {mel.hop}"
    if g.channels < 2 ** len(rates):
        return f"{g.channels} channels cannot be halved {len(rates)} times"
    for kernel, dilations in zip(g.resblock_kernels, g.resblock_dilations, strict=True):
        if len(dilations) != RESBLOCK_DILATIONS[g.resblock]:
            count = RESBLOCK_DILATIONS[g.resblock]
            return f"a resblock {g.resblock} takes {count} dilations, got {list(dilations)}"
        for dilation in (*dilations, 1) if g.resblock == "1" else dilations:
            if (kernel - 1) * dilation % 2:
                return f"a resblock kernel of {kernel} taps cannot be centred"
    for i, (rate, kernel) in enumerate(zip(rates, kernels, strict=True)):
        if kernel < rate:
            return f"the upsample kernel of {kernel} taps leaves gaps at the rate {rate}"
        before_source = g.source == "harmonics" or i <= SINE_ENTERS
        if before_source and (kernel - rate) % 2:
            return f"upsampling by {rate} with {kernel} taps gives one sample more than the source"
        rest = math.prod(rates[i + 1 :])
        if g.source == "harmonics" and rest > 1 and rest % 2:
            return (
                f"the source cannot be brought to upsampling {i}, {rest} times slower: that's odd"
            )
    if g.source not in SOURCES:
        return f"the source is {g.source!r}, this program knows {', '.join(SOURCES)}"
    if g.source == "sine" and len(rates) <= SINE_ENTERS:
        return f"the sine enters after upsampling {SINE_ENTERS + 1}, there are {len(rates)}"
    return None


def generator_shapes(generator: NsfHifigan) -> dict[str, Any]:
    """Shapes of all params, without computing anything."""

    def init() -> Any:
        mel, f0 = jnp.zeros((1, 1, generator.mel_bins)), jnp.zeros((1, 1))
        return generator.init(jax.random.key(0), mel, f0)["params"]

    return cached_shapes(init, generator)


def save_vocoder(path: str | os.PathLike, vocoder: NeuralVocoder) -> None:
    """Writes the two files; the folder is a vocoder only once both are whole.

    Raises:
      InputError: if the folder cannot be written to.
    """
    folder = Path(path)
    flat = flax.traverse_util.flatten_dict(dict(vocoder.params), sep="/")
    description = {
        "format": FORMAT_VERSION,
        "name": vocoder.name,
        "licence": vocoder.licence,
        "unvoiced": vocoder.unvoiced,
        "mel": dataclasses.asdict(vocoder.mel),
        "model": dict(vocoder.model),
    }
    weights = {name: jnp.asarray(value, jnp.float32) for name, value in flat.items()}
    write_folder(folder, "vocoder", weights, VOCODER_FILE, description)


def load_vocoder(path: str | os.PathLike) -> NeuralVocoder:
    """Reads a vocoder folder.

    Raises:
      InputError: if a file, a field or a weight is missing or misshapen.
    """
    folder, file = Path(path), Path(path, VOCODER_FILE)
    description = _read_description(file)
    try:
        mel = MelSpec(**description["mel"])
        model = description["model"]
        unvoiced = description["unvoiced"]
        name, licence = description["name"], description.get("licence", "")
    except (KeyError, TypeError) as error:
        raise InputError(f"{file} does not describe a vocoder ({error}); copy it again") from error
    if unvoiced not in UNVOICED:
        raise InputError(f"{file}: unvoiced is {unvoiced!r}, expected {' or '.join(UNVOICED)}")
    generator = make_generator(model, mel, str(file))
    params = read_weights(folder, "vocoder")
    require_weights(params, generator_shapes(generator), folder, VOCODER_FILE)
    return NeuralVocoder(
        name=name,
        mel=mel,
        model=model,
        unvoiced=unvoiced,
        params=flax.traverse_util.unflatten_dict(params, sep="/"),
        licence=licence,
    )


def _read_description(file: Path) -> dict[str, Any]:
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{file.parent} is no vocoder: there is no {file.name} in it") from None
    except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is not JSON ({error}); copy it again") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT_VERSION:
        raise InputError(
            f"{file} is not of format {FORMAT_VERSION}; use the program version that wrote it"
        )
    return description
