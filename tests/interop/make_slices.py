"""Cuts the golden folders down to what the tests carry: python tests/interop/make_slices.py DIR.

Each slice is a part of one model with its inputs and what the reference computed from them. It
needs PyTorch once; the tests that read it do not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import flax.traverse_util
import numpy as np
from golden_reference import import_folder

from diffsinger_jax.corpus.info import corpus_info_to_dict
from diffsinger_jax.voices.sampling import sampling_to_dict

SCORE = ("in_txt_tokens", "in_mel2ph", "in_pitch_midi", "in_midi_dur", "in_is_slur")
STEP = ("out_x0", "out_eps", "out_t", "out_x_t", "out_eps_pred", "out_diff_loss_l1")
STEP += ("out_p_sample_noise", "out_p_sample", "out_decoder_inp")
PNDM = ("out_pndm10_noise", "out_pndm10_mel")

SLICES = {
    # folder -> (name, parts of the model, what is kept of its cases), ...
    "opencpop_cascade": (
        ("midi_encoder", ("encoder", "pitch_embedding"), ("out_encoder_out", "out_decoder_inp")),
    ),
    "popcs_shallow": (
        (
            "frame_predictors",
            ("duration_predictor", "pitch_predictor"),
            ("out_encoder_out", "out_pred_dur", "out_pred_pitch_pred"),
        ),
    ),
    "opencpop_midi_e2e": (("denoiser", ("denoiser",), STEP + PNDM),),
    "lj_diffspeech": (
        (
            "wavelet_predictor",
            ("pitch_predictor",),
            ("out_encoder_out", "out_pred_cwt", "out_pred_f0_mean", "out_pred_f0_std"),
        ),
        ("auxiliary_decoder", ("auxiliary_decoder",), ("out_decoder_inp", "out_aux_mel")),
    ),
}


def main(folder: Path) -> None:
    here = Path(__file__).parent
    for case, slices in SLICES.items():
        voice = import_folder(folder / case).voice
        cases = np.load(folder / case / "cases.npz")
        described = {
            "model": voice.model,
            "schedule": voice.schedule,
            "sampling": sampling_to_dict(voice.sampling),
            "corpus": corpus_info_to_dict(voice.info),
        }
        for name, parts, kept in slices:
            params = {part: voice.params[part] for part in (*parts, "prior_scale")}
            flat = flax.traverse_util.flatten_dict(params, sep="/")
            np.savez_compressed(
                here / f"golden_{name}.npz",
                description=np.asarray(json.dumps(described)),
                **{f"params/{path}": np.asarray(value) for path, value in flat.items()},
                **{key: cases[key] for key in (*SCORE, *kept, "in_f0_hz") if key in cases},
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
