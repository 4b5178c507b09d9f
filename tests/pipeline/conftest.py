"""A tiny synthetic corpus, built once, in the form that preparing a real one gives."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from diffsinger_jax.corpus.info import write_corpus_info
from diffsinger_jax.pipeline.prepared import open_corpus
from diffsinger_jax.types import CorpusInfo, MelSpec, Vocabulary

N_MELS = 4


def make_example(index):
    """Everything in it follows from its index, and no two are alike."""
    rng = np.random.default_rng(index)
    phonemes = int(rng.integers(2, 12))
    ph_frames = rng.integers(0, 9, phonemes).astype(np.int32)
    ph_frames[0] += 1
    frames = int(ph_frames.sum())
    onset = rng.integers(0, 2, phonemes).astype(np.int32)
    onset[0] = 1
    return {
        "name": f"song{index}#0",
        "speaker": index % 2,
        "language": np.zeros(phonemes, np.int32),
        "tokens": rng.integers(1, 5, phonemes).astype(np.int32),
        "note_midi": rng.uniform(50, 70, phonemes).astype(np.float32),
        "note_sec": rng.uniform(0.1, 1, phonemes).astype(np.float32),
        "slur": np.zeros(phonemes, np.int32),
        "onset": onset,
        "ph_frames": ph_frames,
        "f0": rng.uniform(100, 400, frames).astype(np.float32),
        "mel": rng.uniform(-5, 0, (frames, N_MELS)).astype(np.float32),
    }


class TinySongs(tfds.core.GeneratorBasedBuilder):
    """37 examples to train on, 5 to validate with."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        ints, floats = (
            tfds.features.Tensor(shape=(None,), dtype=d) for d in (np.int32, np.float32)
        )
        features = dict.fromkeys(
            ("language", "tokens", "slur", "onset", "ph_frames"), ints
        ) | dict.fromkeys(("note_midi", "note_sec", "f0"), floats)
        features["name"] = tfds.features.Text()
        features["speaker"] = tfds.features.Scalar(np.int32)
        features["mel"] = tfds.features.Tensor(shape=(None, N_MELS), dtype=np.float32)
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {
            "train": self._generate_examples(0, 37),
            "validation": self._generate_examples(37, 42),
        }

    def _generate_examples(self, start, stop):
        for index in range(start, stop):
            yield index, make_example(index)


@pytest.fixture(scope="session")
def corpus_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("prepared")
    builder = TinySongs(data_dir=str(path), file_format="array_record")
    builder.download_and_prepare()
    write_corpus_info(
        builder.data_dir,
        CorpusInfo(
            name="tiny",
            mel=MelSpec(n_mels=N_MELS),
            vocabulary=Vocabulary(("SP", "a", "i", "u"), speakers=("one", "two")),
            mel_min=np.full(N_MELS, -5.0, np.float32),
            mel_max=np.full(N_MELS, np.float32(0.1)),
            licence="CC0-1.0",
        ),
    )
    return str(builder.data_dir)


@pytest.fixture
def corpus(corpus_path):
    return open_corpus(corpus_path)


@pytest.fixture
def tiny_example():
    return make_example
