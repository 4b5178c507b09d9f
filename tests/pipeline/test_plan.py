import itertools

import numpy as np
import pytest

from diffsinger_jax.errors import InputError
from diffsinger_jax.pipeline.batches import pad_rows
from diffsinger_jax.pipeline.plan import (
    PADDING_ROW,
    BatchPlan,
    batches_per_epoch,
    default_bucket_edges,
    host_slice,
    make_buckets,
    plan_epoch,
)


def lengths_and_buckets(seed=0, n=101, frames_per_batch=2_000):
    rng = np.random.default_rng(seed)
    frames = rng.integers(3, 900, n)
    phonemes = frames // 10 + 1
    edges = default_bucket_edges(frames, 4)
    buckets = make_buckets(
        frames,
        phonemes,
        bucket_edges=edges,
        frames_per_batch=frames_per_batch,
    )
    return frames, phonemes, buckets


def real(batches):
    return np.concatenate([b.indices[b.indices != PADDING_ROW] for b in batches])


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_every_example_once_and_into_a_shape_that_fits(seed):
    frames, phonemes, buckets = lengths_and_buckets()
    batches = plan_epoch(frames, buckets, seed=seed)
    assert sorted(real(batches)) == list(range(len(frames)))
    assert {b.bucket for b in batches} == set(buckets)
    for bucket, indices in batches:
        assert len(indices) == bucket.rows
        assert bucket.rows == 1 or bucket.rows * bucket.frames <= 2_000
        taken = indices[indices != PADDING_ROW]
        assert len(taken) > 0
        assert frames[taken].max() <= bucket.frames and phonemes[taken].max() <= bucket.phonemes


def test_hosts_are_disjoint_and_together_everything():
    frames, _, buckets = lengths_and_buckets()
    for batch in plan_epoch(frames, buckets, seed=3):
        batch = pad_rows(batch, 8)
        parts = [host_slice(batch, host, 4) for host in range(4)]
        np.testing.assert_array_equal(np.concatenate([p.indices for p in parts]), batch.indices)
        assert all(len(p.indices) == p.bucket.rows for p in parts)
    with pytest.raises(InputError, match="3 hosts; fill it up with rows of padding"):
        host_slice(batch, 0, 3)


def test_a_step_alone_says_which_batch():
    frames, _, buckets = lengths_and_buckets()
    epochs = [plan_epoch(frames, buckets, seed=7, epoch=e) for e in range(3)]
    count = batches_per_epoch(frames, buckets)
    assert [len(e) for e in epochs] == [count] * 3
    plan = BatchPlan(frames, buckets, seed=7)
    for step in (2 * count + 1, 0, count, count - 1, 1):  # in any order
        expected = epochs[step // count][step % count]
        assert plan[step].bucket == expected.bucket
        np.testing.assert_array_equal(plan[step].indices, expected.indices)


def test_epochs_and_seeds_differ():
    frames, _, buckets = lengths_and_buckets()
    orders = [
        tuple(real(plan_epoch(frames, buckets, seed=s, epoch=e)))
        for s, e in itertools.product((0, 1), (0, 1, 2))
    ]
    assert len(set(orders)) == 6


def test_too_long_an_example_is_named():
    with pytest.raises(InputError, match="example b has 101 frames"):
        make_buckets(
            [5, 101], [1, 1], bucket_edges=[64, 100], frames_per_batch=100, names=["a", "b"]
        )
    frames, _, buckets = lengths_and_buckets()
    with pytest.raises(InputError, match="5000 frames"):
        plan_epoch(np.append(frames, 5_000), buckets, seed=None)


def test_no_more_rows_than_examples():
    buckets = make_buckets([5, 6, 7, 60], [1, 1, 1, 1], bucket_edges=[8, 64], frames_per_batch=640)
    assert [b.rows for b in buckets] == [3, 1]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_default_edges_have_the_least_padding(count):
    frames = np.array([5, 17, 33, 34, 70, 100, 129, 130, 131, 250])
    edges = default_bucket_edges(frames, count, round_to=16)

    def padding(edges):
        edges = np.array(sorted(edges))
        return np.sum(edges[np.searchsorted(edges, frames)] - frames)

    last = 256
    choices = itertools.combinations(range(16, last, 16), count - 1)
    assert len(edges) == count
    assert padding(edges) == min(padding([*choice, last]) for choice in choices)


def test_fewer_distinct_lengths_than_edges():
    assert default_bucket_edges(np.array([10, 20, 40]), 6, round_to=32) == [32, 64]
    assert default_bucket_edges(np.array([10]), 6, round_to=32) == [32]
