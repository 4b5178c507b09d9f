"""A voice as one file sings the same in a process that has JAX and none of our code."""

import subprocess
import sys

import jax
import numpy as np
import pytest
from random_batches import INFO, MODEL, SCHEDULE, random_batch, random_params, small_acoustic_model

from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.export_program import export_program, feature_shapes
from diffsinger_jax.voices.voice import Voice

FRAMES = 48
STRANGER = """
import sys
import numpy as np
from jax import export
program = export.deserialize(bytearray(open("voice.jaxexp", "rb").read()))
features = dict(np.load("features.npz"))
np.save("mel.npy", program.call(features, np.uint32(7)))
assert not {"diffsinger_jax", "flax"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def voice():
    params = random_params(small_acoustic_model())
    sampling = Sampling(4, 4, temperature=0.5)
    return Voice("one", INFO, MODEL, SCHEDULE, "residual", sampling, "none", params)


def test_it_sings_the_same_without_our_code(voice, tmp_path):
    batch = random_batch(rows=1, frames=FRAMES, phonemes=FRAMES // 4)
    features = {name: getattr(batch, name) for name in feature_shapes(FRAMES)}
    program = export_program(voice, FRAMES)
    (tmp_path / "voice.jaxexp").write_bytes(program.serialize())
    np.savez(tmp_path / "features.npz", **features)
    subprocess.run([sys.executable, "-c", STRANGER], cwd=tmp_path, check=True)
    mel_key, _ = jax.random.split(jax.random.key(7))
    expected = voice.sample_mel(batch, mel_key[None])
    np.testing.assert_allclose(np.load(tmp_path / "mel.npy"), expected, atol=1e-4)


def test_with_sound_it_gives_samples(voice):
    program = export_program(voice, FRAMES, sampling=Sampling(4, 3, "unipc"), with_wav=True)
    assert program.out_avals[0].shape == (1, FRAMES * INFO.mel.hop)
    assert set(program.platforms) == {"cpu", "cuda", "tpu"}


def test_a_length_that_does_not_divide_is_one_sentence(voice):
    with pytest.raises(InputError, match="multiple of 4 frames, not 50"):
        export_program(voice, 50)
