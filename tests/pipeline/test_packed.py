"""A packed corpus gives the batches of the prepared one that it was made of."""

import itertools

import jax
import numpy as np
import pytest

from diffsinger_jax.errors import InputError
from diffsinger_jax.pipeline.batches import train_batches
from diffsinger_jax.pipeline.mix import open_corpora
from diffsinger_jax.pipeline.packed import packed_config, write_packed
from diffsinger_jax.pipeline.plan import BatchPlan, make_buckets


@pytest.fixture
def packed(corpus, tmp_path):
    path = tmp_path / "tiny.npz"
    write_packed(path, corpus, {"name": "tiny", "corpus": corpus.path})
    return path


def first_batches(corpus, *, start_step, count):
    frames, phonemes, _ = corpus.lengths("train")
    buckets = make_buckets(frames, phonemes, bucket_edges=(24, 96), frames_per_batch=200)
    plan = BatchPlan(frames, buckets, seed=1)
    batches = train_batches(corpus, "train", plan, start_step=start_step, read_threads=3)
    return list(itertools.islice(batches, count))


def test_batches_are_those_of_the_prepared_corpus(corpus, packed):
    again = open_corpora(str(packed))
    assert again.info.vocabulary == corpus.info.vocabulary
    assert again.splits == ("train", "validation") and again.in_memory
    ours = first_batches(again, start_step=3, count=12)
    theirs = first_batches(corpus, start_step=3, count=12)
    for one, other in zip(ours, theirs, strict=True):
        # Of a float16 up to 5 the last bit is 2^-8.
        np.testing.assert_allclose(one.mel, other.mel, rtol=0, atol=2**-9)
        jax.tree.map(np.testing.assert_array_equal, one._replace(mel=0), other._replace(mel=0))


def test_it_brings_its_config(packed):
    assert packed_config(packed) == {"name": "tiny", "corpus": str(packed)}


def test_what_is_none_is_named(tmp_path, packed):
    for path in (tmp_path / "missing.npz", tmp_path / "text.npz"):
        (tmp_path / "text.npz").write_text("no")
        with pytest.raises(InputError, match=r"is no packed corpus.*pack_corpus"):
            open_corpora(str(path))
    with pytest.raises(InputError, match="no examples in the split 'test'; it has train, valid"):
        open_corpora(str(packed)).parts[0].source("test")
