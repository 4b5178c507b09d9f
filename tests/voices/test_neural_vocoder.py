"""A vocoder folder: written, read, sung with; and what is said when something is wrong."""

import dataclasses
import json

import flax.traverse_util
import jax
import numpy as np
import pytest
from fake_voice import FakeVoice
from random_batches import INFO, SCHEDULE
from random_batches import MODEL as ACOUSTIC

from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.errors import InputError
from diffsinger_jax.synthesis.rendering import open_renderer
from diffsinger_jax.synthesis.synthesizer import Synthesizer
from diffsinger_jax.types import MelSpec
from diffsinger_jax.voices.vocoder import (
    NeuralVocoder,
    generator_shapes,
    load_vocoder,
    save_vocoder,
)
from diffsinger_jax.voices.voice import Voice, load_voice, save_voice

MEL = MelSpec(sample_rate=8000, hop=8, n_fft=32, win=32, n_mels=5, fmax=4000.0, log_base="e")
MODEL = {
    "channels": 8,
    "upsample_rates": [4, 2],
    "upsample_kernels": [8, 4],
    "resblock": "1",
    "resblock_kernels": [3],
    "resblock_dilations": [[1, 3, 5]],
    "source": "sine",
    "noise_sigma": 0.0,
}


def random_params(vocoder, seed=0):
    rng = np.random.default_rng(seed)
    shapes = flax.traverse_util.flatten_dict(generator_shapes(vocoder.generator))
    flat = {k: rng.normal(0, 0.2, x.shape).astype("f4") for k, x in shapes.items()}
    return flax.traverse_util.unflatten_dict(flat)


def made(mel=MEL, unvoiced="filled", **model):
    empty = NeuralVocoder("tiny", mel, MODEL | model, unvoiced, {}, "CC0-1.0")
    return dataclasses.replace(empty, params=random_params(empty))


@pytest.fixture(scope="module")
def vocoder():
    return made()


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(1)
    mel = rng.uniform(-8, 0, (2, 60, 5)).astype("f4")
    f0 = rng.uniform(100, 400, (2, 60)).astype("f4") * (np.arange(60) % 7 > 1)
    return mel, f0.astype("f4")


def keys(count=2):
    """Of rows; new ones for every call."""
    return jax.random.split(jax.random.key(3), count)


def test_there_and_back(vocoder, tmp_path):
    save_vocoder(tmp_path / "v", vocoder)
    again = load_vocoder(tmp_path / "v")
    assert sorted(p.name for p in (tmp_path / "v").iterdir()) == [
        "params.safetensors",
        "vocoder.json",
    ]
    assert dataclasses.replace(again, params={}) == dataclasses.replace(vocoder, params={})
    jax.tree.map(np.testing.assert_array_equal, again.params, vocoder.params)


def test_noise_follows_from_the_key_of_each_row():
    noisy = made(source="harmonics", noise_sigma=0.1)
    mel, f0 = np.full((3, 4, 5), -2, "f4"), np.full((3, 4), 200, "f4")
    wav = noisy(mel, f0, jax.random.split(jax.random.key(0), 2)[np.array([0, 1, 0])])
    np.testing.assert_allclose(wav[0], wav[2], atol=1e-6)
    assert np.abs(wav[0] - wav[1]).max() > 1e-3


def test_rows_and_padding_change_no_number(vocoder, inputs):
    mel, f0 = inputs
    wav = vocoder(mel, f0, keys())
    assert wav.shape == (2, 60 * 8) and np.abs(wav).max() < 1 and wav.std() > 1e-3
    mask = np.arange(60) < np.array([[37], [60]])
    padded = vocoder(np.where(mask[..., None], mel, np.nan), f0, keys(), mask)
    alone = vocoder(mel[:1, :37], f0[:1, :37], keys()[:1])
    np.testing.assert_allclose(padded[0, : 37 * 8], alone[0], atol=2e-6)
    np.testing.assert_allclose(padded[1], wav[1], atol=2e-6)


def test_a_stream_is_the_whole(vocoder, inputs):
    mel, f0 = inputs[0][0], inputs[1][0]
    assert vocoder.generator.reach_frames < 20
    pieces = list(vocoder.stream(mel, f0, jax.random.key(3), frames_at_once=23))
    assert [len(piece) for piece in pieces] == [23 * 8, 23 * 8, 14 * 8]
    whole = vocoder(mel[None], f0[None], jax.random.key(3)[None])[0]
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=2e-6)


def test_a_sample_sees_no_further_than_the_reach(vocoder, inputs):
    mel, f0 = inputs
    generator = vocoder.generator

    def sample(mel):
        wav = generator.apply({"params": vocoder.params}, mel, f0[:1])
        return wav[0, 30 * 8 : 31 * 8].sum()

    seen = np.flatnonzero(np.abs(jax.jit(jax.grad(sample))(mel[:1])[0]).sum(axis=1))
    assert (
        30 - generator.reach_frames <= seen.min() < 30 < seen.max() <= 30 + generator.reach_frames
    )


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda mel, f0: (mel, f0[:, :-1]), ["f0", "(2, 59)", "(2, 60)"]),
        (lambda mel, f0: (mel[..., :-1], f0), ["mel", "(2, 60, 4)", "5"]),
        (
            lambda mel, f0: (np.where(np.arange(60)[:, None] == 9, np.nan, mel), f0),
            ["NaN", "frame 9"],
        ),
        (lambda mel, f0: (mel, np.where(f0 > 0, np.inf, f0)), ["f0", "infinite"]),
        (lambda mel, f0: (mel, f0 - 1), ["-1 Hz", "0 where it is unvoiced"]),
    ],
)
def test_what_cannot_be_sung_is_said(vocoder, inputs, spoil, words):
    with pytest.raises(InputError) as caught:
        vocoder(*spoil(*inputs), keys())
    assert all(word in str(caught.value) for word in words), str(caught.value)


def edit(folder, change):
    file = folder / "vocoder.json"
    description = json.loads(file.read_text())
    change(description)
    file.write_text(json.dumps(description))


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda f: (f / "vocoder.json").unlink(), ["no vocoder.json"]),
        (lambda f: (f / "vocoder.json").write_text("{"), ["is not JSON"]),
        (lambda f: (f / "params.safetensors").unlink(), ["has no params.safetensors"]),
        (lambda f: (f / "params.safetensors").write_bytes(b"x"), ["is damaged"]),
        (lambda f: edit(f, lambda d: d.update(format=2)), ["format 1"]),
        (lambda f: edit(f, lambda d: d.pop("mel")), ["'mel'"]),
        (lambda f: edit(f, lambda d: d.update(unvoiced="maybe")), ["'maybe'"]),
        (lambda f: edit(f, lambda d: d["model"].update(channels=16)), ["weight", "(4,)", "(8,)"]),
        (lambda f: edit(f, lambda d: d["model"].update(colour=1)), ["colour"]),
        (lambda f: edit(f, lambda d: d["model"].update(upsample_rates=[4, 4])), ["16", "hop is 8"]),
        (
            lambda f: edit(f, lambda d: d["model"].update(source="harmonics")),
            ["harmonics", "missing"],
        ),
        (lambda f: edit(f, lambda d: d["model"].update(source="saw")), ["'saw'"]),
        (lambda f: edit(f, lambda d: d["model"].update(channels="8")), ["vocoder.json"]),
    ],
)
def test_a_broken_folder_is_one_sentence(vocoder, tmp_path, spoil, words):
    save_vocoder(tmp_path, vocoder)
    spoil(tmp_path)
    with pytest.raises(InputError) as caught:
        load_vocoder(tmp_path)
    message = str(caught.value)
    assert all(word in message for word in words) and "\n" not in message, message


def test_a_voices_logarithm_is_converted(vocoder, inputs, tmp_path):
    mel, f0 = inputs
    save_vocoder(tmp_path, vocoder)
    common = dataclasses.replace(MEL, log_base="10")
    mask = np.ones(f0.shape, bool)
    natural = open_renderer(tmp_path, MEL)(mel, f0, mask, keys())
    converted = open_renderer(tmp_path, common)(mel / np.log(10).astype("f4"), f0, mask, keys())
    np.testing.assert_allclose(natural, vocoder(mel, f0, keys()), atol=1e-6)
    np.testing.assert_allclose(converted, natural, atol=1e-5)
    with pytest.raises(InputError, match="hop: 16 here, 8 there"):
        open_renderer(tmp_path, dataclasses.replace(MEL, hop=16))


def test_a_voice_sings_with_the_vocoder_that_it_names(tmp_path):
    voice = FakeVoice()
    spec = voice.info.mel
    rates = {"upsample_rates": [16, 16], "upsample_kernels": [32, 32], "source": "sine"}
    save_vocoder(tmp_path, made(spec, "zero", **rates))
    voice.vocoder = str(tmp_path)
    render = Synthesizer(voice)._render
    mel, f0 = np.zeros((1, 4, spec.n_mels), "f4"), np.full((1, 4), 200, "f4")
    wav = render(mel, f0, np.ones((1, 4), bool), keys(1))
    assert wav.shape == (1, 4 * spec.hop) and wav.std() > 0
    built_in = Synthesizer(voice, vocoder="harmonic")._render
    assert not isinstance(getattr(built_in, "vocoder", None), NeuralVocoder)


def test_a_voice_names_its_vocoder_inside_its_folder_or_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr("diffsinger_jax.voices.voice.voice_shapes", lambda acoustic: {})
    voice = Voice("one", INFO, ACOUSTIC, SCHEDULE, "eps", Sampling(1, 1), "none", params={})
    folder, elsewhere = tmp_path / "voice", tmp_path / "nsf"
    for vocoder, written in (
        (None, None),
        (str(folder / "vocoder"), "vocoder"),
        (str(elsewhere), str(elsewhere)),
    ):
        save_voice(folder, dataclasses.replace(voice, vocoder=vocoder))
        assert json.loads((folder / "voice.json").read_text()).get("vocoder") == written
        assert load_voice(folder).vocoder == vocoder
