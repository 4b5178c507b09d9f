"""What the shipped voice's default settings add to its auxiliary mel must not sound worse."""

from pathlib import Path

import numpy as np
import pytest

from diffsinger_jax.evaluation.systems import Sung, mels_of, vocode
from diffsinger_jax.metrics import dnsmos
from diffsinger_jax.pipeline.mix import numbered_as
from diffsinger_jax.pipeline.prepared import open_corpus
from diffsinger_jax.voices.sampling import resolve_sampling
from diffsinger_jax.voices.voice import load_voice

VOICE = Path("data/voices/pjs")
TOLERANCE = 0.02
"""Of an opinion score: less than can be heard."""


@pytest.mark.slow
@pytest.mark.skipif(not dnsmos.installed(), reason="needs pip install onnxruntime speechmos")
def test_its_default_is_not_worse_than_its_auxiliary_mel_by_dnsmos(prepared_mini):
    voice = load_voice(VOICE)
    spec, how = voice.info.mel, {"seed": 0, "frames_per_batch": 4096}
    corpus = numbered_as(open_corpus(prepared_mini), voice.info)
    assert spec.differences(corpus.info.mel) == []
    pieces = [piece for split in corpus.splits for piece in corpus.source(split)]
    pieces = sorted(pieces, key=lambda piece: len(piece["mel"]))[:2]

    def opinion(mels):
        sung = [Sung(m, p["f0"], p["ph_frames"]) for m, p in zip(mels, pieces, strict=True)]
        wavs = vocode(sung, spec, **how)
        return np.mean([dnsmos.dnsmos(wav, spec.sample_rate).ovrl for wav in wavs])

    auxiliary = mels_of(voice, pieces, resolve_sampling(voice, k_step=0), **how)
    default = mels_of(voice, pieces, voice.sampling, **how)
    assert opinion(default) >= opinion(auxiliary) - TOLERANCE
    # It would be noticed if noise came with it, here as much as temperature 0.4 had added.
    rng = np.random.default_rng(0)
    noisy = [mel + 0.07 * rng.normal(size=mel.shape).astype(np.float32) for mel in auxiliary]
    assert opinion(noisy) < opinion(auxiliary) - 0.2
