"""Our parameters and the tensors of openvpi/DiffSinger's acoustic models, both ways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from diffsinger_jax.interop.name_map import (
    MATRIX,
    POINTWISE,
    Layout,
    Link,
    Row,
    convolution,
    fft_blocks,
    linear,
    link_rows,
    norm,
)
from diffsinger_jax.models.diffsinger import DiffSinger

COLUMN = Layout(lambda x: x[:, 0], lambda x: x[:, None])  # [out, 1] there, [out] here
DEPTHWISE = Layout(lambda x: x[:, 0].T, lambda x: x.T[:, None])  # [C, 1, taps] there

RENAMED = (("self_attn.in_proj_weight", "self_attn.in_proj.weight"),)
"""Names up to 2.5.1, and those of today."""

LEFT_OUT: Mapping[str, str] = {
    r".*\.rotary_embed\..*": "a table of rotary positions, computed anew",
    r".*embed_positions\._float_tensor": "a marker of the position code, no number",
    r"(diffusion|\w+_predictor)\.((alphas_cumprod|posterior|sqrt|log)_.*|betas|alphas_cumprod)": (
        "the schedule, kept in voice.json"
    ),
    r"diffusion\.spec_(min|max)": "the range of the mel, kept in voice.json",
    r"\w+_predictor\.spec_(min|max)": "the range of pitch or curves, kept in variance.json",
}
"""Tensors that are no parameters of ours: pattern -> what becomes of them."""


def scalar(ours: str, theirs: str) -> tuple[Row, ...]:
    """The rows of a `ScalarEmbed`."""
    return Row(f"{ours}/weight", f"{theirs}.weight", COLUMN), Row(f"{ours}/bias", f"{theirs}.bias")


def _style_norm(ours: str, theirs: str) -> tuple[Row, ...]:
    return (
        Row(f"{ours}/affine/kernel", f"{theirs}.affine.weight", MATRIX),
        Row(f"{ours}/affine/bias", f"{theirs}.affine.bias"),
    )


def _depthwise(ours: str, theirs: str) -> tuple[Row, ...]:
    return (
        Row(f"{ours}/kernel", f"{theirs}.weight", DEPTHWISE),
        Row(f"{ours}/bias", f"{theirs}.bias"),
    )


def stretch(theirs: str) -> tuple[Row, ...]:
    """The rows of a `StretchEmbedding`."""
    ours, rnn = "stretch_embedding/recurrent", f"{theirs}_rnn"
    return (
        *linear("stretch_embedding/in", f"{theirs}.1"),
        *linear("stretch_embedding/out", f"{theirs}.3"),
        Row(f"{ours}/input_kernel", f"{rnn}.weight_ih_l0", MATRIX),
        Row(f"{ours}/input_bias", f"{rnn}.bias_ih_l0"),
        Row(f"{ours}/recurrent_kernel", f"{rnn}.weight_hh_l0", MATRIX),
        Row(f"{ours}/recurrent_bias", f"{rnn}.bias_hh_l0"),
    )


_LAYER = "fs2.encoder.layers.{i}.op"

CONDITION: tuple[Row, ...] = (
    Row("encoder/phoneme/embedding", "fs2.txt_embed.weight"),
    Row("encoder/language/embedding", "fs2.lang_embed.weight"),
    *scalar("encoder/duration", "fs2.dur_embed"),
    *fft_blocks("encoder/blocks", "fs2.encoder", in_projection="self_attn.in_proj.weight"),
    *_style_norm("encoder/blocks/block_{i}/attention_norm", f"{_LAYER}.layer_norm1"),
    *_style_norm("encoder/blocks/block_{i}/feed_forward_norm", f"{_LAYER}.layer_norm2"),
    *stretch("fs2.stretch_embed"),
    Row("speaker_embedding/embedding", "fs2.spk_embed.weight"),
    *scalar("pitch_embedding/scalar", "fs2.pitch_embed"),
    *scalar("curve_embedding/key_shift", "fs2.key_shift_embed"),
    *scalar("curve_embedding/speed", "fs2.speed_embed"),
    *(
        row
        for curve in ("energy", "breathiness", "voicing", "tension")
        for row in scalar(f"curve_embedding/{curve}", f"fs2.variance_embeds.{curve}")
    ),
)

AUXILIARY: tuple[Row, ...] = (
    *convolution("auxiliary_decoder/in", "aux_decoder.decoder.inconv"),
    Row("auxiliary_decoder/block_{i}/gamma", "aux_decoder.decoder.conv.{i}.gamma"),
    *_depthwise("auxiliary_decoder/block_{i}/depthwise", "aux_decoder.decoder.conv.{i}.dwconv"),
    *norm("auxiliary_decoder/block_{i}/norm", "aux_decoder.decoder.conv.{i}.norm"),
    *linear("auxiliary_decoder/block_{i}/in", "aux_decoder.decoder.conv.{i}.pwconv1"),
    *linear("auxiliary_decoder/block_{i}/out", "aux_decoder.decoder.conv.{i}.pwconv2"),
    *convolution("auxiliary_decoder/out", "aux_decoder.decoder.outconv"),
)


def _wavenet(backbone: str, cached: bool) -> tuple[Row, ...]:
    layer = f"{backbone}.residual_layers.{{i}}"
    condition = f"{layer}.conditioner_projection"
    return (
        *linear("denoiser/input", f"{backbone}.input_projection", POINTWISE),
        *linear("denoiser/step_in", f"{backbone}.mlp.0"),
        *linear("denoiser/step_out", f"{backbone}.mlp.2"),
        *convolution("denoiser/dilated_{i}", f"{layer}.dilated_conv"),
        *linear("denoiser/step_projection_{i}", f"{layer}.diffusion_projection"),
        Row("denoiser/condition/dense/kernel", f"{condition}.weight", POINTWISE, joined=True),
        Row("denoiser/condition/dense/bias", f"{condition}.bias", joined=True),
        *linear("denoiser/output_{i}", f"{layer}.output_projection", POINTWISE),
        *linear("denoiser/skip", f"{backbone}.skip_projection", POINTWISE),
        *linear("denoiser/head", f"{backbone}.output_projection", POINTWISE),
    )


def _lynxnet(backbone: str, cached: bool) -> tuple[Row, ...]:
    layer = f"{backbone}.residual_layers.{{i}}"
    condition, net = f"{layer}.conditioner_projection", f"{layer}.convmodule.net"
    block = "denoiser/blocks_{i}"
    return (
        *linear("denoiser/input", f"{backbone}.input_projection", POINTWISE),
        *linear("denoiser/step_in", f"{backbone}.diffusion_embedding.1"),
        *linear("denoiser/step_out", f"{backbone}.diffusion_embedding.3"),
        *linear("denoiser/step_projection_{i}", f"{layer}.diffusion_projection", POINTWISE),
        Row("denoiser/condition/dense/kernel", f"{condition}.weight", POINTWISE, joined=True),
        Row("denoiser/condition/dense/bias", f"{condition}.bias", joined=True),
        *norm(f"{block}/norm", f"{net}.0"),
        *linear(f"{block}/in", f"{net}.2", POINTWISE),
        *_depthwise(f"{block}/depthwise", f"{net}.4"),
        Row(f"{block}/activation/slope", f"{net}.5.weight"),
        *linear(f"{block}/out", f"{net}.6", POINTWISE),
        *norm("denoiser/norm", f"{backbone}.norm"),
        *linear("denoiser/head", f"{backbone}.output_projection", POINTWISE),
    )


def _lynxnet2(backbone: str, cached: bool) -> tuple[Row, ...]:
    net, block = f"{backbone}.residual_layers.{{i}}.net", "denoiser/blocks_{i}"
    condition = POINTWISE if cached else MATRIX
    return (
        *linear("denoiser/input", f"{backbone}.input_projection"),
        *linear("denoiser/condition", f"{backbone}.conditioner_projection", condition),
        *linear("denoiser/step_in", f"{backbone}.diffusion_embedding.1"),
        *linear("denoiser/step_out", f"{backbone}.diffusion_embedding.3"),
        *norm(f"{block}/norm", f"{net}.0"),
        *_depthwise(f"{block}/depthwise", f"{net}.2"),
        *linear(f"{block}/in", f"{net}.4"),
        *linear(f"{block}/middle", f"{net}.6"),
        *linear(f"{block}/out", f"{net}.8"),
        *norm("denoiser/norm", f"{backbone}.norm"),
        *linear("denoiser/head", f"{backbone}.output_projection"),
    )


TRUNK_ROWS = {"wavenet": _wavenet, "lynxnet": _lynxnet, "lynxnet2": _lynxnet2}
"""(name of the backbone, whether its condition is a convolution) -> rows."""


def trunk_rows(kind: str, backbone: str, *, cached: bool, ours: str) -> tuple[Row, ...]:
    """The rows of a trunk.

    Args:
      kind: a name in `TRUNK_ROWS`.
      backbone: its name there.
      cached: whether its condition is a convolution there.
      ours: its name in our params.
    """
    rows = TRUNK_ROWS[kind](backbone, cached)
    return tuple(row._replace(ours=ours + row.ours.removeprefix("denoiser")) for row in rows)


BACKBONES = {"eps": "diffusion.denoise_fn", "velocity": "diffusion.velocity_fn"}
"""What the trunk is called there, by our name of the process."""


def acoustic_links(
    paths: Iterable[str], model: DiffSinger, process: str, *, cached: bool = True
) -> list[Link]:
    """One link for every parameter of a model.

    Args:
      paths: of all its parameters.
      model: it.
      process: a name in `BACKBONES`.
      cached: `use_conditioner_cache` of its config: a LYNXNet2's condition is then a convolution.

    Raises:
      KeyError: for a parameter that openvpi's models have not.
    """
    trunk = TRUNK_ROWS[model.trunk](BACKBONES[process], cached)
    return list(link_rows(paths, (*CONDITION, *AUXILIARY, *trunk), model.denoiser_layers))


def with_todays_names(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors of older releases under the names of today's."""

    def renamed(name: str) -> str:
        for old, new in RENAMED:
            name = name.removesuffix(old) + new if name.endswith(old) else name
        return name

    return {renamed(name): tensor for name, tensor in tensors.items()}
