"""Made-up batches of any shape, for tests of the model and of training."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.corpus.info import write_corpus_info
from diffsinger_jax.corpus.shards import write_shards
from diffsinger_jax.features import FEATURES, core_names
from diffsinger_jax.models.acoustic import acoustic_model
from diffsinger_jax.pipeline.collate import collate
from diffsinger_jax.pipeline.plan import Bucket
from diffsinger_jax.types import Batch, CorpusInfo, MelSpec, Vocabulary
from diffsinger_jax.voices.voice import empty_batch

SPEC = MelSpec(n_mels=12, hop=256, n_fft=1024, win=1024)
INFO = CorpusInfo(
    name="made up",
    mel=SPEC,
    vocabulary=Vocabulary(tuple("abcdefgh"), speakers=("one", "two")),
    mel_min=np.linspace(-6, -5, 12, dtype=np.float32),
    mel_max=np.linspace(-1, 0, 12, dtype=np.float32),
)
MODEL = dict(
    hidden=16,
    encoder_layers=1,
    decoder_layers=1,
    heads=2,
    kernel_size=3,
    dropout=0.1,
    predictor_layers=2,
    predictor_hidden=8,
    predictor_dropout=0.5,
    predictor_gradient=0.1,
    denoiser_channels=8,
    denoiser_layers=3,
    dilation_cycle=2,
    condition_on_prior=True,
)
SCHEDULE = dict(name="linear", steps=20, beta_max=0.3)


def random_example(rng, *, phonemes=7, longest=6):
    ph_frames = rng.integers(1, longest, phonemes).astype(np.int32)
    frames = int(ph_frames.sum())
    return {
        "name": "made up",
        "speaker": np.int32(rng.integers(2)),
        "language": np.zeros(phonemes, np.int32),
        "tokens": rng.integers(1, 9, phonemes).astype(np.int32),
        "note_midi": rng.choice([0.0, 55.0, 60.5, 64.0], phonemes).astype(np.float32),
        "note_sec": rng.uniform(0.1, 1.0, phonemes).astype(np.float32),
        "slur": rng.integers(0, 2, phonemes).astype(np.int32),
        "onset": np.concatenate([[1], rng.integers(0, 2, phonemes - 1)]).astype(np.int32),
        "ph_frames": ph_frames,
        "f0": (rng.uniform(150, 400, frames) * (rng.random(frames) > 0.2)).astype(np.float32),
        "mel": rng.uniform(-5, -1, (frames, 12)).astype(np.float32),
    }


def random_batch(*, rows=3, frames=48, phonemes=10, seed=0):
    """`rows` examples of different lengths, padded to frames x phonemes."""
    rng = np.random.default_rng(seed)
    examples = [random_example(rng, phonemes=5 + i % 3) for i in range(rows)]
    return collate(examples, Bucket(rows, frames, phonemes), SPEC.n_mels)


def grow(batch, *, rows=0, frames=0, phonemes=0):
    """The same batch with more padding."""

    def pad(name, x):
        more = FEATURES[name].shape(rows, frames, phonemes, 0)
        return np.pad(x, [(0, extra) for extra in more])

    core = {name: pad(name, getattr(batch, name)) for name in core_names()}
    return Batch(**core, curves={name: pad(name, x) for name, x in batch.curves.items()})


def small_acoustic_model(*, process="residual", schedule=SCHEDULE, **model):
    return acoustic_model({**MODEL, **model}, schedule, process, INFO)


def random_values(shapes, seed=0):
    """Parameters as after training, nothing is zero; without compiling an initialization.

    Kernels and embeddings keep their inputs' variance, scales are near 1, biases near 0.
    """
    rng = np.random.default_rng(seed)

    def value(path, leaf):
        noise = rng.normal(size=leaf.shape)
        if len(leaf.shape) > 1:
            noise /= np.sqrt(
                np.prod(leaf.shape[:-1]) if path[-1].key == "kernel" else leaf.shape[-1]
            )
        else:
            noise = 0.05 * noise + ("scale" in path[-1].key)
        return jnp.asarray(noise, jnp.float32)

    return jax.tree_util.tree_map_with_path(value, shapes)


POWERS = {"prior_scale": 0.1, "prior_spectrum": 0.01, "prior_variance": 1.0}


def random_params(acoustic, seed=0):
    """Of a model; what the prior has to be, positive or a basis, it nearly is."""
    init = functools.partial(acoustic.model.init, jax.random.key(seed), empty_batch(acoustic))
    shapes = jax.eval_shape(init)["params"]
    params, rng = random_values(shapes, seed), np.random.default_rng(seed)
    for name in (name for name in params if name.startswith("prior_")):
        value = 0.05 * rng.normal(size=shapes[name].shape).astype("f4")
        base = np.eye(*value.shape, dtype="f4") if name == "prior_basis" else POWERS.get(name, 0.0)
        params[name] = jnp.asarray(abs(base + value) if name in POWERS else base + value)
    return params


def write_made_up_corpus(path, *, phonemes=6, **info):
    """Eight short songs to train on and two to validate with; the corpus's folder."""

    def examples(first, last):
        for index in range(first, last):
            example = random_example(np.random.default_rng(index), phonemes=phonemes)
            yield {**example, "name": f"song{index}#1"}

    splits = {"train": lambda: examples(0, 8), "validation": lambda: examples(8, 10)}
    path = write_shards(path, SPEC.n_mels, splits)
    write_corpus_info(path, dataclasses.replace(INFO, **info))
    return path
