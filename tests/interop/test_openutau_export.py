"""Voices of ours as OpenUtau voicebanks: each graph beside our own model; sung from a zip."""

import dataclasses
import json
import zipfile

import jax
import numpy as np
import pytest
import soundfile

pytest.importorskip("jax2onnx")
pytest.importorskip("onnxruntime")

from diffsinger_jax.cli import export, sing
from diffsinger_jax.diffusion.sampling import Sampling, start_noise
from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.openutau.acoustic_graph import acoustic_graph, frame_curves
from diffsinger_jax.interop.openutau.comparison import vocoder_noise
from diffsinger_jax.interop.openutau.export_voicebank import export_voicebank
from diffsinger_jax.interop.openutau.onnx_parts import noise_as_inputs
from diffsinger_jax.interop.openutau.sound_graph import sound_graph
from diffsinger_jax.interop.openutau.voicebank import open_voicebank
from diffsinger_jax.models.acoustic import acoustic_model
from diffsinger_jax.models.scaling import PITCH
from diffsinger_jax.models.variance import VarianceInputs
from diffsinger_jax.models.variance_model import variance_model
from diffsinger_jax.modules.melody import Notes, note_line
from diffsinger_jax.pipeline.collate import collate
from diffsinger_jax.pipeline.plan import Bucket
from diffsinger_jax.types import CorpusInfo, MelSpec, Vocabulary
from diffsinger_jax.voices.onnx_graph import OnnxGraph
from diffsinger_jax.voices.variance import (
    VarianceVoice,
    empty_inputs,
    save_variance,
    variance_shapes,
)
from diffsinger_jax.voices.vocoder import NeuralVocoder, generator_shapes, save_vocoder
from diffsinger_jax.voices.voice import Voice, empty_batch, load_voice, save_voice

BINS, DEPTH = 6, 0.6
MEL = MelSpec(
    sample_rate=8000, hop=80, n_fft=256, win=256, n_mels=BINS, fmax=4000.0, log_base="e",
    framing="reflect",
)  # fmt: skip
MODEL = {
    "hidden": 8, "encoder_layers": 1, "decoder_layers": 1, "heads": 2, "kernel_size": 3,
    "dropout": 0.0, "predictor_layers": 1, "predictor_hidden": 1, "predictor_dropout": 0.0,
    "predictor_gradient": 1.0, "denoiser_channels": 8, "denoiser_layers": 1, "dilation_cycle": 1,
    "condition_on_prior": False, "score_inputs": "durations", "positions": "none",
    "encoder_settings": {
        "cross_lingual": (3,), "block_settings": {"activation": "gelu", "rotary": "halves"}
    },
    "durations": False, "pitch": "none", "pitch_input": "mel_scale",
    "curves": ("energy", "key_shift", "speed"), "stretch": True, "speaker_in_condition": True,
    "auxiliary": "convnext", "auxiliary_settings": {"channels": 8, "layers": 1, "kernel_size": 3},
    "trunk": "lynxnet2", "trunk_settings": {"kernel_size": 3},
}  # fmt: skip


TRUNK = {"trunk": "lynxnet2", "repeats": 2, "channels": 8, "layers": 1, "kernel_size": 3}
BLOCKS = {"layers": 1, "heads": 2, "kernel_size": 3, "dropout": 0.0}
VARIANCE = {
    "hidden": 8, "encoder_layers": 1, "heads": 2, "kernel_size": 3, "dropout": 0.0,
    "duration_settings": {"layers": 1, "hidden": 6, "kernel_size": 3, "dropout": 0.0},
    "melody_settings": {"width": 8, **BLOCKS}, "pitch_settings": TRUNK, "curves": ("energy",),
    "curve_settings": TRUNK, "speaker_in_condition": True,
    "encoder_settings": {"cross_lingual": (3,)},
}  # fmt: skip
VOCODER = {
    "channels": 4, "upsample_rates": [8, 10], "upsample_kernels": [16, 20], "resblock": "2",
    "resblock_kernels": [3], "resblock_dilations": [[1, 3]], "source": "harmonics",
}  # fmt: skip
VOCABULARY = Vocabulary(
    ("SP", "AP", "a", "ja/k", "zh/k"), speakers=("alpha", "beta"), languages=("ja", "zh")
)
INFO = CorpusInfo("toy", MEL, VOCABULARY, np.full(BINS, -12.0), np.zeros(BINS), "CC0-1.0; nobody")
ONE_SINGER = dataclasses.replace(INFO, vocabulary=Vocabulary(("SP", "AP", "a", "k")))
SIZES = (
    "hidden", "encoder_layers", "decoder_layers", "heads", "kernel_size", "dropout",
    "predictor_layers", "predictor_hidden", "predictor_dropout", "predictor_gradient",
    "denoiser_channels", "denoiser_layers", "dilation_cycle", "condition_on_prior",
)  # fmt: skip
FLOW = Sampling(k_step=DEPTH, steps=3, method="euler")
KEYS = jax.random.split(jax.random.key(7), 1)
DURATIONS = np.array([2, 5, 9, 4])
FRAMES = int(DURATIONS.sum())


def random_params(shapes, seed=0):
    """What begins at zero would hide mistakes."""
    rng = np.random.default_rng(seed)
    return jax.device_put(jax.tree.map(lambda s: rng.normal(0, 0.3, s.shape).astype("f4"), shapes))


def parameter_shapes(acoustic):
    return jax.eval_shape(
        lambda: acoustic.model.init(jax.random.key(0), empty_batch(acoustic))["params"]
    )


def toy_voice(sampling=FLOW, process="velocity", schedule=None, **changes):
    model, schedule = MODEL | changes, schedule or {}
    shapes = parameter_shapes(acoustic_model(model, schedule, process, INFO))
    return Voice(
        "Toy", INFO, model, schedule, process, sampling, "ja", random_params(shapes),
        ("durations", "f0"), timing="openvpi",
        ranges={"key_shift": (-5.0, 6.0), "speed": (0.5, 2.0)},
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A voice with a variance model, and a vocoder."""
    folder = tmp_path_factory.mktemp("voices")
    save_voice(folder / "toy", toy_voice())
    straight = {"name": "straight"}
    shapes = variance_shapes(variance_model(VARIANCE, straight, "velocity", VOCABULARY))
    variance = VarianceVoice(
        "Toy", VOCABULARY, MEL.sample_rate, MEL.hop, VARIANCE, straight, "velocity",
        Sampling(k_step=1.0, steps=4, method="euler", start="gaussian"), random_params(shapes),
        timing="openvpi",
    )  # fmt: skip
    save_variance(folder / "toy/variance", variance)
    empty = NeuralVocoder("toy sound", MEL, VOCODER, "filled", {}, "CC0-1.0; nobody")
    params = random_params(generator_shapes(empty.generator))
    save_vocoder(folder / "vocoder", dataclasses.replace(empty, params=params))
    return folder


@pytest.fixture(scope="module")
def voice(folder):
    return load_voice(folder / "toy")


@pytest.fixture(scope="module")
def package(folder):
    out = folder / "Toy.zip"
    flags = ["--out", str(out), "--vocoder", str(folder / "vocoder")]
    export.main(["openutau", str(folder / "toy"), *flags])
    return out


@pytest.fixture(scope="module")
def bank(package):
    """That it opens says that the inputs of all graphs are those that OpenUtau gives."""
    return open_voicebank(package)


def with_noise(graph):
    return OnnxGraph.read(noise_as_inputs(graph._bytes), graph.where)


def drawn(path, depth, channels):
    """What our sampling draws first."""
    return start_noise(path, depth, KEYS, (1, FRAMES, channels))


def acoustic_inputs(voice):
    """Of a graph without depth, steps and noise, and our batch of the same."""
    rng = np.random.default_rng(1)
    tokens, languages = np.array([1, 4, 3, 1]), np.array([0, 1, 0, 0])
    curves = {name: rng.normal(size=FRAMES).astype("f4") for name in frame_curves(voice)}
    curves["velocity"] = np.exp2(curves["velocity"])  # beyond its range, too
    f0 = rng.uniform(100, 400, FRAMES).astype("f4")
    share = np.clip(curves["gender"], -1, 1)
    example = {
        "tokens": tokens, "ph_frames": DURATIONS, "f0": f0, "language": languages, "speaker": 1,
        "note_midi": tokens * 0.0, "note_sec": tokens * 0.0, "slur": tokens * 0,
        "onset": tokens * 0, "mel": np.zeros((FRAMES, BINS)), "energy": curves["energy"],
        "key_shift": np.where(share > 0, 6 * share, 5 * share),
        "speed": np.clip(curves["velocity"], 0.5, 2.0),
    }  # fmt: skip
    batch = collate([example], Bucket(1, FRAMES, len(tokens)), BINS, voice.curves)
    (table,) = voice.params["speaker_embedding"].values()
    feed = {"tokens": tokens[None], "durations": DURATIONS[None], "f0": f0[None]}
    feed |= {name: values[None] for name, values in curves.items()}
    feed |= {"languages": languages[None] + 1, "spk_embed": np.tile(table[1], (1, FRAMES, 1))}
    return feed, batch


def near(found, ours, share=1e-5):
    ours = np.asarray(ours)
    np.testing.assert_allclose(found, ours, rtol=0, atol=share * np.ptp(ours))


def test_the_graph_makes_the_mel_of_our_own_sampling_from_the_same_noise(bank, voice):
    graph = with_noise(bank.acoustic.graph("acoustic"))
    feed, batch = acoustic_inputs(voice)
    sampling = Sampling(k_step=0.25, steps=5, method="euler")
    noise = drawn(voice.path, 0.25, BINS)
    mel = graph.run(feed | {"depth": 0.25, "steps": 5, "noise": noise})["mel"]
    near(mel, voice.sample_mel(batch, KEYS, sampling))
    deep, deeper = (
        graph.run(feed | {"depth": depth, "steps": 2, "noise": noise})["mel"]
        for depth in (DEPTH, 1.0)
    )
    np.testing.assert_array_equal(deep, deeper)
    assert np.abs(deep - mel).max() > 0.1 * np.ptp(mel)
    still, loud = (
        graph.run(feed | {"depth": 0.0, "steps": 1, "noise": noise * factor})["mel"]
        for factor in (1.0, 1e6)
    )
    np.testing.assert_array_equal(still, loud)  # the auxiliary mel, which the export compared


def test_a_flow_that_reads_notes_is_exported_with_what_it_makes_of_noise(tmp_path):
    """As the shipped voice: notes and gaps of f0 are its graph's, the auxiliary decoder an FFT."""
    model = {name: MODEL[name] for name in SIZES} | {"trunk": "lynxnet2", "predictor_hidden": 4}
    sampling = Sampling(k_step=0.3, steps=2, method="euler")
    acoustic = acoustic_model(model, {}, "velocity", ONE_SINGER)
    voice = Voice(
        "Toy", ONE_SINGER, model, {}, "velocity", sampling, "ja",
        random_params(parameter_shapes(acoustic)),
    )  # fmt: skip
    checked = export_voicebank(voice, tmp_path / "Toy", vocoder=None)
    assert checked.parts == ("acoustic",) and checked.differences.mel < 1e-5
    assert np.isnan(checked.differences.pitch)
    settings = (tmp_path / "Toy/dsconfig.yaml").read_text()
    assert "max_depth: 0.3" in settings and "use_variable_depth: true" in settings


def test_a_schedule_is_stepped_through_as_openvpi_does():
    own = Sampling(k_step=6, steps=6, method="ddpm", clip_x0=False, temperature=0.0)
    schedule = {"name": "linear", "steps": 10, "beta_max": 0.3}
    voice = toy_voice(own, "eps", schedule, trunk="wavenet", trunk_settings={}, stretch=False)
    graph = OnnxGraph.read(acoustic_graph(voice), "toy")
    feed, batch = acoustic_inputs(voice)
    thirds = dataclasses.replace(own, method="ddim", plms_interval=3, ends_at_data=False)
    for steps, sampling in ((20, own), (2, thirds)):
        mel = graph.run(feed | {"depth": 0.9, "steps": steps})["mel"]
        near(mel, voice.sample_mel(batch, KEYS, sampling))


def test_durations_pitch_and_curves_are_those_of_our_variance_model(bank, voice):
    own = voice.variance
    tokens, languages = np.array([[1, 4, 3, 1]]), np.array([[0, 1, 0, 0]])
    words = {"word_div": [[2, 2]], "word_dur": [[7, 13]]}
    feed = {"tokens": tokens, "languages": languages + 1, **words}
    encoded = bank.dur.run("linguistic", feed)
    inputs = empty_inputs(own.variance, frames=FRAMES, phonemes=4, notes=2)
    rng = np.random.default_rng(2)
    pitch = rng.uniform(50, 60, (1, FRAMES)).astype("f4")
    energy = rng.uniform(-60, -20, (1, FRAMES)).astype("f4")
    batch = inputs.batch._replace(
        tokens=tokens.astype("i4"), language=languages.astype("i4"), onset=np.array([[1, 0, 1, 0]]),
        ph_frames=np.array([[7, 0, 13, 0]]), speaker=np.array([1]),
        mel2ph=np.repeat([1, 2, 3, 4], DURATIONS)[None], mask=pitch > 0,
        curves={"energy": energy},
    )  # fmt: skip
    notes = Notes(
        np.array([[57.0, 60.5]], "f4"), np.array([[True, False]]), np.array([[8, 12]]),
        np.array([[0, 0]]), np.repeat([1, 2], [8, 12])[None],
    )  # fmt: skip
    retake = {PITCH: np.arange(FRAMES)[None] > 4, "energy": np.arange(FRAMES)[None] < 9}
    inputs = VarianceInputs(
        batch, np.array([[57, 57, 60, 60]]), notes, note_line(notes, own.frames_per_sec), pitch,
        retake, np.full((1, FRAMES), 0.7, "f4"),
    )  # fmt: skip

    @jax.jit
    def ours(params):
        how = Sampling(k_step=1.0, steps=4, method="euler", start="gaussian")
        of = own.variance
        frames = of.predict_frames(params, inputs)
        curves = of.sample_curves(params, inputs, KEYS, 1.0, sampling=how)
        return frames, of.sample_pitch(params, inputs, KEYS, 1.0, sampling=how), curves["energy"]

    frames, expected_pitch, expected_energy = ours(own.params)
    (table,) = own.params["speaker_embedding"].values()
    speaker = {"spk_embed": np.tile(table[1], (1, 4, 1))}
    found = bank.dur.run("dur", encoded | speaker | {"ph_midi": [[57, 57, 60, 60]]})
    near(found["ph_dur_pred"], frames)
    shown = {"encoder_out": encoded["encoder_out"], "ph_dur": DURATIONS[None], "pitch": pitch}
    shown |= {"spk_embed": np.tile(table[1], (1, FRAMES, 1)), "steps": 4}
    shown |= {"noise": drawn(own.path, 1.0, TRUNK["repeats"])}
    of_notes = {"note_midi": notes.midi, "note_rest": notes.rest, "note_dur": notes.frames}
    of_notes |= {"expr": inputs.expressiveness, "retake": retake[PITCH]}
    found = with_noise(bank.pitch.graph("pitch")).run(shown | of_notes)["pitch_pred"]
    assert np.abs(found - expected_pitch).max() < 1e-3  # a tenth of a cent
    of_curves = {"energy": energy, "retake": retake["energy"][..., None]}
    found = with_noise(bank.variance.graph("variance")).run(shown | of_curves)["energy_pred"]
    near(found, expected_energy)


@pytest.mark.parametrize("source", ["harmonics", "sine"])
def test_the_vocoder_sounds_as_ours_from_the_same_noise(folder, package, source):
    from diffsinger_jax.interop.openutau.vocoder_graph import vocoder_graph
    from diffsinger_jax.voices.vocoder import load_vocoder

    vocoder = load_vocoder(folder / "vocoder")
    if source == "sine":
        vocoder = dataclasses.replace(
            vocoder, model=VOCODER | {"source": "sine", "noise_sigma": 0.1}
        )
        shapes = generator_shapes(vocoder.generator)
        vocoder = dataclasses.replace(vocoder, params=random_params(shapes))
        graph = OnnxGraph.read(noise_as_inputs(vocoder_graph(vocoder)), "sine")
    else:
        with zipfile.ZipFile(package) as files:
            written = files.read("Toy/dsvocoder/vocoder.onnx")
        graph = OnnxGraph.read(noise_as_inputs(written), "harmonics")
    rng = np.random.default_rng(3)
    mel = rng.normal(-4, 1, (1, FRAMES, BINS)).astype("f4")
    f0 = np.where(np.arange(FRAMES) % 7 < 5, rng.uniform(100, 400, FRAMES), 0.0)
    feed = {"mel": mel, "f0": f0[None].astype("f4")}
    feed |= vocoder_noise(vocoder.generator, FRAMES, seed=3)
    feed = {name: feed[name] for name in graph.inputs}
    variables = {"params": vocoder.params}
    ours = jax.jit(vocoder.generator.apply)(variables, mel, feed["f0"], jax.random.key(3))
    found = graph.run(feed)["waveform"]
    assert np.abs(found - ours).max() < 1e-4 < 0.01 < np.abs(ours).max()


def test_a_zip_is_a_whole_voicebank_that_sings(package, bank, tmp_path):
    with zipfile.ZipFile(package) as files:
        names = files.namelist()
        assert json.loads(files.read("Toy/phonemes.json"))["zh/k"] == 5
        assert "CC0-1.0; nobody" in files.read("Toy/LICENSE.txt").decode()
    folders = ("", "dsdur/", "dspitch/", "dsvariance/")
    speakers = [f"Toy/{f}embeds/{name}.emb" for f in folders for name in ("alpha", "beta")]
    assert set(speakers) <= set(names)
    settings = bank.acoustic.settings
    assert (settings.max_depth, settings.range, settings.vocoder) == (
        DEPTH, (-5.0, 6.0), "toy sound",
    )  # fmt: skip
    assert bank.table("ja").entries["か"] == ("ja/k", "a")
    song = tmp_path / "song.ustx"
    song.write_text(
        "voice_parts:\n- track_no: 0\n  notes:\n"
        "  - {position: 480, duration: 480, tone: 60, lyric: か}\n"
        "  - {position: 960, duration: 480, tone: 62, lyric: か}\n"
    )
    flags = ["--score", str(song), "--out", str(tmp_path / "out"), "--speaker", "beta"]
    assert sing.main(["--voice", str(package), *flags]) == 0
    wav, rate = soundfile.read(tmp_path / "out/song.wav")
    assert rate == MEL.sample_rate and np.abs(wav[4000:8000]).max() > 0


def test_one_graph_makes_mel_and_sound(bank, voice):
    acoustic, vocoder = bank.acoustic.graph("acoustic"), bank.vocoder().graph
    joined = sound_graph(acoustic._bytes, vocoder._bytes, 2.0)
    graph = OnnxGraph.read(noise_as_inputs(joined), "toy")
    rng = np.random.default_rng(4)
    drawn = {"source_phase": rng.random((1, 1, 9)).astype("f4")}
    drawn["source_noise"] = rng.normal(size=(1, FRAMES, 9 * MEL.hop)).astype("f4")
    feed, _ = acoustic_inputs(voice)
    feed |= {"depth": 0.3, "steps": 2, "noise": rng.normal(size=(1, FRAMES, BINS))}
    found = graph.run(feed | {f"vocoder/{name}": x for name, x in drawn.items()})
    mel = with_noise(acoustic).run(feed)["mel"]
    np.testing.assert_array_equal(found["mel"], mel)
    alone = with_noise(vocoder).run(drawn | {"mel": 2 * mel, "f0": feed["f0"]})["waveform"]
    np.testing.assert_allclose(found["waveform"], alone, rtol=0, atol=1e-6)
    assert alone.shape == (1, FRAMES * MEL.hop)


def test_inputs_are_in_the_order_of_openvpi(bank):
    assert list(bank.acoustic.graph("acoustic").inputs) == [
        "tokens", "languages", "durations", "f0", "energy", "gender", "velocity", "spk_embed",
        "depth", "steps",
    ]  # fmt: skip
    assert list(bank.pitch.graph("pitch").inputs) == [
        "encoder_out", "ph_dur", "note_midi", "note_rest", "note_dur", "pitch", "expr", "retake",
        "spk_embed", "steps",
    ]  # fmt: skip
    assert bank.acoustic.graph("acoustic").draws and bank.pitch.graph("pitch").draws


def test_what_openutau_does_not_give_is_named():
    voice = toy_voice(score_inputs="midi", encoder_settings={})
    with pytest.raises(InputError, match="Toy needs the notes of the score, which OpenUtau does"):
        acoustic_graph(voice)
