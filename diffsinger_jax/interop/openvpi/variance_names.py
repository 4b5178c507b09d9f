"""Our parameters and the tensors of openvpi/DiffSinger's variance models, both ways."""

from __future__ import annotations

from collections.abc import Iterable

from diffsinger_jax.interop.name_map import (
    POINTWISE,
    Link,
    Row,
    convolution,
    convolution_stack,
    fft_blocks,
    linear,
    link_rows,
    norm,
)
from diffsinger_jax.interop.openvpi.names import scalar, stretch, trunk_rows
from diffsinger_jax.models.variance import Variance

IN_PROJECTION = "self_attn.in_proj.weight"
_CONV, _DURATION = "fs2.dur_predictor.conv.{i}", "duration_predictor"

ROWS: tuple[Row, ...] = (
    Row("encoder/phoneme/embedding", "fs2.txt_embed.weight"),
    Row("encoder/language/embedding", "fs2.lang_embed.weight"),
    Row("encoder/onset/embedding", "fs2.onset_embed.weight"),
    *scalar("encoder/word_frames", "fs2.word_dur_embed"),
    *scalar("encoder/duration", "fs2.ph_dur_embed"),
    *fft_blocks("encoder/blocks", "fs2.encoder", in_projection=IN_PROJECTION),
    # Durations: of the two predictors a model has one.
    Row("key_embedding/embedding", "fs2.midi_embed.weight"),
    *norm(f"{_DURATION}/norm_{{i}}", f"{_CONV}.0"),
    *convolution(f"{_DURATION}/convolution_{{i}}", f"{_CONV}.1"),
    *linear(f"{_DURATION}/pointwise_{{i}}", f"{_CONV}.3", POINTWISE),
    *linear(f"{_DURATION}/project", "fs2.dur_predictor.res_conv", POINTWISE),
    *convolution_stack(f"{_DURATION}/stack", "fs2.dur_predictor"),
    *linear(f"{_DURATION}/out", "fs2.dur_predictor.linear"),
    # What the generators are shown.
    Row("speaker_embedding/embedding", "spk_embed.weight"),
    *stretch("stretch_embed"),
    *scalar("melody_encoder/pitch", "melody_encoder.note_midi_embed"),
    *scalar("melody_encoder/frames", "melody_encoder.note_dur_embed"),
    Row("melody_encoder/glide/embedding", "melody_encoder.note_glide_embed.weight"),
    *fft_blocks("melody_encoder/blocks", "melody_encoder.encoder", in_projection=IN_PROJECTION),
    *linear("melody_encoder/out", "melody_encoder.out_proj"),
    Row("retake_embedding/embedding", "pitch_retake_embed.weight"),
    *scalar("distance_embedding", "delta_pitch_embed"),
    *scalar("line_embedding", "base_pitch_embed"),
    *scalar("pitch_embedding", "pitch_embed"),
    *(
        row
        for curve in ("energy", "breathiness", "voicing", "tension")
        for row in scalar(f"curve_embedding/{curve}", f"variance_embeds.{curve}")
    ),
)

GENERATORS = {"pitch_trunk": "pitch_predictor", "curve_trunk": "variance_predictor"}
"""Our names of the trunks, and what they are in there."""
BACKBONES = {"eps": "denoise_fn", "velocity": "velocity_fn"}
"""What a trunk is called there, by our name of the process."""


def variance_links(
    paths: Iterable[str], model: Variance, process: str, *, cached: dict[str, bool]
) -> list[Link]:
    """One link for every parameter of a model.

    Args:
      paths: of all its parameters.
      model: it.
      process: a name in `BACKBONES`.
      cached: `use_conditioner_cache` of each trunk's config, by our name.

    Raises:
      KeyError: for a parameter that openvpi's models have not.
    """
    paths = list(paths)
    links = link_rows([p for p in paths if p.split("/")[0] not in GENERATORS], ROWS, 0)
    found = list(links)
    settings = {"pitch_trunk": model.pitch_settings, "curve_trunk": model.curve_settings}
    for ours, theirs in GENERATORS.items():
        its_own = [path for path in paths if path.split("/")[0] == ours]
        if not its_own:
            continue
        backbone = f"{theirs}.{BACKBONES[process]}"
        kind, layers = settings[ours]["trunk"], settings[ours]["layers"]
        rows = trunk_rows(kind, backbone, cached=cached[ours], ours=ours)
        found += link_rows(its_own, rows, layers)
    return found
