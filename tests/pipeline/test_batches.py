import itertools

import jax
import numpy as np
import pytest

from diffsinger_jax.features import core_names
from diffsinger_jax.pipeline.batches import eval_batches, train_batches
from diffsinger_jax.pipeline.collate import collate, mel_to_phoneme
from diffsinger_jax.pipeline.plan import BatchPlan, Bucket, make_buckets
from diffsinger_jax.types import Batch


@pytest.fixture
def buckets(corpus):
    frames, phonemes, names = corpus.lengths("train")
    return make_buckets(
        frames,
        phonemes,
        bucket_edges=[16, 32, 96],
        frames_per_batch=128,
        names=names,
    )


@pytest.fixture
def plan(corpus, buckets):
    return BatchPlan(corpus.lengths("train").frames, buckets, seed=5)


def take(batches, count):
    return list(itertools.islice(batches, count))


def assert_same(ours: Batch, theirs: Batch):
    assert ours.curves.keys() == theirs.curves.keys()
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


def test_mel2ph_is_the_inverse_of_durations():
    ph_frames = np.array([3, 0, 2, 1], np.int32)
    np.testing.assert_array_equal(mel_to_phoneme(ph_frames), [1, 1, 1, 3, 3, 4])
    counts = np.bincount(mel_to_phoneme(ph_frames), minlength=5)[1:]
    np.testing.assert_array_equal(counts, ph_frames)


def test_collate_pads_with_nothing(tiny_example):
    examples = [tiny_example(1), None, tiny_example(2)]
    batch = collate(examples, Bucket(rows=4, frames=96, phonemes=16), n_mels=4)
    for row, example in enumerate([*examples, None]):
        if example is None:
            assert not any(np.any(field[row]) for field in jax.tree.leaves(batch))
            continue
        n, t = len(example["tokens"]), len(example["f0"])
        assert batch.mask[row].sum() == t == (batch.mel2ph[row] > 0).sum()
        for name in core_names():
            length = t if name in ("f0", "mel", "mask", "mel2ph") else n
            values = getattr(batch, name)
            if name in example and name != "speaker":
                np.testing.assert_array_equal(values[row, :length], example[name])
                assert not np.any(values[row, length:])
        assert batch.speaker[row] == example["speaker"]
        frames_back = np.bincount(batch.mel2ph[row], minlength=17)[1:]
        np.testing.assert_array_equal(frames_back, batch.ph_frames[row])


def test_collate_what_is_still_to_be_predicted(tiny_example):
    example = {k: v for k, v in tiny_example(1).items() if k not in ("f0", "mel", "ph_frames")}
    batch = collate([example], Bucket(1, 32, 16), n_mels=4)
    assert np.any(batch.tokens) and not np.any(batch.mask) and not np.any(batch.mel)


def test_resumed_is_uninterrupted(corpus, plan):
    whole = take(train_batches(corpus, "train", plan), 30)
    resumed = take(train_batches(corpus, "train", plan, start_step=17, read_threads=1), 13)
    for ours, theirs in zip(resumed, whole[17:], strict=True):
        assert_same(ours, theirs)


def test_an_epoch_holds_every_frame_in_as_many_shapes_as_buckets(corpus, plan, buckets):
    batches = take(train_batches(corpus, "train", plan), plan.batches_per_epoch)
    assert {b.mel.shape[:2] for b in batches} == {(b.rows, b.frames) for b in buckets}
    assert len({b.tokens.shape + b.mel.shape for b in batches}) == len(buckets)
    expected = sum(e["mel"].astype(np.float64).sum() for e in corpus.source("train"))
    assert sum(b.mel.astype(np.float64).sum() for b in batches) == pytest.approx(expected)


def test_hosts_together_read_the_batch_of_one(corpus, plan):
    def batches(**part):
        return take(train_batches(corpus, "train", plan, rows_multiple=2, **part), 5)

    whole, hosts = batches(), [batches(host_index=h, host_count=2) for h in range(2)]
    for batch, *parts in zip(whole, *hosts, strict=True):
        assert_same(jax.tree.map(lambda *rows: np.concatenate(rows), *parts), batch)


def test_eval_reads_a_split_once(corpus):
    frames, phonemes, _ = corpus.lengths("validation")
    buckets = make_buckets(frames, phonemes, bucket_edges=[32, 96], frames_per_batch=128)
    batches = list(eval_batches(corpus, "validation", buckets))
    assert sum(int(b.mask.sum()) for b in batches) == frames.sum()
    for ours, theirs in zip(batches, eval_batches(corpus, "validation", buckets), strict=True):
        assert_same(ours, theirs)
