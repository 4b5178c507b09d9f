"""Cuts openvpi's golden folders down to what the tests carry: make_openvpi_slices.py DIR.

It needs PyTorch once; the tests that read the slices do not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import flax.traverse_util
import numpy as np
from golden_acoustic import import_folder

from diffsinger_jax.corpus.info import corpus_info_to_dict

CONDITION = ("stretch_embedding", "curve_embedding", "speaker_embedding", "pitch_embedding")
INPUTS = ("in_txt_tokens", "in_mel2ph", "in_f0_hz", "in_spk_id", "in_spk_mix", "in_languages")
INPUTS += ("in_energy", "in_breathiness", "in_voicing", "in_tension", "in_key_shift", "in_speed")

SLICES = {
    # folder -> (parts of the model, what is kept of its cases)
    "openvpi_acoustic_reflow_lynxnet": (
        CONDITION,
        (*INPUTS, "out_encoder_out", "out_decoder_inp", "out_decoder_inp_spk_mix", "out_stretch"),
    ),
    "openvpi_acoustic_reflow_lynxnet2": (
        ("denoiser",),
        ("in_backbone_x", "in_backbone_step", "out_decoder_inp", "out_backbone", "in_mel2ph"),
    ),
}


def main(folder: Path) -> None:
    for name, (parts, kept) in SLICES.items():
        voice = import_folder(folder / name).voice
        params = {part: voice.params[part] for part in (*parts, "prior_scale")}
        described = {
            "model": dict(voice.model),
            "schedule": dict(voice.schedule),
            "process": voice.process,
            "corpus": corpus_info_to_dict(voice.info),
        }
        with np.load(folder / name / "cases.npz") as cases:
            np.savez_compressed(
                Path(__file__).parent / f"{name}.npz",
                description=np.asarray(json.dumps(described)),
                **{
                    f"params/{path}": np.asarray(value)
                    for path, value in flax.traverse_util.flatten_dict(params, sep="/").items()
                },
                **{key: cases[key] for key in kept},
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
