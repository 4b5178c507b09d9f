"""Cuts openvpi's variance folders down to what the tests carry: make_variance_slices.py DIR.

It needs PyTorch once; the tests that read the slices do not.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import flax.traverse_util
import numpy as np
from golden_variance import import_folder

INPUTS = (
    *("in_txt_tokens", "in_mel2ph", "in_ph2word", "in_ph_dur", "in_ph_num", "in_word_dur"),
    *("in_midi", "in_note_midi", "in_note_rest", "in_note_dur", "in_mel2note", "in_base_pitch"),
    *("in_pitch", "in_pitch_retake", "in_pitch_expr", "in_languages", "in_spk_id", "in_note_glide"),
    *("in_energy", "in_breathiness", "in_voicing", "in_tension", "in_retake_energy"),
    *("in_retake_breathiness", "in_retake_voicing", "in_retake_tension"),
)
SLICES = {
    # folder -> (parts of the model that are left out, what is kept of its cases)
    "openvpi_variance_reflow": (
        ("encoder", "pitch_trunk", "curve_trunk"),
        (
            *("out_encoder_out", "out_melody_encoder_out", "out_dur_pred", "out_dur_loss"),
            *("out_dur_pred_unclamped", "out_dur_aligned", "out_mel2ph_aligned"),
            *("out_retake_pitch_cond", "out_retake_variance_cond"),
        ),
    ),
    "openvpi_variance_ddpm": (
        ("encoder", "stretch_embedding", "curve_trunk", "curve_embedding", "pitch_embedding"),
        (
            *("pitch_noise", "out_retake_pitch_cond", "out_retake_ddim100_pitch_raw"),
            "out_retake_ddim100_delta_pitch",
        ),
    ),
}


def main(folder: Path) -> None:
    for name, (left_out, kept) in SLICES.items():
        voice = import_folder(folder / name).voice
        params = {part: value for part, value in voice.params.items() if part not in left_out}
        described = {
            "model": dict(voice.model),
            "schedule": dict(voice.schedule),
            "process": voice.process,
            "ranges": dict(voice.ranges),
            "vocabulary": dataclasses.asdict(voice.vocabulary),
        }
        with np.load(folder / name / "cases.npz") as cases:
            np.savez_compressed(
                Path(__file__).parent / f"{name}.npz",
                description=np.asarray(json.dumps(described)),
                **{
                    f"params/{path}": np.asarray(value)
                    for path, value in flax.traverse_util.flatten_dict(params, sep="/").items()
                },
                **{key: cases[key] for key in (*INPUTS, *kept) if key in cases},
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
