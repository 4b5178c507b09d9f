"""What a variance model is shown, made of a batch alone: its words are its notes."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from diffsinger_jax.models.scaling import PITCH
from diffsinger_jax.models.variance import KEYS, VarianceInputs
from diffsinger_jax.modules.length_regulator import expand_to_frames, word_of, word_sums
from diffsinger_jax.modules.melody import ALL_RESTS_MIDI, Notes, note_line
from diffsinger_jax.pitch import fill_unvoiced, hz_to_midi
from diffsinger_jax.types import Array, Batch


def inputs_of_batch(
    batch: Batch,
    frames_per_sec: float,
    curves: Sequence[str] = (),
    *,
    notes: Notes | None = None,
    key: Array | None = None,
) -> VarianceInputs:
    """The inputs of a batch; all is to be generated.

    Args:
      batch: with `mel2ph`, or to predict durations with `ph_frames` whose sums over words are the
        score's.
      frames_per_sec: of the mel.
      curves: names of those that are generated.
      notes: of the score; None for one from each `onset` up to the next.
      key: i32[B, N], see `VarianceInputs`; None for that of each phoneme's note by `onset`.

    Returns:
      With the pitch of `batch.f0` as the given one, filled in where it is unvoiced.
    """
    batch = jax.tree.map(jnp.asarray, batch)
    word, mask = word_of(batch.onset), batch.tokens > 0
    own = notes_of_batch(batch)
    pitch = hz_to_midi(fill_unvoiced(batch.f0))
    everywhere = jnp.ones_like(batch.mask)
    key = jnp.round(expand_to_frames(own.midi, word)) if key is None else key
    notes = own if notes is None else jax.tree.map(jnp.asarray, notes)
    return VarianceInputs(
        batch=batch,
        key=jnp.where(mask, jnp.clip(key, 0, KEYS - 1), 0).astype(jnp.int32),
        notes=notes,
        line=note_line(notes, frames_per_sec),
        pitch=jnp.where(batch.mask, pitch, 0.0),
        retake=dict.fromkeys((PITCH, *curves), everywhere),
        expressiveness=everywhere.astype(jnp.float32),
    )


def notes_of_batch(batch: Batch) -> Notes:
    """One note for each onset, with the pitch of its onset's phoneme and all of its frames."""
    count, mask = batch.tokens.shape[1], batch.tokens > 0
    word = word_of(batch.onset)  # [B, N]
    begins = mask & (jnp.diff(word, axis=1, prepend=0) > 0)
    frames = word_sums(batch.ph_frames.astype(jnp.float32) * mask, word)
    midi = word_sums(batch.note_midi * begins, word)  # of one phoneme each
    there = jnp.arange(count)[None, :] < jnp.where(mask, word, 0).max(axis=1, keepdims=True)
    rest = there & (midi <= 0)
    place = jnp.arange(count)
    distance = jnp.abs(place[:, None] - place[None, :]).astype(jnp.float32)  # [N, N]
    sung = (there & ~rest)[:, None, :]  # [B, 1, N]
    nearest = jnp.argmin(jnp.where(sung, distance[None], jnp.inf), axis=2)
    filled = jnp.where(sung.any(axis=2), jnp.take_along_axis(midi, nearest, axis=1), ALL_RESTS_MIDI)
    return Notes(
        midi=jnp.where(there, filled, -1.0),
        rest=rest,
        frames=frames.astype(jnp.int32),
        glide=jnp.zeros_like(batch.tokens),
        mel2note=expand_to_frames(jnp.where(mask, word, 0), batch.mel2ph),
    )
