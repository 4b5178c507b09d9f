"""The corpora of a training as one: numbered by one vocabulary, taken by weight."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np

from diffsinger_jax.errors import InputError
from diffsinger_jax.pipeline.collate import Example
from diffsinger_jax.pipeline.packed import PackedCorpus, is_packed, open_packed
from diffsinger_jax.pipeline.plan import Shares
from diffsinger_jax.pipeline.prepared import Lengths, PreparedCorpus, open_corpus
from diffsinger_jax.types import CorpusInfo, Vocabulary

FINEST_WEIGHT = 100
"""Weights are whole numbers of hundredths, so that epochs repeat their lengths soon."""


@dataclasses.dataclass(frozen=True)
class MixedCorpus:
    """Prepared corpora read as one, in the way of a `PreparedCorpus`.

    Attributes:
      path: of their folders, with weights, as the user gave them.
      info: of all of them: its vocabulary numbers the examples of `source`.
      splits: names of those that at least one has.
      parts: the corpora.
      weights: of each: an epoch takes so many times its training examples.
    """

    path: str
    info: CorpusInfo
    splits: tuple[str, ...]
    parts: tuple[PreparedCorpus | PackedCorpus, ...]
    weights: tuple[Fraction, ...]

    @property
    def curves(self) -> tuple[str, ...]:
        """Names of the optional features that its batches have."""
        return self.parts[0].curves

    @property
    def in_memory(self) -> bool:
        """Whether the examples of all parts are there at once."""
        return all(part.in_memory for part in self.parts)

    def source(self, split: str) -> Sequence[Example]:
        """The examples of a split by number, one corpus after the other."""
        parts = self._having(split)
        return _Joined([_Renumbered(p.source(split), p.info, self.info) for p in parts])

    def lengths(self, split: str) -> Lengths:
        """Lengths of all examples of a split, in the order of `source`; reads it once."""
        of_parts = [part.lengths(split) for part in self._having(split)]
        return Lengths(
            np.concatenate([one.frames for one in of_parts]),
            np.concatenate([one.phonemes for one in of_parts]),
            tuple(name for one in of_parts for name in one.names),
        )

    def shares(self, split: str) -> Shares | None:
        """What of each corpus an epoch takes; None where that is every example once."""
        if all(weight == 1 for weight in self.weights):
            return None
        having = self._having(split)
        counts = [len(part.source(split)) for part in having]
        weights = tuple(self.weights[self.parts.index(part)] for part in having)
        return Shares(np.repeat(np.arange(len(having), dtype=np.int32), counts), weights)

    def _having(self, split: str) -> list[PreparedCorpus | PackedCorpus]:
        having = [part for part in self.parts if split in part.splits]
        if not having:
            raise InputError(
                f"the corpus {self.path} has no examples in the split {split!r}; "
                f"it has {', '.join(self.splits)}"
            )
        return having


def parse_corpora(text: str) -> list[tuple[str, Fraction]]:
    """`"prepared/pjs"` or `"prepared/pjs,prepared/more=0.5"` -> folders and weights.

    Raises:
      InputError: for a weight that is no positive number of at most two decimals, a folder that
        is named twice, and for none at all.
    """
    corpora: list[tuple[str, Fraction]] = []
    for entry in text.split(","):
        path, equals, weight = entry.strip().partition("=")
        if not path:
            raise InputError(
                f"config.corpus is {text!r}, expected a folder, or several as "
                '"prepared/pjs,prepared/more=0.5"'
            )
        try:
            number = Fraction(weight) if equals else Fraction(1)
        except (ValueError, ZeroDivisionError):
            number = Fraction(0)
        if number <= 0 or FINEST_WEIGHT % number.denominator:
            raise InputError(
                f"config.corpus gives {path} the weight {weight!r}, expected a number above 0 "
                "with at most two decimals, as in prepared/more=0.5"
            )
        if path in (known for known, _ in corpora):
            raise InputError(f"config.corpus names {path} twice; give it once, with a weight")
        corpora.append((path, number))
    return corpora


def open_corpora(
    text: str, base: CorpusInfo | None = None, curves: Sequence[str] = ()
) -> MixedCorpus:
    """Opens the corpora of a training.

    Without a base the vocabulary is that of the first corpus with what the others have beyond it
    behind, and the mel's range is that of all. With a base, of the voice that training starts
    from, its vocabulary comes first and its range is kept, so that what it has learnt stays true.

    Args:
      text: see `parse_corpora`.
      base: what to go on from.
      curves: names of the optional features that batches shall have.

    Raises:
      InputError: for a folder that is no prepared corpus, one without a training split or a
        curve that has no neutral value, and mels that differ.
    """
    corpora = parse_corpora(text)
    parts = tuple(
        open_packed(path, curves) if is_packed(path) else open_corpus(path, curves)
        for path, _ in corpora
    )
    for part in parts:
        if "train" not in part.splits:
            raise InputError(f"the corpus {part.path} has no examples to train on")
        if differences := (base or parts[0].info).mel.differences(part.info.mel):
            raise InputError(
                f"the mel of {base.name if base else parts[0].path} is not that of {part.path} "
                f"({'; '.join(differences)}); prepare the corpus again with the same --mel"
            )
    if base is not None:
        parts = tuple(_named_as(part, base.vocabulary) for part in parts)
    infos = [part.info for part in parts]
    start = base or dataclasses.replace(
        infos[0],
        mel_min=np.min([info.mel_min for info in infos], axis=0),
        mel_max=np.max([info.mel_max for info in infos], axis=0),
    )
    sung = [info.note_range for info in (start, *infos) if info.note_range]
    info = dataclasses.replace(
        start,
        name="+".join(info.name for info in infos),
        vocabulary=extend(start.vocabulary, (info.vocabulary for info in infos)),
        licence="\n".join(_distinct(i.licence for i in (start, *infos) if i.licence)),
        note_range=_widest(sung) if sung else None,
        ranges=_widest_ranges(infos),
    )
    splits = _distinct(split for part in parts for split in part.splits)
    path = parts[0].path if len(parts) == 1 else text
    return MixedCorpus(path, info, splits, parts, tuple(weight for _, weight in corpora))


def _widest(ranges: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _widest_ranges(infos: Sequence[CorpusInfo]) -> dict[str, tuple[float, float]]:
    names = _distinct(name for info in infos for name in info.ranges)
    return {name: _widest([i.ranges[name] for i in infos if name in i.ranges]) for name in names}


def numbered_as(corpus: PreparedCorpus, info: CorpusInfo) -> MixedCorpus:
    """The corpus as a voice numbers it.

    Raises:
      InputError: for a phoneme, speaker or language that the voice does not have.
    """
    corpus = _named_as(corpus, info.vocabulary)
    whole = extend(info.vocabulary, [corpus.info.vocabulary])
    for field in dataclasses.fields(Vocabulary):
        new = getattr(whole, field.name)[len(getattr(info.vocabulary, field.name)) :]
        if new:
            raise InputError(
                f"the corpus {corpus.info.name} has the {field.name} {', '.join(new)}, which the "
                "voice has not learnt; take a corpus it was trained on"
            )
    info = dataclasses.replace(info, name=corpus.info.name)
    return MixedCorpus(corpus.path, info, corpus.splits, (corpus,), (Fraction(1),))


Corpus = TypeVar("Corpus", bound=PreparedCorpus | PackedCorpus)


def _named_as(corpus: Corpus, base: Vocabulary) -> Corpus:
    """The corpus with a voice's names of its phonemes: `a` of one in ja is `ja/a` if that is known.

    A name of a merged group becomes its first. Phonemes of several languages keep their names.
    """
    own = corpus.info.vocabulary
    first = {name: group[0] for group in base.merged for name in group}

    def named(phoneme: str) -> str:
        if phoneme not in base.names and len(own.languages) == 1:
            full = f"{own.languages[0]}/{phoneme}"
            phoneme = full if full in base.names else phoneme
        return first.get(phoneme, phoneme)

    renamed = dataclasses.replace(own, phonemes=tuple(map(named, own.phonemes)))
    if renamed == own:
        return corpus
    return dataclasses.replace(corpus, info=dataclasses.replace(corpus.info, vocabulary=renamed))


def extend(vocabulary: Vocabulary, others: Iterable[Vocabulary]) -> Vocabulary:
    """The vocabulary with what the others have beyond it behind, sorted; old numbers stay."""
    others = list(others)

    def joined(field: str) -> tuple[Any, ...]:
        old = getattr(vocabulary, field)
        return (
            *old,
            *sorted({name for other in others for name in getattr(other, field)} - {*old}),
        )

    return Vocabulary(*(joined(field.name) for field in dataclasses.fields(Vocabulary)))


class _Renumbered(Sequence):
    """The examples of a corpus with the ids of another vocabulary."""

    def __init__(self, source: Sequence[Example], own: CorpusInfo, shown: CorpusInfo):
        self._source = source
        mine, theirs = own.vocabulary, shown.vocabulary
        self._same = all(
            getattr(theirs, field)[: len(names)] == names
            for field, names in dataclasses.asdict(mine).items()
        )
        self._tokens = np.concatenate([[0], theirs.phoneme_ids(mine.phonemes)]).astype(np.int32)
        self._speakers = np.asarray([*map(theirs.speakers.index, mine.speakers)], np.int32)
        self._languages = np.asarray([*map(theirs.languages.index, mine.languages)], np.int32)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Example:  # type: ignore[override]  # never sliced
        example = self._source[index]
        if self._same:
            return example
        return {
            **example,
            "tokens": self._tokens[example["tokens"]],
            "speaker": self._speakers[example["speaker"]],
            "language": self._languages[example["language"]],
        }


class _Joined(Sequence):
    """Sequences one after the other."""

    def __init__(self, parts: Sequence[Sequence[Example]]):
        self._parts = parts
        self._ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Example:  # type: ignore[override]  # never sliced
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = int(np.searchsorted(self._ends, index, side="right"))
        before = int(self._ends[number - 1]) if number else 0
        return self._parts[number][index - before]


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
