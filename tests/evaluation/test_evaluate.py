"""A voice that is not one: it knows the recording, blurs it for k = 0 and roughens it with k."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffsinger_jax.audio.f0 import extract_f0
from diffsinger_jax.audio.mel import log_mel
from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.diffusion.schedule import linear_schedule
from diffsinger_jax.errors import InputError
from diffsinger_jax.evaluation import pieces, systems
from diffsinger_jax.evaluation.evaluate import (
    DURATION_TITLE,
    MEL_TITLE,
    SPOKEN_TITLE,
    WAV_TITLE,
    Options,
    evaluate,
)
from diffsinger_jax.evaluation.systems import AUXILIARY, PREDICTED_ALL, PREDICTED_F0, TRUE_MEL
from diffsinger_jax.models.families import NO_PATH
from diffsinger_jax.types import CorpusInfo, MelSpec, Vocabulary

SPEC = MelSpec(sample_rate=16_000, hop=160, n_fft=512, win=512, n_mels=40, fmax=8_000.0)
INFO = CorpusInfo(
    name="glides",
    mel=SPEC,
    vocabulary=Vocabulary(("SP", "a", "i")),
    mel_min=np.full(40, -5.0, np.float32),
    mel_max=np.zeros(40, np.float32),
)


def make_example(name, ph_frames, f0_hz):
    """A buzz that glides up a little, between two silences."""
    ph_frames = np.array(ph_frames, np.int32)
    frames = int(ph_frames.sum())
    samples = (frames - 1) * SPEC.hop
    t = np.arange(samples) / SPEC.sample_rate
    phase = np.cumsum(f0_hz * (1 + 0.1 * t)) / SPEC.sample_rate
    wav = sum(0.2 / h * np.sin(2 * np.pi * h * phase) for h in range(1, 15))
    voiced = np.repeat(np.array([False, True, True, False]), ph_frames)
    wav = wav * np.interp(np.arange(samples), np.arange(frames) * SPEC.hop, voiced)
    wav = (wav + 1e-4 * np.random.default_rng(0).normal(size=samples)).astype(np.float32)
    return {
        "name": name,
        "speaker": 0,
        "language": np.zeros(4, np.int32),
        "tokens": np.array([1, 2, 3, 1], np.int32),
        "note_midi": np.array([0, 57, 57, 0], np.float32),
        "note_sec": (ph_frames / SPEC.frames_per_sec).astype(np.float32),
        "slur": np.zeros(4, np.int32),
        "onset": np.array([1, 1, 0, 1], np.int32),  # a and i share a note
        "ph_frames": ph_frames,
        "f0": extract_f0(wav, SPEC, "dio") * voiced,
        "mel": log_mel(wav, SPEC),
    }


class Corpus:
    path, info, splits = "here", INFO, ("test", "validation", "train")

    def __init__(self):
        self.examples = [
            make_example("one#0", [20, 30, 40, 15], 200.0),
            make_example("one#1", [15, 50, 30, 20], 150.0),
            make_example("two#0", [10, 20, 20, 10], 250.0),
        ]
        self.others = [make_example("three#0", [20, 60, 80, 10], 180.0)]

    def source(self, split):
        return self.examples if split == "test" else self.others


class Voice:
    info, name = INFO, "fake"
    sampling, path = Sampling(10, 10), linear_schedule(100).path
    curves = predicted_curves = ()
    speaks = False

    def predict_frames(self, batch):
        return batch.ph_frames * jnp.where(batch.tokens == 2, 1.5, 1.0)

    def predict_f0(self, batch):
        hz = jnp.where(batch.note_midi > 0, 440 * 2 ** ((batch.note_midi - 69) / 12), 0.0)
        hz = jnp.pad(hz, ((0, 0), (1, 0)))
        return jnp.take_along_axis(hz, batch.mel2ph, axis=1)

    def sample_mel(self, batch, keys, sampling):
        if sampling.k_step == 0:
            kernel = jnp.ones(5) / 5
            return jax.vmap(jax.vmap(lambda x: jnp.convolve(x, kernel, mode="same"), 1, 1))(
                jnp.asarray(batch.mel)
            )
        noise = jax.vmap(lambda key: jax.random.normal(key, (1, 40)))(keys)
        rough = jnp.sin(jnp.arange(batch.mel.shape[1]) * 2.0)[None, :, None]
        return batch.mel + 0.01 * sampling.k_step * noise * rough


@pytest.fixture(scope="module")
def corpus():
    return Corpus()


SHALLOW, NAIVE = "shallow k=20, temperature 1", "naive diffusion k=100, temperature 1"
SUNG = [AUXILIARY, SHALLOW, NAIVE, PREDICTED_F0, PREDICTED_ALL]


@pytest.fixture(scope="module")
def evaluated(corpus, tmp_path_factory):
    """The tables and the folder of one evaluation of everything."""
    folder = tmp_path_factory.mktemp("evaluation")
    for name in ("report", "page", "recordings"):
        (folder / name).mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(systems, "SHAPES", 1)  # compiling the vocoder takes longest
        patch.setattr(pieces.dnsmos, "installed", lambda: False)
        patch.setattr(pieces.speaker, "installed", lambda: False)
        options = Options(k_steps=[20, 100], wavs=True, page=folder / "page")
        return evaluate(Voice(), corpus, "test", folder / "report", options), folder


def test_all_systems_are_measured(evaluated):
    tables, folder = evaluated
    mel, wav = tables[MEL_TITLE], tables[WAV_TITLE]
    assert list(mel) == SUNG and list(wav) == [TRUE_MEL, *SUNG]
    assert mel[AUXILIARY]["detail_time"] < 0.9 < 1.1 < mel[SHALLOW]["detail_time"]
    assert mel[AUXILIARY]["modulation_excess"] < 0 < mel[SHALLOW]["modulation_excess"]
    assert mel[SHALLOW]["mcd"] < mel[NAIVE]["mcd"] and mel[SHALLOW]["nsim"] > mel[NAIVE]["nsim"]
    assert mel[NAIVE]["patch_auc"] > 0.9
    # The vocoder sings the true mel at the true pitch.
    assert wav[TRUE_MEL]["f0_median_cents"] < 10 and wav[TRUE_MEL]["f0_within_50_cents"] > 0.95
    assert wav[TRUE_MEL]["mcd"] < wav[NAIVE]["mcd"]
    assert mel[PREDICTED_F0]["f0_fine_rmse_cents"] > 100
    files = {p.name for p in (folder / "report").rglob("*") if p.is_file()}
    assert {"evaluation.json", "evaluation.md", "one.png", "two.png"} < files
    assert "one_1_shallow_k20_temperature_1.wav" in files and len(files) == 4 + 3 * 6


def test_durations_are_measured_as_they_are_sung(evaluated, corpus):
    rows = evaluated[0][DURATION_TITLE]
    # a : i is predicted as 1.5 times what it is; the rests and the note's ends are the recording's.
    errors = []
    for example in corpus.examples:
        a, i = example["ph_frames"][1:3]
        errors += [0, 2 * abs((a + i) * 1.5 * a / (1.5 * a + i) - a), 0, 0]
    assert rows["predicted"]["duration_error_ms"] == pytest.approx(10 * np.mean(errors), rel=0.1)
    assert rows["median of each phoneme"]["duration_error_ms"] > 0


def test_fitted_durations_begin_every_note_where_it_was_sung(corpus):
    example = corpus.examples[0]
    fitted = systems.fitted_frames(example, np.array([3.0, 50.0, 2.0, 70.0]), INFO.vocabulary)
    starts = (np.cumsum(fitted) - fitted)[example["onset"] == 1]
    true = example["ph_frames"]
    np.testing.assert_array_equal(starts, (np.cumsum(true) - true)[example["onset"] == 1])
    assert fitted.sum() == true.sum() and fitted[1] > fitted[2] > 0


def test_without_other_songs_there_is_no_classifier_and_no_median(corpus, monkeypatch):
    monkeypatch.setattr(corpus, "splits", ("test",))
    tables = evaluate(Voice(), corpus, "test", None, Options(k_steps=[20], sound=False))
    assert "patch_auc" not in tables[MEL_TITLE][SHALLOW]
    assert list(tables[DURATION_TITLE]) == ["predicted"] and WAV_TITLE not in tables


class Speaking(Voice):
    """It speaks the right mels and energy, without diffusion."""

    sampling, path = Sampling(0, 1), NO_PATH
    speaks, curves, predicted_curves = True, ("energy",), ("energy",)

    def predict_curves(self, batch):
        return {"energy": jnp.where(batch.mask, -20.0, 0.0)}

    def sample_mel(self, batch, keys, sampling):
        assert np.all((np.asarray(batch.curves["energy"]) < 0) == batch.mask)
        return jnp.asarray(batch.mel) - batch.mel2ph[..., None]


def test_speech_lasts_as_long_as_it_is_predicted_to(corpus, monkeypatch):
    examples = [{**e, "energy": np.full(len(e["f0"]), -20.0, "f4")} for e in corpus.examples]
    monkeypatch.setattr(corpus, "examples", examples)
    monkeypatch.setattr(corpus, "splits", ("test",))
    tables = evaluate(Speaking(), corpus, "test", None, Options(sound=False))
    assert list(tables[MEL_TITLE]) == [AUXILIARY, PREDICTED_F0, PREDICTED_ALL]
    assert "mcd" in tables[MEL_TITLE][AUXILIARY] and "mcd" not in tables[MEL_TITLE][PREDICTED_ALL]
    assert tables[MEL_TITLE][PREDICTED_ALL]["f0_within_50_cents"] > 0
    true = np.concatenate([e["ph_frames"] for e in examples])
    lengths = np.concatenate([(e["tokens"] == 2) * 0.5 * e["ph_frames"] for e in examples])
    error = tables[SPOKEN_TITLE]["predicted"]["duration_error_ms"]
    assert error == pytest.approx(10.0 * lengths.sum() / len(true))


def test_batching_changes_no_number(corpus):
    alone, together = (
        systems.sing_all(
            Voice(), corpus.examples, [20], temperatures=[1.0], seed=1, frames_per_batch=frames
        )
        for frames in (1, 10_000)
    )
    for system in alone:
        for a, b in zip(alone[system], together[system], strict=True):
            np.testing.assert_allclose(a.mel, b.mel, atol=1e-5)
            np.testing.assert_allclose(a.f0, b.f0, rtol=1e-6)
            assert len(a.mel) == len(a.f0)


def test_what_does_not_belong_together_is_one_sentence(corpus):
    other = types.SimpleNamespace(**vars(INFO) | {"mel": MelSpec(hop=256)})
    voice = Voice()
    voice.info = other
    with pytest.raises(InputError, match="hop: 256 here, 160 there"):
        evaluate(voice, corpus, "test", None, Options())
    with pytest.raises(InputError, match="--k_step is 200, expected above 0 and at most 100"):
        evaluate(Voice(), corpus, "test", None, Options(k_steps=[10, 200]))
