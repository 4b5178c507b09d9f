"""Several corpora as one: their numbers, and how often an epoch takes each example."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest

from diffsinger_jax.corpus.info import write_corpus_info
from diffsinger_jax.corpus.shards import write_shards
from diffsinger_jax.errors import InputError
from diffsinger_jax.pipeline.mix import extend, numbered_as, open_corpora, parse_corpora
from diffsinger_jax.pipeline.plan import PADDING_ROW, BatchPlan, Shares, make_buckets, plan_epoch
from diffsinger_jax.pipeline.prepared import open_corpus, text
from diffsinger_jax.types import CorpusInfo, MelSpec, Vocabulary

N_MELS = 4
OTHER = Vocabulary(("SP", "u", "a", "o"), speakers=("three", "one"), languages=("zh", "ja"))


@pytest.fixture(scope="module")
def other_path(tmp_path_factory):
    """A second corpus, which numbers phonemes, speakers and languages in another way."""
    folder = tmp_path_factory.mktemp("other")

    def example(index):
        rng = np.random.default_rng(100 + index)
        return {
            "name": f"other{index}#0",
            "speaker": index % 2,
            "language": np.full(3, index % 2, np.int32),
            "tokens": np.asarray([1, 2 + index % 3, 1], np.int32),
            **dict.fromkeys(("note_midi", "note_sec"), np.full(3, 0.5, np.float32)),
            **dict.fromkeys(("slur", "onset"), np.ones(3, np.int32)),
            "ph_frames": np.asarray([2, 5 + index % 9, 1], np.int32),
            "f0": np.zeros(8 + index % 9, np.float32),
            "mel": rng.uniform(-6, 0.5, (8 + index % 9, N_MELS)).astype(np.float32),
        }

    path = write_shards(folder, N_MELS, {"train": lambda: map(example, range(11))})
    write_corpus_info(
        path,
        CorpusInfo(
            "other",
            MelSpec(n_mels=N_MELS),
            OTHER,
            np.asarray([-6, -4, -6, -4], np.float32),
            np.full(N_MELS, 0.5, np.float32),
            "CC-BY-4.0",
            (50.0, 70.0),
        ),
    )
    return str(path)


def spelt(corpus, split):
    """name -> phonemes, speaker and languages in letters."""
    words = corpus.info.vocabulary
    return {
        text(e["name"]): (
            [words.phonemes[i - 1] for i in e["tokens"]],
            words.speakers[int(e["speaker"])],
            [words.languages[i] for i in e["language"]],
        )
        for e in corpus.source(split)
    }


def test_corpora_joined_say_the_same_in_other_numbers(corpus, corpus_path, other_path):
    mixed = open_corpora(f"{corpus_path},{other_path}=0.5")
    other = open_corpus(other_path)
    assert spelt(mixed, "train") == spelt(corpus, "train") | spelt(other, "train")
    assert spelt(mixed, "validation") == spelt(corpus, "validation")  # the other has none
    assert mixed.info.vocabulary == Vocabulary(
        ("SP", "a", "i", "u", "o"), ("one", "two", "three"), ("ja", "zh")
    )
    np.testing.assert_array_equal(mixed.info.mel_min, [-6, -5, -6, -5])
    np.testing.assert_array_equal(mixed.info.mel_max, [0.5] * 4)
    assert mixed.info.licence == "CC0-1.0\nCC-BY-4.0"
    assert mixed.info.note_range == (50.0, 70.0)  # what is known of one of them
    frames = np.concatenate([corpus.lengths("train").frames, other.lengths("train").frames])
    np.testing.assert_array_equal(mixed.lengths("train").frames, frames)
    for example, count in zip(mixed.source("train"), frames, strict=True):
        assert len(example["mel"]) == count


def test_one_corpus_alone_is_as_it_was(corpus, corpus_path):
    alone = open_corpora(corpus_path)
    assert alone.shares("train") is None and alone.path == corpus.path
    assert alone.info.vocabulary == corpus.info.vocabulary
    np.testing.assert_array_equal(alone.info.mel_min, corpus.info.mel_min)
    for ours, theirs in zip(alone.source("train"), corpus.source("train"), strict=True):
        np.testing.assert_array_equal(ours["tokens"], theirs["tokens"])
    assert open_corpora(f"{corpus_path}=1").shares("train") is None


def test_a_voice_that_training_starts_from_keeps_its_numbers_and_range(corpus, other_path):
    mixed = open_corpora(other_path, base=corpus.info)
    assert mixed.info.vocabulary == Vocabulary(
        ("SP", "a", "i", "u", "o"), ("one", "two", "three"), ("ja", "zh")
    )
    np.testing.assert_array_equal(mixed.info.mel_min, corpus.info.mel_min)
    assert spelt(mixed, "train") == spelt(open_corpus(other_path), "train")
    hop = dataclasses.replace(corpus.info, mel=MelSpec(n_mels=N_MELS, hop=256))
    with pytest.raises(InputError, match="hop: 256 here, 128 there"):
        open_corpora(other_path, base=hop)


def test_phonemes_get_the_names_of_a_voice_of_several_languages(corpus, corpus_path):
    words = Vocabulary(
        ("SP", "ja/a", "ja/i", "zh/a", "zh/u"),
        ("one",),
        ("ja", "zh"),
        merged=(("zh/u", "ja/u"),),
    )
    base = dataclasses.replace(corpus.info, vocabulary=words)
    mixed = open_corpora(corpus_path, base=base)
    assert mixed.info.vocabulary.phonemes == words.phonemes
    names = {"SP": "SP", "a": "ja/a", "i": "ja/i", "u": "zh/u"}
    before = spelt(corpus, "train")
    for name, (phonemes, *_) in spelt(mixed, "train").items():
        assert phonemes == [names[phoneme] for phoneme in before[name][0]]


def test_a_corpus_is_numbered_as_a_voice_that_learnt_from_more(corpus, other_path):
    voice = open_corpora(other_path, base=corpus.info).info
    again = numbered_as(open_corpus(other_path), voice)
    assert spelt(again, "train") == spelt(open_corpus(other_path), "train")
    assert again.info.vocabulary == voice.vocabulary
    with pytest.raises(InputError, match="phonemes o, which the voice has not learnt"):
        numbered_as(open_corpus(other_path), corpus.info)


def test_new_names_come_behind_the_old_ones():
    old = Vocabulary(("SP", "z", "a"), ("b",), ("ja",))
    new = extend(
        old, [Vocabulary(("q", "a"), ("a",), ("ja",)), Vocabulary(("c",), ("b",), ("en",))]
    )
    assert new == Vocabulary(("SP", "z", "a", "c", "q"), ("b", "a"), ("ja", "en"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "expected a folder"),
        ("a,,b", "expected a folder"),
        ("a=0", "the weight '0'"),
        ("a=-1,b", "the weight '-1'"),
        ("a=much", "the weight 'much'"),
        ("a=0.333", "two decimals"),
        ("a,b,a=2", "names a twice"),
    ],
)
def test_corpora_that_cannot_be_are_one_sentence(given, said):
    with pytest.raises(InputError, match=said):
        parse_corpora(given)


def mixed_plan(weights, seed=3, counts=(40, 17)):
    rng = np.random.default_rng(0)
    frames = rng.integers(3, 90, sum(counts))
    buckets = make_buckets(frames, frames, bucket_edges=(30, 60, 96), frames_per_batch=400)
    part = np.repeat(np.arange(len(counts)), counts)
    shares = Shares(part, tuple(map(Fraction, weights)))
    return BatchPlan(frames, buckets, seed=seed, shares=shares), frames, buckets, shares


def taken(planned):
    rows = np.concatenate([b.indices for b in planned])
    return rows[rows != PADDING_ROW]


@pytest.mark.parametrize("weights", [("1", "1"), ("1", "0.5"), ("0.3", "2.25"), ("0.05", "1")])
def test_every_example_comes_as_often_as_its_weight_says(weights):
    plan, frames, buckets, shares = mixed_plan(weights)
    epochs = [
        plan_epoch(frames, buckets, seed=3, epoch=epoch, shares=shares) for epoch in range(40)
    ]
    counts = np.zeros((len(epochs), len(frames)), int)
    for epoch, planned in enumerate(epochs):
        np.add.at(counts[epoch], taken(planned), 1)
    for part, weight in enumerate(map(float, weights)):
        own = counts[:, shares.part == part]
        assert set(np.unique(own)) <= {int(weight), int(np.ceil(weight))}
        assert np.all(np.abs(own.cumsum(axis=0)[-1] - 40 * weight) <= 1)
        assert abs(own.sum() - 40 * weight * own.shape[1]) <= len(buckets)
        if weight == 1:
            assert np.all(own == 1)
    # `plan[step]` is these epochs, one after the other, from any step at once.
    flat = [batch for planned in epochs for batch in planned]
    for step in (len(flat) - 1, 0, len(flat) // 2, 1, len(epochs[0])):
        assert plan[step].bucket == flat[step].bucket
        np.testing.assert_array_equal(plan[step].indices, flat[step].indices)


def test_all_of_weight_one_is_the_plan_of_one_corpus(corpus_path, other_path):
    assert open_corpora(f"{corpus_path},{other_path}").shares("train") is None
    shares = open_corpora(f"{corpus_path},{other_path}=0.5").shares("train")
    assert shares.weights == (1, Fraction(1, 2)) and np.bincount(shares.part).tolist() == [37, 11]


def test_batches_of_a_mix_hold_both_and_differ_between_epochs():
    plan, frames, buckets, shares = mixed_plan(("1", "2"))
    both = sum(
        len(set(shares.part[b.indices[b.indices != PADDING_ROW]])) == 2
        for b in plan_epoch(frames, buckets, seed=3, epoch=0, shares=shares)
    )
    assert both > len(buckets)
    orders = {
        tuple(taken(plan_epoch(frames, buckets, seed=s, epoch=e, shares=shares)))
        for s in (1, 2)
        for e in (0, 1)
    }
    assert len(orders) == 4
