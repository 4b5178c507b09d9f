"""A text -> sentences of words with their phones, pauses between them, and how they are spoken."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator

from diffsinger_jax.text.markup import AS_IT_IS, Break, MarkupReader, Phones, Prosody
from diffsinger_jax.text.normalize import PAUSES, spoken_tokens, stronger_mark
from diffsinger_jax.text.sentences import sentences


@dataclasses.dataclass(frozen=True)
class Word:
    """A word as it is spoken.

    Attributes:
      written: of the normalised text, "" for phones that stand alone.
      phones: at least one, of ARPAbet unless the text gives others.
      prosody: against how the voice would say it.
    """

    written: str
    phones: tuple[str, ...]
    prosody: Prosody = AS_IT_IS


@dataclasses.dataclass(frozen=True)
class Pause:
    """A pause behind a word.

    Attributes:
      mark: one of `normalize.PAUSES`, or "" for a pause that the text asks for by its length.
      sec: of a pause whose length is given; None for one that is predicted.
    """

    mark: str
    sec: float | None = None


Sentence = tuple[Word | Pause, ...]
"""At least one word; it ends with a pause."""


def read_text(
    chunks: Iterable[str], pronounce: Callable[[str], tuple[str, ...]]
) -> Iterator[Sentence]:
    """The sentences of a text, in bounded memory.

    Args:
      chunks: parts of the text in order, as lines; with markup, see `markup`.
      pronounce: the phones of a word, as `pronunciation.Pronouncer`.

    Raises:
      InputError: for markup that cannot be read.
    """
    reader = MarkupReader()
    for written in sentences(chunks):
        sentence = _sentence(written, reader, pronounce)
        if any(isinstance(token, Word) for token in sentence):
            yield sentence
    reader.finish()


def _sentence(
    written: str, reader: MarkupReader, pronounce: Callable[[str], tuple[str, ...]]
) -> Sentence:
    tokens: list[Word | Pause] = []
    for span in reader.spans(written):
        if isinstance(span, Break):
            _add_pause(tokens, Pause("", span.sec))
        elif isinstance(span, Phones):
            tokens.append(Word(span.written, span.symbols, span.prosody))
        else:
            for token in spoken_tokens(span.text):
                if token in PAUSES:
                    _add_pause(tokens, Pause(token))
                else:
                    tokens.append(Word(token, pronounce(token), span.prosody))
    if tokens and isinstance(tokens[-1], Word):
        tokens.append(Pause("."))
    return tuple(tokens)


def _add_pause(tokens: list[Word | Pause], pause: Pause) -> None:
    """Adds a pause; one whose length is given takes the place of its neighbours."""
    last = tokens[-1] if tokens else None
    if not isinstance(last, Pause):
        if tokens or pause.sec is not None:
            tokens.append(pause)
    elif last.sec is not None and pause.sec is not None:
        tokens[-1] = Pause(last.mark, last.sec + pause.sec)
    elif pause.sec is not None:
        tokens[-1] = Pause(last.mark, pause.sec)
    elif last.sec is None:
        tokens[-1] = Pause(stronger_mark(last.mark, pause.mark))
    elif not last.mark:
        tokens[-1] = Pause(pause.mark, last.sec)
