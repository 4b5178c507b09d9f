"""Every piece is in one batch, in a shape it fits."""

import numpy as np

from diffsinger_jax.synthesis.buckets import (
    FRAMES_PER_PHONEME,
    all_buckets,
    bucket_frames,
    pack,
    windows,
)


def test_every_piece_is_packed_once_and_fits():
    rng = np.random.default_rng(0)
    sizes = [(int(t), int(t // 7) + 1) for t in rng.integers(1, 6000, size=100)]
    seen = []
    for indices, bucket in pack(sizes, 4096):
        assert len(indices) <= bucket.rows
        assert bucket.rows == 1 or bucket.rows * bucket.frames <= 4096
        for i in indices:
            assert sizes[i][0] <= bucket.frames and sizes[i][1] <= bucket.phonemes
        seen += indices
    assert sorted(seen) == list(range(100))


def test_the_shapes_are_few_whatever_comes():
    edges = {bucket_frames(t, 1) for t in range(1, 10_000)}
    assert len(edges) == 6
    shapes = {bucket for _, bucket in pack([(300, 20)] * 37 + [(900, 60)] * 5, 2048)}
    assert len(shapes) == 2


def test_a_dense_piece_goes_into_a_longer_bucket():
    assert bucket_frames(100, 90) >= 90 * FRAMES_PER_PHONEME


def test_one_piece_makes_a_batch_of_one():
    assert [bucket.rows for _, bucket in pack([(100, 9)], 2048)] == [1]


def test_windows_keep_the_order_and_stay_small():
    sizes = [(300, 20), (300, 20), (700, 50), (5000, 9), (300, 20), (300, 20), (300, 20)]
    assert [list(w) for w in windows(sizes, 1200)] == [[0], [1, 2], [3], [4, 5, 6]]
    assert [list(w) for w in windows(sizes, 1)] == [[i] for i in range(7)]
    assert list(windows([], 1200)) == []


def test_every_shape_that_comes_was_announced():
    announced = set(all_buckets(3000, 2048))
    rng = np.random.default_rng(1)
    for count in (1, 3, 40):
        sizes = [(int(t), int(t // 9) + 1) for t in rng.integers(1, 3000, size=count)]
        assert {bucket for _, bucket in pack(sizes, 2048)} <= announced
    assert [b.rows for b in all_buckets(3000, 1)] == [1] * 5
