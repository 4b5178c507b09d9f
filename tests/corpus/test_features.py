"""One table says what arrays there are: a new curve is one row of it."""

import json
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from random_batches import MODEL, SCHEDULE, random_params
from sung import make_song, write_pjs_song

from diffsinger_jax.corpus import build
from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.engine.state import split_params
from diffsinger_jax.errors import InputError
from diffsinger_jax.features import FEATURES, Feature, core_names, empty_batch
from diffsinger_jax.interop.export_program import feature_shapes
from diffsinger_jax.models.acoustic import acoustic_model
from diffsinger_jax.models.diffsinger import AUXILIARY_PARAMS
from diffsinger_jax.pipeline.batches import eval_batches
from diffsinger_jax.pipeline.mix import open_corpora
from diffsinger_jax.pipeline.plan import make_buckets
from diffsinger_jax.pipeline.prepared import open_corpus
from diffsinger_jax.score.reader import read_score
from diffsinger_jax.synthesis.phrase_mels import PADDING_FRAMES
from diffsinger_jax.synthesis.synthesizer import Synthesizer
from diffsinger_jax.types import MEL_SPECS, Batch
from diffsinger_jax.voices.voice import Voice, load_voice, save_voice

ROOT = Path(__file__).resolve().parents[2]
SPEC = MEL_SPECS["24k_hop256"]
BRIGHTNESS = Feature(
    axis="frame", optional=True, neutral=0.25, extract=lambda wav, f0, spec: f0 / 100 + 1
)
SEGMENT = {
    "offset": 0,
    "ph_seq": "SP k a SP", "ph_dur": "0.2 0.1 0.5 0.2", "ph_num": "2 1 1",
    "note_seq": "rest A3 rest", "note_dur": "0.3 0.5 0.2", "note_slur": "0 0 0",
    "brightness": "1 3", "brightness_timestep": 0.5,
    "sparkle": "1 1", "sparkle_timestep": 0.5,
}  # fmt: skip


@pytest.fixture
def brightness(monkeypatch):
    """The made-up curve: this row is all that the package learns of it."""
    monkeypatch.setitem(FEATURES, "brightness", BRIGHTNESS)


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    root = tmp_path_factory.mktemp("raw")
    for number, pitch in enumerate((57, 60), 1):
        labels, notes = make_song([pitch, pitch + 2, pitch + 4], note_sec=0.3)
        write_pjs_song(root, f"pjs{number:03}", labels, notes)
    sys.path.insert(0, str(ROOT / "data"))
    from pjs.recipe import RECIPE

    yield RECIPE.read([root], None)
    sys.path.remove(str(ROOT / "data"))


def prepare(songs, out, **how):
    settings = build.CorpusSettings("x", mel=SPEC, f0="dio", validation=("pjs002",), **how)
    build.prepare(songs, settings, out, 1)
    return out


def voice_that_sings_by(info, curves):
    model = {**MODEL, "curves": list(curves)}
    acoustic = acoustic_model(model, SCHEDULE, "residual", info)
    sampling = Sampling(k_step=2, steps=2, temperature=0.0)
    params = random_params(acoustic)
    return Voice("x", info, model, SCHEDULE, "residual", sampling, "none", params)


def test_the_core_rows_are_the_fields_of_a_batch():
    assert (*core_names(), "curves") == Batch._fields
    batch = empty_batch(rows=2, frames=6, phonemes=3, mel_bins=4)
    assert batch.curves == {} and batch.mel.shape == (2, 6, 4) and batch.mask.dtype == bool
    assert len(jax.tree.leaves(batch)) == len(core_names())


def test_a_new_curve_is_one_row(brightness, songs, tmp_path, monkeypatch):
    out = prepare(songs, tmp_path / "corpus", curves=("brightness",))
    assert "brightness" not in next(eval_batches_of(open_corpora(str(out)))).curves

    corpus = open_corpora(str(out), curves=("brightness",))
    batch = next(eval_batches_of(corpus))
    frames = int(batch.mask.sum())
    assert 0 < frames < batch.mask.size
    expected = np.where(batch.mask, batch.f0 / 100 + 1, 0)  # padding is 0
    np.testing.assert_allclose(batch.curves["brightness"], expected, rtol=1e-6)

    voice = voice_that_sings_by(corpus.info, ["brightness"])
    save_voice(tmp_path / "voice", voice)
    voice = load_voice(tmp_path / "voice")
    assert voice.curves == ("brightness",)
    assert "curve_embedding" in split_params(voice.params, AUXILIARY_PARAMS)[0]  # is trained
    assert feature_shapes(8, voice.curves)["brightness"].shape == (1, 8)

    (tmp_path / "song.ds").write_text(json.dumps([SEGMENT]))
    asked, sample_mel = [], Voice.sample_mel
    monkeypatch.setattr(
        Voice,
        "sample_mel",
        lambda voice, batch, *keys, **how: (
            asked.append(batch) or sample_mel(voice, batch, *keys, **how)
        ),
    )
    synthesizer = Synthesizer(voice)
    score = synthesizer.prepare(read_score(tmp_path / "song.ds"))
    assert synthesizer.ignored_curves(score) == ["sparkle"]
    song = synthesizer.sing(score)
    (batch,) = asked
    sung = batch.curves["brightness"][0]
    # Its phrase, after 0.2 s of which 8 frames are kept.
    seconds = 0.2 + (np.arange(batch.mask.sum()) - PADDING_FRAMES) / SPEC.frames_per_sec
    np.testing.assert_allclose(sung[: len(seconds)], np.minimum(1 + 4 * seconds, 3), atol=0.05)
    assert not np.any(sung[len(seconds) :])

    plain = {key: value for key, value in SEGMENT.items() if "brightness" not in key}
    (tmp_path / "plain.ds").write_text(json.dumps([plain]))
    plain = synthesizer(read_score(tmp_path / "plain.ds"))
    np.testing.assert_array_equal(asked[1].curves["brightness"][batch.mask], BRIGHTNESS.neutral)
    assert np.abs(plain.mel - song.mel).max() > 1e-3  # the voice hears it


def eval_batches_of(corpus):
    frames, phonemes, _ = corpus.lengths("train")
    buckets = make_buckets(frames, phonemes, bucket_edges=[512], frames_per_batch=512)
    return eval_batches(corpus, "train", buckets)


def test_a_corpus_of_before_the_curve_reads_as_neutral_or_says_so(brightness, songs, tmp_path):
    out = prepare(songs, tmp_path / "old")
    assert "brightness" not in open_corpus(out).source("train")[0]
    batch = next(eval_batches_of(open_corpora(str(out), curves=("brightness",))))
    np.testing.assert_array_equal(batch.curves["brightness"], np.where(batch.mask, 0.25, 0))
    FEATURES["brightness"] = Feature(axis="frame", optional=True)
    with pytest.raises(InputError, match="no curve 'brightness'.*--curves brightness"):
        open_corpora(str(out), curves=("brightness",))
    with pytest.raises(InputError, match="the curve 'brightness' is given by scores"):
        prepare(songs, tmp_path / "new", curves=("brightness",))
    with pytest.raises(InputError, match="there is no curve 'glow'; the curves are .*brightness"):
        open_corpora(str(out), curves=("glow",))
