"""Glow-TTS and Tacotron 2: losses that padding does not move, alignments, voices, one training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from diffsinger_jax.configs import glow_tts, lj_mini_glow_tts, lj_mini_tacotron2, tacotron2
from random_batches import INFO, grow, random_batch, random_params

from diffsinger_jax.cli.voices import described
from diffsinger_jax.engine.typed_config import as_dict
from diffsinger_jax.errors import InputError
from diffsinger_jax.models.families import build_acoustic
from diffsinger_jax.models.glow_tts import SPREAD
from diffsinger_jax.models.tacotron2 import shown_steps
from diffsinger_jax.modules.attention_decoder import attention_frames, warp_frames
from diffsinger_jax.modules.length_regulator import expand_to_frames, phoneme_of_frames
from diffsinger_jax.tasks.speech.config import speech_config
from diffsinger_jax.tasks.speech.losses import LOSSES, off_diagonal
from diffsinger_jax.tasks.speech.task import make_voice, train_speech
from diffsinger_jax.voices.voice import load_diffsinger, load_voice, save_voice

PREDICTOR = dict(predictor_layers=1, predictor_hidden=8, predictor_dropout=0.1)
GLOW_TTS = dict(
    **dict(hidden=8, encoder_layers=1, heads=1, kernel_size=3, dropout=0.1, **PREDICTOR),
    **dict(flow_blocks=1, flow_hidden=8, flow_layers=1, flow_kernel_size=3, alignment_prior=0.1),
)
TACOTRON2 = dict(
    **dict(hidden=8, encoder_layers=1, kernel_size=3, dropout=0.1, reduction=2, **PREDICTOR),
    **dict(decoder_hidden=8, prenet=8, attention=8, filters=2),
    **dict(postnet_layers=1, postnet_hidden=8),
)
MODELS = {"glow_tts": {**GLOW_TTS, "search": "mel"}, "tacotron2": TACOTRON2}


@pytest.fixture(scope="module", params=sorted(MODELS))
def family(request):
    """Its name, its `Acoustic` and params."""
    acoustic = build_acoustic(request.param, MODELS[request.param], {}, "", INFO)
    return request.param, acoustic, random_params(acoustic)


def tiny(name="glow_tts", **changes):
    config = {"glow_tts": glow_tts, "tacotron2": tacotron2}[name].get_config()
    config.model.update(MODELS[name])
    config.buckets = 1
    config.speech.steps = 2
    config.speech.frames_per_batch = 128
    for field, value in changes.items():
        config[field] = value
    return config


def test_padding_changes_no_loss(family):
    name, acoustic, params = family
    make, names = LOSSES[name].make, LOSSES[name].weighted
    loss_fn = make(acoustic, dict.fromkeys(names, 1.0))
    loss = jax.jit(lambda p, b: loss_fn(p, b, jax.random.key(0), False))
    batch = random_batch(rows=2)
    (one, parts), (two, _) = loss(params, batch), loss(params, grow(batch, rows=1, frames=17))
    assert {*names, "alignment"} == set(parts)
    np.testing.assert_allclose(one, two, rtol=1e-5)


def test_glow_tts_finds_the_durations_of_what_it_makes():
    acoustic = build_acoustic("glow_tts", GLOW_TTS, {}, "", INFO)
    params = random_params(acoustic)
    batch = random_batch()  # of odd and even numbers of frames
    tokens = np.where(batch.tokens > 0, 1 + np.arange(10)[None] % 8, 0)  # neighbours differ
    batch = batch._replace(tokens=tokens.astype(np.int32))
    keys = jax.random.split(jax.random.key(0), 3)
    sample = jax.jit(lambda p, b: acoustic.sample_mel(p, b, keys, 0.0, sampling=None))
    mel = np.asarray(sample(params, batch)) * batch.mask[..., None]
    found = jax.jit(acoustic.align)(params, batch._replace(mel=mel))
    np.testing.assert_array_equal(found, batch.ph_frames)


def test_a_search_in_mels_finds_what_is_like_the_means_of_phonemes():
    acoustic = build_acoustic("glow_tts", MODELS["glow_tts"], {}, "", INFO)
    batch = random_batch()
    tokens = np.where(batch.tokens > 0, 1 + np.arange(10)[None] % 8, 0)  # neighbours differ
    batch = batch._replace(tokens=tokens.astype(np.int32))

    @jax.jit
    def found(params, batch):
        mean = acoustic.apply(params, "compared", batch, None, 0.0, None)[0]
        z = expand_to_frames(mean, batch.mel2ph) / SPREAD
        compared = acoustic.apply(params, "compared", batch, None, z, None)
        return acoustic.model.likeliest_frames(compared, batch.tokens > 0, batch.mask)

    np.testing.assert_array_equal(found(random_params(acoustic), batch), batch.ph_frames)


def test_a_mel_is_stretched_phoneme_by_phoneme():
    own, wanted = jnp.asarray([[2, 4, 0]]), jnp.asarray([[4, 2, 0]])
    mel = jnp.arange(6.0)[None, :, None]

    @jax.jit
    def stretched_to(frames):
        mel2ph = phoneme_of_frames(frames, jnp.arange(8)[None] < 6)
        return mel2ph, warp_frames(mel, own, frames, mel2ph)[0, :6, 0]

    mel2ph, same = stretched_to(own)
    np.testing.assert_array_equal(mel2ph, [[1, 1, 2, 2, 2, 2, 0, 0]])
    np.testing.assert_allclose(same, mel[0, :, 0], atol=1e-6)
    mel2ph, stretched = stretched_to(wanted)
    np.testing.assert_array_equal(mel2ph, [[1, 1, 1, 1, 2, 2, 0, 0]])
    np.testing.assert_allclose(stretched, [0, 0.25, 0.75, 1.25, 2.5, 4.5], atol=1e-6)


def test_a_decoder_is_shown_the_frame_before_each_step():
    z, mask = jnp.arange(1.0, 8.0)[None, :, None], jnp.arange(7)[None] < 5
    shown = shown_steps(z, mask, 3)
    np.testing.assert_array_equal(shown.z[0, :, 0], [1, 2, 3, 4, 5, 0, 0, 0, 0])
    np.testing.assert_array_equal(shown.step_mask, [[True, True, False]])
    np.testing.assert_array_equal(shown.given[0, :, 0], [0, 3, 0])


def test_a_phoneme_lasts_as_long_as_it_is_looked_at():
    looked_at = np.asarray([0, 0, 1, 2, 2, 2, 0])
    weights = 0.1 + 0.7 * (looked_at[:, None] == np.arange(3)[None])
    find = jax.jit(attention_frames)
    steps = find(weights[None], np.ones((1, 3), bool), np.arange(7)[None] < 6)
    np.testing.assert_array_equal(steps, [[2, 1, 3]])


def test_attention_is_guided_along_the_diagonal():
    steps, phonemes = jnp.arange(9)[None] < 8, jnp.arange(5)[None] < 4
    off = np.asarray(off_diagonal(steps, phonemes))[0, :8, :4]
    apart = np.arange(8)[:, None] / 8 - np.arange(4)[None] / 4
    np.testing.assert_allclose(off, 1 - np.exp(-(apart**2) / (2 * 0.2**2)), atol=1e-6)


def test_tacotron_2_is_heard_until_it_says_stop():
    acoustic = build_acoustic("tacotron2", {**TACOTRON2, "forward": True}, {}, "", INFO)
    params, batch = random_params(acoustic), random_batch(rows=2, phonemes=7)
    keys = jax.random.split(jax.random.key(0), 2)
    spoken = jax.jit(lambda p: acoustic.speak(p, batch, keys))
    looked = jax.jit(acoustic.align)(params, batch)  # at recordings, in whole steps of 2 frames
    np.testing.assert_array_equal(looked.sum(axis=1), -(-batch.mask.sum(axis=1) // 2) * 2)
    step = params["decoder"]["step"]
    for bias, expected in ((9.0, (batch.tokens > 0).sum(axis=1)), (-9.0, [42, 42])):
        stop = {"dense": {**step["stop"]["dense"], "bias": jnp.full(1, bias)}}
        decoder = {**params["decoder"], "step": {**step, "stop": stop}}
        found = spoken({**params, "decoder": decoder})
        np.testing.assert_array_equal(found.steps, expected)  # a step for each phoneme, or most
        np.testing.assert_array_equal(found.frames.sum(axis=1), 2 * found.steps)
        assert not np.any(found.frames[batch.tokens == 0])
    weights = np.asarray(found.weights)
    step, phoneme = np.indices(weights.shape[1:])
    np.testing.assert_allclose(weights.sum(axis=2), 1.0, atol=1e-5)
    assert (weights[:, phoneme > step + 1] < 1e-4).all()  # it stays, or goes on by one
    assert (weights[:, phoneme == step + 1] > 0).any()


def test_a_voice_of_a_family_is_read_again_and_speaks(family, tmp_path):
    name, acoustic, params = family
    config = speech_config(as_dict(tiny(name)))
    save_voice(tmp_path, make_voice(config, INFO, params))
    voice = load_voice(tmp_path)
    assert voice.family == name and voice.speaks and voice.path.depth == 0
    assert "speak" in described("x", tmp_path)
    jax.tree.map(np.testing.assert_array_equal, dict(voice.params), params)
    with pytest.raises(InputError, match=f"is a voice of the family {name}"):
        load_diffsinger(tmp_path)
    (tmp_path / "voice.json").write_text(
        (tmp_path / "voice.json").read_text().replace(name, "no_family")
    )
    with pytest.raises(InputError, match="family is 'no_family'"):
        load_voice(tmp_path)


@pytest.mark.parametrize("module", [glow_tts, lj_mini_glow_tts, lj_mini_tacotron2, tacotron2])
def test_the_configs_that_ship_are_sound(module):
    speech_config(as_dict(module.get_config()))


def test_what_contradicts_is_one_sentence():
    with pytest.raises(InputError, match="a weight for each of likelihood"):
        config = tiny()
        del config.speech.weights.pitch
        speech_config(as_dict(config))
    with pytest.raises(InputError, match="config.model has width"):
        speech_config(as_dict(tiny(model={**GLOW_TTS, "width": 1})))


@pytest.mark.slow
def test_a_training_leaves_a_voice_that_training_goes_on_from(made_up_corpus, tmp_path):
    how = {"corpus": str(made_up_corpus), "songs_shown": 0, "log_every_steps": 1}
    voice = train_speech(tiny(**how), tmp_path / "one")
    kept = load_voice(tmp_path / "one" / "voice")
    jax.tree.map(np.testing.assert_array_equal, dict(kept.params), dict(voice.params))
    metrics = (tmp_path / "one" / "metrics.jsonl").read_text()
    assert "validation_alignment" in metrics and "likelihood" in metrics
    with pytest.raises(InputError, match="of other sizes"):
        more = tiny(**how, start_from=str(tmp_path / "one" / "voice"))
        more.model.hidden = 16
        train_speech(more, tmp_path / "two")
