"""Pitch and timing beside the singer: of a made-up singer whose vibrato is known."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from diffsinger_jax.errors import InputError
from diffsinger_jax.evaluation.expression import (
    CORRECTED,
    GENERATED,
    PITCH_TITLE,
    REGRESSION,
    SINGER,
    TAKES,
    TIMING_TITLE,
    UNCORRECTED,
    evaluate_expression,
    least_correction,
    pitch_row,
)
from diffsinger_jax.pitch import midi_to_hz
from diffsinger_jax.types import CorpusInfo, MelSpec, Vocabulary

SPEC = MelSpec(hop=256, n_fft=1024, win=1024, n_mels=4)
INFO = CorpusInfo(
    name="waves",
    mel=SPEC,
    vocabulary=Vocabulary(("SP", "a", "k")),
    mel_min=np.full(4, -5.0, np.float32),
    mel_max=np.zeros(4, np.float32),
)
PH_FRAMES = np.array([20, 90, 10, 100, 20], np.int32)
MIDI = np.array([0, 60, 60, 63, 0], np.float32)
VIBRATO_HZ = 5.0


def swinging(cents):
    """f0 of the two notes with a vibrato of that amplitude."""
    midi = np.repeat(MIDI, PH_FRAMES)
    time = np.arange(len(midi)) / SPEC.frames_per_sec
    moved = midi + cents / 100 * np.sin(2 * np.pi * VIBRATO_HZ * time)
    return np.where(midi > 0, midi_to_hz(moved), 0.0).astype("f4")


def example(number):
    return {
        "name": f"song{number}#0",
        "speaker": 0,
        "language": np.zeros(5, np.int32),
        "tokens": np.array([1, 2, 3, 2, 1], np.int32),
        "note_midi": MIDI,
        "note_sec": (PH_FRAMES / SPEC.frames_per_sec).astype("f4"),
        "slur": np.zeros(5, np.int32),
        "onset": np.array([1, 1, 0, 1, 1], np.int32),
        "ph_frames": PH_FRAMES,
        "f0": swinging(60.0),
        "mel": np.zeros((PH_FRAMES.sum(), 4), np.float32),
    }


class Corpus:
    path, info, splits = "here", INFO, ("test", "train")

    def source(self, split):
        return [example(0), example(1)]


@dataclasses.dataclass
class Variance:
    correction: float = 0.0
    predicts = frozenset(["durations", "f0"])

    def predict_frames(self, batch):
        return batch.ph_frames

    def sample_f0(self, batch, keys):
        """As deep as the singer's and 80 cents too high; two random cents apart."""
        import jax

        off = jax.vmap(jax.random.uniform)(keys)[:, None]
        frames = jnp.arange(batch.mask.shape[1])[None] / SPEC.frames_per_sec
        midi = jnp.take_along_axis(jnp.pad(batch.note_midi, ((0, 0), (1, 0))), batch.mel2ph, axis=1)
        wave = 0.6 * jnp.sin(2 * jnp.pi * VIBRATO_HZ * frames + off) + 0.8 + 0.02 * off
        return jnp.where(midi > 0, midi_to_hz(midi + wave), 0.0)


@dataclasses.dataclass
class Voice:
    info = INFO
    name = "fake"
    requires: tuple = ()
    variance: object = dataclasses.field(default_factory=Variance)

    def predict_frames(self, batch):
        return jnp.where(batch.tokens == 3, 14, 1)

    def predict_f0(self, batch):
        midi = jnp.take_along_axis(jnp.pad(batch.note_midi, ((0, 0), (1, 0))), batch.mel2ph, axis=1)
        return jnp.where(midi > 0, midi_to_hz(midi), 0.0)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    out = tmp_path_factory.mktemp("expression")
    return evaluate_expression(Voice(), Corpus(), ["test"], out), out


def test_a_generated_vibrato_is_beside_the_singers_and_the_regressions(evaluated):
    rows = evaluated[0][PITCH_TITLE]
    assert list(rows) == [SINGER, REGRESSION, GENERATED, CORRECTED]
    assert rows[SINGER]["movement_cents"] == pytest.approx(60 / 2**0.5, rel=0.05)
    assert rows[GENERATED]["movement_cents"] == pytest.approx(
        rows[SINGER]["movement_cents"], rel=0.1
    )
    assert rows[GENERATED]["vibrato_rate"] == pytest.approx(VIBRATO_HZ, abs=0.2)
    assert [rows[n]["vibrato_share"] for n in (SINGER, REGRESSION, GENERATED)] == [1, 0, 1]
    assert rows[SINGER]["distance_cents"] == 0 < rows[REGRESSION]["distance_cents"]
    assert [rows[n]["notes_within_50_cents"] for n in (SINGER, GENERATED, CORRECTED)] == [1, 0, 1]
    assert rows[GENERATED]["take_spread_cents"] > 0 and np.isnan(rows[SINGER]["take_spread_cents"])


def test_the_least_correction_is_in_tune_as_often_as_the_singer():
    examples = [example(0), example(1)]
    assert least_correction(Voice(variance=Variance(0.9)), examples) == 0.5  # half of what is off
    for own, share in ((0.2, 0), (0.5, 1)):
        rows = evaluate_expression(Voice(variance=Variance(own)), Corpus(), ["test"], None)
        pitch = rows[PITCH_TITLE]
        assert pitch[GENERATED]["notes_within_50_cents"] == share
        assert pitch[UNCORRECTED]["notes_within_50_cents"] == 0


def test_durations_are_beside_the_trivial_ones(evaluated):
    rows = evaluated[0][TIMING_TITLE]
    assert rows["variance model"]["consonant_error_ms"] == 0
    assert rows["mean of each phoneme"]["consonant_error_ms"] == 0  # all of its data are alike
    ms = 1000 / SPEC.frames_per_sec
    assert rows[REGRESSION]["consonant_error_ms"] == pytest.approx(4 * ms)
    assert rows[REGRESSION]["vowel_onset_ms"] == 0  # notes begin as recorded


def test_a_report_and_a_picture_of_each_song_are_written(evaluated):
    names = sorted(file.name for file in evaluated[1].iterdir())
    assert names == ["evaluation.json", "evaluation.md", "song0_f0.png", "song1_f0.png"]


def test_one_take_has_no_spread_and_all_takes_count():
    examples = [example(0)]
    singer = [[swinging(60.0)]]
    one = pitch_row(examples, [[swinging(20.0)]], singer, SPEC)
    several = pitch_row(examples, [[swinging(20.0)]] * TAKES, singer, SPEC)
    assert several.pop("take_spread_cents") == pytest.approx(0, abs=1e-6)
    assert np.isnan(one.pop("take_spread_cents"))
    for name in ("movement_cents", "vibrato_share", "overshoot_cents", "notes_within_50_cents"):
        assert several[name] == pytest.approx(one[name])
    assert several["distance_cents"] == pytest.approx(one["distance_cents"], rel=0.01)


def test_a_voice_without_pitch_has_none_to_measure():
    with pytest.raises(InputError, match="predicts no pitch"):
        evaluate_expression(Voice(requires=("f0",), variance=None), Corpus(), ["test"], None)
