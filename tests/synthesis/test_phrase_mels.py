"""Mels of the phrases of a piece, put together again."""

import jax
import jax.numpy as jnp
import numpy as np
from fake_voice import PHONEMES, SPEC, FakeVoice

from diffsinger_jax.pipeline.collate import collate
from diffsinger_jax.pipeline.plan import Bucket
from diffsinger_jax.synthesis.phrase_mels import PADDING_FRAMES, phrase_mels

PIECE = ("SP", 30), ("k", 5), ("a", 20), ("SP", 4), ("a", 12), ("SP", 5)


class Telling(FakeVoice):
    """Its mel tells of each frame where it is, whose it is, its f0 and energy."""

    def sample_mel(self, batch, keys, sampling=None):
        place = jnp.broadcast_to(jnp.arange(batch.mel.shape[1]), batch.mel2ph.shape)
        token = jnp.take_along_axis(jnp.asarray(batch.tokens), batch.mel2ph - 1, axis=1)
        told = jnp.stack([place, token, batch.f0, batch.curves["energy"]], axis=-1)
        noise = jax.vmap(lambda key: jax.random.normal(key, ()))(keys)[:, None, None]
        noise = jnp.broadcast_to(noise, (*told.shape[:2], SPEC.n_mels - 4))
        return jnp.concatenate([told, noise], axis=-1)


def example(pairs=PIECE):
    frames = np.array([count for _, count in pairs], np.int32)
    count = int(frames.sum())
    return {
        "tokens": np.array([PHONEMES.index(symbol) + 1 for symbol, _ in pairs], np.int32),
        "note_midi": np.full(len(pairs), 60, np.float32),
        "note_sec": np.ones(len(pairs), np.float32),
        "slur": np.zeros(len(pairs), np.int32),
        "onset": np.ones(len(pairs), np.int32),
        "language": np.zeros(len(pairs), np.int32),
        "speaker": np.int32(0),
        "ph_frames": frames,
        "f0": 200 + np.arange(count, dtype=np.float32),
    }


def mels(*examples, frames_per_batch=1, first=0):
    batch = collate(examples, Bucket(len(examples), 120, 30), SPEC.n_mels)
    batch = batch._replace(curves={"energy": 2 * batch.f0})
    numbered = {first + i: one for i, one in enumerate(examples)}
    made = phrase_mels(Telling(), batch, numbered, 3, None, frames_per_batch)
    return [mel[: one["ph_frames"].sum()] for mel, one in zip(made, examples, strict=True)]


def test_a_phrase_counts_from_its_own_silence_and_keeps_what_it_is_told():
    (mel,) = mels(example())
    sung = slice(30, 55)
    np.testing.assert_array_equal(mel[sung, 0], PADDING_FRAMES + np.arange(25))
    np.testing.assert_array_equal(
        mel[sung, 1], np.repeat([PHONEMES.index(p) + 1 for p in "ka"], [5, 20])
    )
    np.testing.assert_array_equal(mel[sung, 2], 200 + np.arange(30, 55))
    np.testing.assert_array_equal(mel[sung, 3], 2 * mel[sung, 2])
    assert np.all(mel[: 30 - PADDING_FRAMES] == np.float32(SPEC.silence))


def test_silence_around_a_phrase_changes_nothing_of_it():
    (long,) = mels(example())
    (short,) = mels(example((("SP", 3), *PIECE[1:])))
    np.testing.assert_array_equal(
        long[30:55, [0, 1, *range(4, 80)]], short[3:28, [0, 1, *range(4, 80)]]
    )


def test_a_piece_is_the_same_in_any_batch():
    second = example((("SP", 4), *PIECE[2:]))
    together = mels(example(), second, frames_per_batch=10_000)
    np.testing.assert_array_equal(together[0], mels(example())[0])
    np.testing.assert_array_equal(together[1], mels(second, first=1)[0])
