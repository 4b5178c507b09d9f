"""Texts cut into sentences: the same however they come, in bounded memory."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffsinger_jax.text.sentences import LONGEST_CHARACTERS, sentences


@pytest.mark.parametrize(
    "text, expected",
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Dr. Smith met J. R. Ewing. He left.", ["Dr. Smith met J. R. Ewing.", "He left."]),
        ("It cost 3.50 today. Yes.", ["It cost 3.50 today.", "Yes."]),
        ('He said "Go." Then he went.', ['He said "Go."', "Then he went."]),
        ("No. 5 is alive. No. I said.", ["No. 5 is alive.", "No. I said."]),
        ("etc. and so on. End", ["etc. and so on.", "End"]),
        ("A title\n\nA text", ["A title", "A text"]),
        ("a line\nthat goes on", ["a line\nthat goes on"]),
        ('<break time="0.5 s. Or so"/> {A. B}. C', ['<break time="0.5 s. Or so"/> {A. B}.', "C"]),
        ("If 5 < 6. Then so.", ["If 5 < 6.", "Then so."]),
        ("", []),
        (" \n ", []),
    ],
)
def test_where_sentences_end(text, expected):
    assert list(sentences([text])) == expected


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet='ab A.!?,\n<>{}"', max_size=80), st.integers(1, 7))
def test_chunks_change_nothing_and_nothing_is_lost(text, size):
    whole = list(sentences([text * 20]))
    parts = [(text * 20)[i : i + size] for i in range(0, 20 * len(text), size)]
    assert list(sentences(parts)) == whole
    assert "".join("".join(whole).split()) == "".join((text * 20).split())
    assert all(0 < len(sentence) <= LONGEST_CHARACTERS for sentence in whole)


def test_an_endless_text_is_read_as_it_comes():
    read = sentences(itertools.repeat("A word, and another one. "))
    assert next(read) == "A word, and another one."
    assert len(next(sentences(itertools.repeat("word ")))) <= LONGEST_CHARACTERS
    assert len(next(sentences(itertools.repeat("x")))) <= LONGEST_CHARACTERS
