"""Voices of ours as OpenUtau voicebanks: the graph beside our own sampling; sung from a zip."""

import json
import zipfile

import jax
import numpy as np
import pytest
import soundfile

pytest.importorskip("jax2onnx")
pytest.importorskip("onnxruntime")

from diffsinger_jax.cli import export, sing
from diffsinger_jax.diffusion.noise import key_noise, time_number
from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.openutau.acoustic_graph import NOISE, acoustic_graph, frame_curves
from diffsinger_jax.interop.openutau.contract import require_contract
from diffsinger_jax.interop.openutau.settings import settings_of
from diffsinger_jax.interop.openutau.voicebank import open_voicebank
from diffsinger_jax.models.acoustic import acoustic_model
from diffsinger_jax.pipeline.collate import collate
from diffsinger_jax.pipeline.plan import Bucket
from diffsinger_jax.types import CorpusInfo, MelSpec, Vocabulary
from diffsinger_jax.voices.onnx_graph import OnnxGraph
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


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    vocabulary = Vocabulary(
        ("SP", "AP", "a", "ja/k", "zh/k"), speakers=("alpha", "beta"), languages=("ja", "zh")
    )
    info = CorpusInfo(
        "toy", MEL, vocabulary, np.full(BINS, -12.0), np.zeros(BINS), "CC0-1.0; nobody"
    )
    acoustic = acoustic_model(MODEL, {}, "velocity", info)
    shapes = jax.eval_shape(
        lambda: acoustic.model.init(jax.random.key(0), empty_batch(acoustic))["params"]
    )
    rng = np.random.default_rng(0)  # what begins at zero would hide mistakes
    params = jax.tree.map(lambda s: rng.normal(0, 0.3, s.shape).astype("f4"), shapes)
    sampling = Sampling(k_step=DEPTH, steps=3, method="euler")
    toy = Voice(
        "Toy", info, MODEL, {}, "velocity", sampling, "ja", params, ("durations", "f0"),
        timing="openvpi", ranges={"key_shift": (-5.0, 6.0), "speed": (0.5, 2.0)},
    )  # fmt: skip
    path = tmp_path_factory.mktemp("voices") / "toy"
    save_voice(path, toy)
    return path


def test_the_graph_makes_the_mel_of_our_own_sampling_from_the_same_noise(voice):
    voice = load_voice(voice)
    graph = OnnxGraph.read(acoustic_graph(voice, noise_is_input=True), "toy")
    rng = np.random.default_rng(1)
    durations = np.array([2, 5, 9, 4])
    tokens, languages = np.array([1, 4, 3, 1]), np.array([0, 1, 0, 0])
    frames = int(durations.sum())
    curves = {name: rng.normal(size=frames).astype("f4") for name in frame_curves(voice)}
    curves["velocity"] = np.exp2(curves["velocity"])  # beyond its range, too
    f0 = rng.uniform(100, 400, frames).astype("f4")
    share = np.clip(curves["gender"], -1, 1)
    example = {
        "tokens": tokens, "ph_frames": durations, "f0": f0, "language": languages, "speaker": 1,
        "note_midi": tokens * 0.0, "note_sec": tokens * 0.0, "slur": tokens * 0,
        "onset": tokens * 0, "mel": np.zeros((frames, BINS)), "energy": curves["energy"],
        "key_shift": np.where(share > 0, 6 * share, 5 * share),
        "speed": np.clip(curves["velocity"], 0.5, 2.0),
    }  # fmt: skip
    batch = collate([example], Bucket(1, frames, len(tokens)), BINS, voice.curves)
    keys = jax.random.split(jax.random.key(7), 1)
    (table,) = voice.params["speaker_embedding"].values()
    for depth, steps in ((DEPTH, 3), (0.25, 5)):
        sampling = Sampling(k_step=depth, steps=steps, method="euler")
        begin = time_number(np.float32(voice.path.at_depth(depth)))
        noise = key_noise(keys, (1, frames, BINS), 1.0)(begin + 1)
        feed = {"tokens": tokens[None], "durations": durations[None], "f0": f0[None]}
        feed |= {name: values[None] for name, values in curves.items()}
        feed |= {"languages": languages[None] + 1, NOISE: noise}
        feed |= {"spk_embed": np.tile(table[1], (1, frames, 1)), "depth": depth, "steps": steps}
        mel = graph.run(feed)["mel"]
        ours = np.asarray(voice.sample_mel(batch, keys, sampling))
        np.testing.assert_allclose(mel, ours, rtol=0, atol=1e-5 * np.ptp(ours))
    still = graph.run(feed | {"depth": 0.0, NOISE: np.full_like(noise, 1e6)})["mel"]
    ours = np.asarray(voice.sample_mel(batch, keys, Sampling(k_step=0, steps=1, method="euler")))
    np.testing.assert_allclose(still, ours, rtol=0, atol=1e-5 * np.ptp(ours))


def test_a_zip_is_a_whole_voicebank_that_sings(voice, tmp_path, capsys):
    out = tmp_path / "Toy.zip"
    export.main(["openutau", str(voice), "--out", str(out), "--vocoder", "some_package"])
    assert "licence of the voice: CC0-1.0; nobody" in capsys.readouterr().out
    with zipfile.ZipFile(out) as package:
        names = package.namelist()
        assert json.loads(package.read("Toy/phonemes.json"))["zh/k"] == 5
        assert "CC0-1.0; nobody" in package.read("Toy/LICENSE.txt").decode()
    assert {f"Toy/embeds/{name}.emb" for name in ("alpha", "beta")} <= set(names)
    bank = open_voicebank(out)
    settings = bank.acoustic.settings
    assert (settings.max_depth, settings.range, settings.vocoder) == (
        DEPTH, (-5.0, 6.0), "some_package",
    )  # fmt: skip
    assert bank.table("ja").entries["か"] == ("ja/k", "a")
    song = tmp_path / "song.ds"
    song.write_text(
        '[{"offset": 0.2, "lang": "ja", "ph_seq": "ja/k a", "ph_dur": "0.1 0.4", "note_seq": "C4",'
        '"note_dur": "0.5", "f0_seq": "262 262", "f0_timestep": "0.3", "energy": "-20 -20",'
        '"energy_timestep": "0.3"}]'
    )
    flags = ["--score", str(song), "--out", str(tmp_path / "out"), "--vocoder", "harmonic"]
    assert sing.main(["--voice", str(out), *flags, "--speaker", "beta"]) == 0
    wav, rate = soundfile.read(tmp_path / "out/song.wav")
    assert rate == MEL.sample_rate and np.abs(wav[3200:5000]).max() > 0


def test_inputs_have_the_names_types_and_order_of_openvpi(voice):
    graph = OnnxGraph.read(acoustic_graph(load_voice(voice)), "toy")
    assert list(graph.inputs) == [
        "tokens", "languages", "durations", "f0", "energy", "gender", "velocity", "spk_embed",
        "depth", "steps",
    ]  # fmt: skip
    said = {"hidden_size": "8", "use_lang_id": "true", "languages": "x", "speakers": ["a"]}
    said |= dict.fromkeys(("use_energy_embed", "use_key_shift_embed", "use_speed_embed"), "true")
    said |= dict.fromkeys(("use_continuous_acceleration", "use_variable_depth"), "true")
    ends = {"augmentation_args": {"random_pitch_shifting": {"range": ["-5", "5"]}}}
    settings = settings_of(said | ends | {"num_mel_bins": str(BINS)}, "here")
    require_contract(graph, settings, "acoustic")
    assert graph.draws


def test_what_openutau_does_not_give_is_named(tmp_path):
    with pytest.raises(InputError, match="pjs needs the notes of the score and the sampler of"):
        export.main(["openutau", "pjs", "--out", str(tmp_path / "pjs")])
    assert not list(tmp_path.iterdir())
