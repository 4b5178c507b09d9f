"""Our parameters and the reference's tensors: one table, read in both directions.

The reference is MoonInTheRiver/DiffSinger. Its names stand here without the `model.` that they
begin with in a checkpoint.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class Layout(NamedTuple):
    """How a tensor lies there and here."""

    to_ours: Callable[[np.ndarray], np.ndarray]
    to_theirs: Callable[[np.ndarray], np.ndarray]


SAME = Layout(lambda x: x, lambda x: x)
MATRIX = Layout(np.transpose, np.transpose)  # [out, in] there, [in, out] here
POINTWISE = Layout(lambda x: x[:, :, 0].T, lambda x: x.T[:, :, None])  # [out, in, 1] there
KERNEL = Layout(lambda x: x.transpose(2, 1, 0), lambda x: x.transpose(2, 1, 0))  # [out, in, taps]


class Row(NamedTuple):
    """One parameter of ours, or one of each layer where `{i}` stands.

    Attributes:
      ours: path in our params, parts joined by "/".
      theirs: name there.
      layout: between the two.
      joined: whether ours holds all layers of theirs, side by side along its last axis.
    """

    ours: str
    theirs: str
    layout: Layout = SAME
    joined: bool = False


def linear(ours: str, theirs: str, layout: Layout = MATRIX) -> tuple[Row, ...]:
    """The rows of a `Linear`."""
    return (
        Row(f"{ours}/dense/kernel", f"{theirs}.weight", layout),
        Row(f"{ours}/dense/bias", f"{theirs}.bias"),
    )


def norm(ours: str, theirs: str) -> tuple[Row, ...]:
    """The rows of a layer norm."""
    return Row(f"{ours}/scale", f"{theirs}.weight"), Row(f"{ours}/bias", f"{theirs}.bias")


def convolution(ours: str, theirs: str) -> tuple[Row, ...]:
    """The rows of a `Conv1D`."""
    return (
        Row(f"{ours}/kernel", f"{theirs}.weight", KERNEL),
        Row(f"{ours}/bias", f"{theirs}.bias"),
    )


def fft_blocks(
    ours: str, theirs: str, in_projection: str = "self_attn.in_proj_weight"
) -> tuple[Row, ...]:
    """The rows of FFT blocks and the norm behind them."""
    block, layer = f"{ours}/block_{{i}}", f"{theirs}.layers.{{i}}.op"
    return (
        *norm(f"{block}/attention_norm", f"{layer}.layer_norm1"),
        Row(f"{block}/attention/qkv/dense/kernel", f"{layer}.{in_projection}", MATRIX),
        Row(f"{block}/attention/out/dense/kernel", f"{layer}.self_attn.out_proj.weight", MATRIX),
        *norm(f"{block}/feed_forward_norm", f"{layer}.layer_norm2"),
        *convolution(f"{block}/feed_forward_in", f"{layer}.ffn.ffn_1"),
        *linear(f"{block}/feed_forward_out", f"{layer}.ffn.ffn_2"),
        *norm(f"{ours}/norm", f"{theirs}.layer_norm"),
    )


def convolution_stack(ours: str, theirs: str) -> tuple[Row, ...]:
    """The rows of a `ConvolutionStack`."""
    return (
        *convolution(f"{ours}/convolution_{{i}}", f"{theirs}.conv.{{i}}.1"),
        *norm(f"{ours}/norm_{{i}}", f"{theirs}.conv.{{i}}.3"),
    )


def _contours(ours: str, theirs: str) -> tuple[Row, ...]:
    return (
        Row(f"{ours}/position_scale", f"{theirs}.pos_embed_alpha"),
        *convolution_stack(f"{ours}/stack", theirs),
        *linear(f"{ours}/out", f"{theirs}.linear"),
    )


_LAYER = "denoise_fn.residual_layers.{i}"

TABLE: tuple[Row, ...] = (
    # The encoder; the three rows of notes are those of FastSpeech2MIDI.
    Row("encoder/phoneme/embedding", "fs2.encoder_embed_tokens.weight"),
    Row("encoder/midi/embedding", "fs2.midi_embed.weight"),
    *linear("encoder/seconds", "fs2.midi_dur_layer"),
    Row("encoder/slur/embedding", "fs2.is_slur_embed.weight"),
    *fft_blocks("encoder/blocks", "fs2.encoder"),
    # What is predicted of each phoneme and frame; a checkpoint has one kind of pitch or none.
    *convolution_stack("duration_predictor/stack", "fs2.dur_predictor"),
    *linear("duration_predictor/out", "fs2.dur_predictor.linear"),
    Row("pitch_embedding/table/embedding", "fs2.pitch_embed.weight"),
    *_contours("pitch_predictor/contours", "fs2.pitch_predictor"),
    *linear("pitch_predictor/before", "fs2.cwt_predictor.0"),
    *_contours("pitch_predictor/contours", "fs2.cwt_predictor.1"),
    *linear("pitch_predictor/statistics_0", "fs2.cwt_stats_layers.0"),
    *linear("pitch_predictor/statistics_1", "fs2.cwt_stats_layers.2"),
    *linear("pitch_predictor/statistics_2", "fs2.cwt_stats_layers.4"),
    # The auxiliary decoder.
    Row("auxiliary_decoder/position_scale", "fs2.decoder.pos_embed_alpha"),
    *fft_blocks("auxiliary_decoder/blocks", "fs2.decoder"),
    *linear("auxiliary_decoder/out", "fs2.mel_out"),
    # The denoiser.
    *linear("denoiser/input", "denoise_fn.input_projection", POINTWISE),
    *linear("denoiser/step_in", "denoise_fn.mlp.0"),
    *linear("denoiser/step_out", "denoise_fn.mlp.2"),
    *convolution("denoiser/dilated_{i}", f"{_LAYER}.dilated_conv"),
    *linear("denoiser/step_projection_{i}", f"{_LAYER}.diffusion_projection"),
    Row(
        "denoiser/condition/dense/kernel",
        f"{_LAYER}.conditioner_projection.weight",
        POINTWISE,
        joined=True,
    ),
    Row("denoiser/condition/dense/bias", f"{_LAYER}.conditioner_projection.bias", joined=True),
    *linear("denoiser/output_{i}", f"{_LAYER}.output_projection", POINTWISE),
    *linear("denoiser/skip", "denoise_fn.skip_projection", POINTWISE),
    *linear("denoiser/head", "denoise_fn.output_projection", POINTWISE),
)

OURS_ALONE = ("prior_scale",)
"""Parameters that the reference has not, and its process does not use."""

LEFT_OUT: Mapping[str, str] = {
    r"fs2\.encoder\.embed_tokens\.weight": "the phoneme table a second time",
    r"fs2\..*embed_positions\._float_tensor": "a marker of the position code, no number",
    r"(alphas_cumprod|posterior|sqrt|log)_.*|betas|alphas_cumprod": "the schedule, computed anew",
    r"spec_(min|max)": "the range of the mel, kept in voice.json",
}
"""Tensors of a checkpoint that are no parameters of ours: pattern -> what becomes of them."""


class Link(NamedTuple):
    """A row of the table for one model: one parameter and the tensors that it is made of."""

    ours: str
    theirs: tuple[str, ...]
    layout: Layout

    def to_ours(self, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
        """The parameter, of tensors by their names."""
        parts = [self.layout.to_ours(tensors[name]) for name in self.theirs]
        return np.ascontiguousarray(np.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0])

    def to_theirs(self, value: np.ndarray) -> dict[str, np.ndarray]:
        """The tensors, of the parameter."""
        parts = np.split(np.asarray(value), len(self.theirs), axis=-1)
        return {
            name: np.ascontiguousarray(self.layout.to_theirs(part))
            for name, part in zip(self.theirs, parts, strict=True)
        }

    def shapes(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """The tensors' shapes, of the parameter's."""
        # No memory is touched: the array has strides of zero.
        blank = np.broadcast_to(np.float32(0), shape)
        parts = np.split(blank, len(self.theirs), axis=-1)
        return {
            name: self.layout.to_theirs(part).shape
            for name, part in zip(self.theirs, parts, strict=True)
        }


def links(paths: Iterable[str], *, denoiser_layers: int, pitch: str) -> Iterator[Link]:
    """One link for every parameter of a model.

    Args:
      paths: of all its parameters.
      denoiser_layers: of its WaveNet, which the joined rows are split into.
      pitch: how it predicts pitch; "wavelet" lies under another name than "frame".

    Raises:
      KeyError: for a parameter that the table does not have: the model is none of theirs.
    """
    return link_rows(paths, [row for row in TABLE if _is_of_kind(row, pitch)], denoiser_layers)


def link_rows(paths: Iterable[str], rows: Sequence[Row], joined_layers: int) -> Iterator[Link]:
    """One link for every path, by the first row that it is of.

    Args:
      paths: of a model's parameters.
      rows: a table.
      joined_layers: how many layers a joined row is split into.

    Raises:
      KeyError: for a path that no row is of.
    """
    for path in sorted(paths):
        if path in OURS_ALONE:
            continue
        row, i = next(
            ((row, found[1]) for row in rows if (found := _match(row.ours, path))), (None, None)
        )
        if row is None:
            raise KeyError(path)
        names = (
            tuple(row.theirs.format(i=k) for k in range(joined_layers))
            if row.joined
            else (row.theirs.format(i=i),)
        )
        yield Link(path, names, row.layout)


def left_out(name: str, patterns: Mapping[str, str] = LEFT_OUT) -> str | None:
    """Why a tensor is no parameter of ours, or None if it should be one."""
    return next((why for pattern, why in patterns.items() if re.fullmatch(pattern, name)), None)


def _is_of_kind(row: Row, pitch: str) -> bool:
    other = "fs2.pitch_predictor" if pitch == "wavelet" else "fs2.cwt_"
    return not row.theirs.startswith(other)


def _match(pattern: str, path: str) -> tuple[bool, Any] | None:
    """(True, layer number as a string or None) if `path` is of the pattern."""
    found = re.fullmatch(re.escape(pattern).replace(r"\{i\}", r"(\d+)"), path)
    return None if found is None else (True, found[1] if found.groups() else None)
