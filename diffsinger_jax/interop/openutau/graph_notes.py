"""The notes of a phrase read off its pitch, for voices whose encoder is told notes.

OpenUtau gives an acoustic model phonemes, their frames and f0, and no notes.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.interop.openutau.graph_inputs import owner_of_frames
from diffsinger_jax.pitch import hz_to_midi
from diffsinger_jax.score.phonology import is_rest, is_vowel
from diffsinger_jax.types import Vocabulary


def notes_of_pitch(
    tokens: jax.Array,
    durations: jax.Array,
    f0: jax.Array,
    vocabulary: Vocabulary,
    frames_per_sec: float,
) -> tuple[jax.Array, jax.Array]:
    """One note for each syllable: its key is the mean pitch of the vowel, rounded to a semitone.

    A note begins with its vowel and ends where the next vowel or rest does. Consonants are of the
    note that they lead to, or of the one before where a rest follows. What slurs a vowel over
    several notes is not seen.

    Args:
      tokens: i32[1, N].
      durations: i32[1, N] frames.
      f0: f32[1, T] Hz, without gaps.
      vocabulary: that the tokens are of.
      frames_per_sec: of f0.

    Returns:
      note_midi f32[1, N], 0 in rests; note_sec f32[1, N].
    """
    rest = _is(tokens, [True, *map(is_rest, vocabulary.phonemes)])
    head = _is(tokens, [False, *map(_is_head, vocabulary.phonemes)])
    ends = jnp.cumsum(durations, axis=1)
    starts = ends - durations

    place = jax.lax.broadcasted_iota(jnp.int32, tokens.shape, 1)
    here, other = place[:, :, None], place[:, None, :]  # [1, N, 1], [1, 1, N]
    phrase = jnp.cumsum(rest.astype(jnp.int32), axis=1)  # which rest came last
    sung = (head & ~rest)[:, None, :] & (phrase[:, :, None] == phrase[:, None, :])
    far = jnp.sum(jnp.ones_like(tokens), axis=1, keepdims=True)  # N
    after = jnp.min(jnp.where(sung & (other >= here), other, far[:, :, None]), axis=2)
    before = jnp.max(jnp.where(sung & (other < here), other, -1), axis=2)
    owner = jnp.where(after < far, after, before)
    owner = jnp.where(rest, place, owner)  # -1 where a phrase has no vowel

    begins = (head | rest)[:, None, :]
    last = jnp.max(ends, axis=1, keepdims=True)
    stops = jnp.where(begins & (other > here), starts[:, None, :], last[:, :, None])
    frames = (jnp.min(stops, axis=2) - starts).astype(jnp.float32)  # of a note that begins here

    of_frame = owner_of_frames(durations, f0) - 1  # [1, T]
    member = (of_frame[:, :, None] == other).astype(jnp.float32)  # [1, T, N]
    pitch = jnp.sum(member * hz_to_midi(f0)[:, :, None], axis=1)
    mean = pitch / jnp.maximum(durations.astype(jnp.float32), 1.0)
    key = jnp.where(head & ~rest, jnp.round(mean), 0.0)

    mine = (owner[:, :, None] == other).astype(jnp.float32)  # [1, N, N]
    note_midi = jnp.sum(mine * key[:, None, :], axis=2)
    return note_midi, jnp.sum(mine * frames[:, None, :], axis=2) / frames_per_sec


def _is_head(symbol: str) -> bool:
    """Whether a note begins with it; a syllabic nasal is a syllable of its own."""
    return is_vowel(symbol) or symbol.rpartition("/")[2] == "N"


def _is(tokens: jax.Array, which: list[bool]) -> jax.Array:
    """bool[1, N] of a table over the tokens."""
    ids = np.flatnonzero(which).astype(np.int32)[None, None]
    return jnp.max((tokens[:, :, None] == ids).astype(jnp.int32), axis=2) > 0
