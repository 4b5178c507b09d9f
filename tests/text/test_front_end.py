"""From text to phones: dictionaries, endings, rules, markup."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.tables import TABLES
from diffsinger_jax.text.front_end import Pause, Word, read_text
from diffsinger_jax.text.markup import Break, MarkupReader, Phones, Prosody, Text
from diffsinger_jax.text.phones import from_ipa, is_phone
from diffsinger_jax.text.pronunciation import (
    Pronouncer,
    by_rule,
    read_pronunciations,
    with_ending,
)

SAY = Pronouncer()


def spoken(text):
    return [sentence for sentence in read_text([text], SAY)]


def test_every_phone_of_the_shipped_words_is_one():
    table = read_pronunciations(TABLES / "spoken_en.dict")
    assert all(is_phone(phone) for phones in table.values() for phone in phones)
    assert {f"{letter}." for letter in "abcdefghijklmnopqrstuvwxyz"} <= set(table)
    stressed = [sum(phone[-1] == "1" for phone in phones) for phones in table.values()]
    assert max(stressed) == 1


@pytest.mark.parametrize(
    "word, phones",
    [
        ("hello", "HH AH0 L OW1"),
        ("W", "D AH1 B AH0 L Y UW0"),
        ("D's", "D IY1 Z"),
        ("worlds", "W ER1 L D Z"),
        ("worked", "W ER1 K T"),
        ("loving", "L AH1 V IH0 NG"),
        ("woman's", "W UH1 M AH0 N Z"),
    ],
)
def test_known_words_and_their_endings(word, phones):
    assert SAY(word) == tuple(phones.split())


def test_endings_sound_as_the_word_ends():
    assert with_ending(("B", "AH1", "S"), "s")[-2:] == ("IH0", "Z")
    assert with_ending(("K", "AE1", "T"), "s")[-1] == "S"
    assert with_ending(("W", "AA1", "N", "T"), "ed")[-2:] == ("IH0", "D")
    assert with_ending(("P", "AE1", "S"), "ed")[-1] == "T"


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyzéß'", min_size=1, max_size=14))
def test_any_word_has_a_reading_by_rule(word):
    phones = by_rule(word)
    assert phones and all(map(is_phone, phones))


def test_a_dictionary_of_the_users_comes_first(tmp_path):
    path = tmp_path / "own.dict"
    path.write_text(
        ";;; comment\nHELLO  Y EH1 L OW0\nhello(2) X\nmfa\t0.99\t0.1\tEH1 M # one\n", "utf-8"
    )
    say = Pronouncer([path])
    assert say("hello") == ("Y", "EH1", "L", "OW0")
    assert say("mfa") == ("EH1", "M")
    path.write_text("lonely\n", "utf-8")
    with pytest.raises(InputError, match="line 1"):
        Pronouncer([path])


def test_the_alphabet_of_the_optional_dictionary():
    assert from_ipa("həlˈO") == ("HH", "AH0", "L", "OW1")
    assert from_ipa("əɹˈWnd") == ("AH0", "R", "AW1", "N", "D")
    assert from_ipa("dˈɑktəɹ") == ("D", "AA1", "K", "T", "ER0")
    assert from_ipa("ж") is None


def test_markup_becomes_spans():
    reader = MarkupReader()
    text = (
        'Go <break time="300ms"/><prosody rate="50%" pitch="+2st" volume="-6dB">on &amp; '
        '<prosody rate="slow">{HH AY1}</prosody></prosody><phoneme ph="AA1">ah</phoneme> a < b'
    )
    outer = Prosody(0.5, 2.0, -6.0)
    assert list(reader.spans(text)) == [
        Text("Go ", Prosody()),
        Break(0.3),
        Text("on & ", outer),
        Phones("", ("HH", "AY1"), Prosody(0.375, 2.0, -6.0)),
        Phones("ah", ("AA1",), Prosody()),
        Text(" a < b", Prosody()),
    ]
    reader.finish()


@pytest.mark.parametrize(
    "text, named",
    [
        ("</prosody>", "nothing is"),
        ("<prosody rate='never'>x", "rate is 'never'"),
        ("<prosody colour='red'>x", "colour"),
        ("<break time='5 hours'/>", "time"),
        ("<break strength='odd'/>", "strength"),
        ("<phoneme alphabet='ipa' ph='a'>x</phoneme>", "arpabet"),
        ("{}", "no phoneme"),
        ("<prosody rate='slow'>x", "not closed"),
        ("<speak><prosody rate='slow'></speak>", "nest"),
    ],
)
def test_markup_that_cannot_be_read_is_named(text, named):
    with pytest.raises(InputError, match=named):
        spoken(text)


def test_sentences_of_words_and_pauses():
    first, second = spoken('Hello, world <break time="1s"/>! It is {N AW1}, 5.')
    assert first == (
        Word("hello", ("HH", "AH0", "L", "OW1")),
        Pause(","),
        Word("world", ("W", "ER1", "L", "D")),
        Pause("!", 1.0),
    )
    assert [token.written for token in second if isinstance(token, Word)] == [
        "it", "is", "", "five",
    ]  # fmt: skip
    assert second[-1] == Pause(".") and second[3] == Pause(",")


def test_prosody_goes_on_over_sentences():
    words = [
        token
        for sentence in spoken("<prosody pitch='high'>One. Two.</prosody> Three.")
        for token in sentence
        if isinstance(token, Word)
    ]
    assert [word.prosody.pitch for word in words] == [3.0, 3.0, 0.0]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            "<speak> </speak> <p> </p> <break/> <prosody rate='slow'> </prosody> { } {HH} <phoneme "
            "ph='AA1'> </phoneme> & &amp; word 12 . ! , \" < > 🙂".split(" ")
        ),
        max_size=10,
    ).map(" ".join)
    | st.text(max_size=40)
)
def test_any_text_is_read_or_refused_in_words(text):
    try:
        sentences = spoken(text)
    except InputError:
        return
    for sentence in sentences:
        assert isinstance(sentence[-1], Pause)
        assert all(token.phones for token in sentence if isinstance(token, Word))
