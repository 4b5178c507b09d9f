"""Who sings each phoneme and frame: subbanks by tone, one speaker, or a mix of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.openutau.character import Character
from diffsinger_jax.interop.openutau.curves import FrameGrid, given_curve
from diffsinger_jax.interop.openutau.expressions import color_shares
from diffsinger_jax.interop.openutau.model_folder import ModelFolder
from diffsinger_jax.interop.openutau.phrases import Phone, Phrase
from diffsinger_jax.score.ds_schema import SPEAKER_PREFIX


@dataclasses.dataclass(frozen=True)
class Cast:
    """Who of a voicebank sings.

    Attributes:
      character: whose subbanks say it for every tone.
      entries: of the acoustic model's `speakers`, by the names that users give.
      chosen: the entry that sings all of it; None for the subbanks.
    """

    character: Character
    entries: dict[str, str]
    chosen: str | None = None

    def suffix(self, midi: float) -> str:
        """The entry that sings a note."""
        return self.character.suffix("", midi) if self.chosen is None else self.chosen

    def by_phoneme(self, part: ModelFolder, midis: Sequence[float]) -> dict[str, np.ndarray]:
        """spk_embed f32[1, N, H] of phonemes, by the notes they are sung on."""
        if not part.settings.speakers:
            return {}
        rows = [_row(part, self.suffix(midi)) for midi in midis]
        return {"spk_embed": part.embeddings[rows][None]}

    def by_frame(
        self, part: ModelFolder, phrase: Phrase, phones: Sequence[Phone], grid: FrameGrid
    ) -> dict[str, np.ndarray]:
        """spk_embed f32[1, T, H] of frames: the mix that the score gives, else as `by_phoneme`.

        Raises:
          InputError: for a speaker that the voicebank has not, or shares of sum 0.
        """
        if not part.settings.speakers:
            return {}
        midis = [phones[0].midi, *(phone.midi for phone in phones), phones[-1].midi]
        rows = np.repeat([_row(part, self.suffix(midi)) for midi in midis], grid.ph_dur)
        shares = self._colors(part, phrase, grid, rows)
        if (mix := self._mix(part, phrase, grid)) is not None:
            shares = mix
        return {"spk_embed": (shares.astype(np.float32) @ part.embeddings)[None]}

    def _colors(
        self, part: ModelFolder, phrase: Phrase, grid: FrameGrid, rows: np.ndarray
    ) -> np.ndarray:
        """Shares of the subbanks that are drawn, at most 1 in all; the rest is the phoneme's own.

        Args:
          rows: [T] the speaker of each frame.
        """
        own = np.eye(len(part.settings.speakers))[rows]
        drawn = np.zeros_like(own)
        for number, values in color_shares(phrase, grid.times_sec).items():
            if 0 <= number < len(self.character.subbanks):
                drawn[:, _row(part, self.character.subbanks[number].suffix)] += values
        total = drawn.sum(axis=1, keepdims=True)
        return np.where(total > 1, drawn / np.maximum(total, 1.0), drawn + (1.0 - total) * own)

    def _mix(self, part: ModelFolder, phrase: Phrase, grid: FrameGrid) -> np.ndarray | None:
        named = [name for name in phrase.piece.curves if name.startswith(SPEAKER_PREFIX)]
        if not named:
            return None
        shares = np.zeros((grid.frames, len(part.settings.speakers)))
        for name in named:
            one = name.removeprefix(SPEAKER_PREFIX)
            entry = self.entries.get(one, one if one in self.entries.values() else None)
            if entry is None:
                raise InputError(
                    f"{phrase.piece.where or 'a piece'}: spk_mix: the voicebank has no speaker "
                    f"{one!r}; it has {', '.join(self.entries)}"
                )
            curve = given_curve(phrase, name)
            assert curve is not None
            shares[:, _row(part, entry)] += curve.at(grid.times_sec)
        total = shares.sum(axis=1, keepdims=True)
        if np.any(shares < 0) or np.any(total <= 0):
            raise InputError(
                f"{phrase.piece.where or 'a piece'}: spk_mix: weights are 0 or more, and not all "
                "of them 0; correct them"
            )
        return shares / total


def _row(part: ModelFolder, entry: str) -> int:
    """The number of an entry in a folder's speakers; as in OpenUtau, the first if it has none."""
    speakers = part.settings.speakers
    return speakers.index(entry) if entry in speakers else 0
