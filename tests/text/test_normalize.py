"""The normaliser against a table of readings, and on texts of any kind."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffsinger_jax.text.cleaning import left_out
from diffsinger_jax.text.normalize import PAUSES, normalize, words_of

TABLE = Path(__file__).with_name("normalize_cases.tsv")
CASES = [
    tuple(line.split("\t"))
    for line in TABLE.read_text(encoding="utf-8").splitlines()
    if not line.startswith("# ")
]
PIECES = st.sampled_from(
    "$ £ ¢ % ° ' \" - -- – . , : / ( ) # & @ + = < > 1 12 007 1,000 3.5 1914 II VIII A FBI am "
    "Dr. St. No. e.g. km in May Nov. 1st 's http://a.b x@y.z ½ ² 🙂 漢 é".split()
    + [" ", "\n", "\x01", "\0"]
)


def test_the_table_has_two_hundred_cases():
    assert len(CASES) >= 200


def test_every_case_is_read_as_the_table_says():
    read = {written: normalize(written) for written, _ in CASES}
    assert read == dict(CASES)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=12).map("".join)))
def test_any_text_becomes_words_and_marks(text):
    read = normalize(text)
    for word in read.split(" ") if read else []:
        assert word.rstrip(PAUSES), read
        assert len(word) - len(word.rstrip(PAUSES)) <= 1
        bare = word.rstrip(PAUSES)
        assert all(c.isalpha() or c == "'" for c in bare), read
        assert bare == bare.lower() or bare[0].isupper() and bare[1:] in ("", "'s"), read


def test_what_is_read_is_read_the_same_again():
    for _, reading in CASES:
        if reading == reading.lower():  # a letter that is read by its name may be a word as well
            assert words_of(normalize(reading)) == words_of(reading)


def test_ten_thousand_words():
    text = "In 1914, Dr. Smith paid $3.50 for 5 km. " * 1000
    assert len(words_of(normalize(text))) == 14 * 1000


@pytest.mark.parametrize("size", [16, 5000])
def test_a_number_of_any_length_is_read(size):
    assert words_of(normalize("9" * size)) == ["nine"] * size


def test_what_has_no_reading_is_named():
    assert left_out("漢字 and 漢 Ж π é 🙂") == "漢字Ж"
