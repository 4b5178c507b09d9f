"""Spelling to phones, phones to another voice, and what is said of a language."""

import pytest

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.dictionary import Dictionary, phonemize
from diffsinger_jax.score.languages import guess_language
from diffsinger_jax.score.letter_to_sound import LetterToSound, shared_out
from diffsinger_jax.score.phoneme_map import PhonemeMap
from diffsinger_jax.score.phonology import is_vowel
from diffsinger_jax.score.pronunciation import Pronunciation
from diffsinger_jax.score.tables import NAMES, languages_with, read_table, table_path
from diffsinger_jax.types import Note, Phoneme, Piece, Score, Vocabulary

VOICE = Vocabulary(
    tuple(
        "SP AP N a b by ch cl d e f g gy h hy i j k ky m my n ny o p py r ry s sh t ts u w y "
        "z".split()
    )
)
WITH_RULES = languages_with("rules_{}")
MAPS = languages_with("map_{}_ja")


def mapped(language):
    return Pronunciation(language).dictionary("", ("ja",), "ja")


def phones(language, word):
    """Phones of a word whose syllables are joined by hyphens."""
    syllables = mapped(language)._of_word(word.split("-"))
    return "-".join(" ".join(p) for p in syllables)


def test_what_ships():
    assert set(WITH_RULES) == {"de", "en", "es", "fr", "it", "la", "pt"}
    assert set(MAPS) == {*WITH_RULES, "zh"}


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("de", {
            "Lie-be": "l iy-b ax", "Schmer-zen": "sh m eh r-ts ax n", "ich": "ih hy",
            "Nacht": "n aa kh t", "Mut-ter": "m uw-t er", "stirbt": "sh t ih r p t",
            "ver-stehn": "f eh r-sh t eh n", "schö-ne": "sh oe-n ax", "Früh-ling": "f r ue-l ih ng",
            "wohl": "v oh l", "ge-hen": "g ey-ax n", "Häus-chen": "hh oy s-hy ax n",
            "se-lig": "z eh-l ih hy", "Vo-gel": "f oh-g ax l", "blüh'n": "b l ue n",
        }),
        ("en", {
            "love": "l ah v", "lit-tle": "l ih-t ax l", "but-ter-flies": "b ah-t er-f l iy z",
            "the": "dh ax", "night": "n ay t", "sta-tion": "s t ey-sh ax n", "moon": "m uw n",
            "heav'n": "hh eh v ax n", "strange": "s t r ey n jh", "kneel": "n iy l",
            "win-dow": "w ih n-d ow", "a-way": "ax-w ey", "whis-per": "w ih s-p er",
        }),
        ("fr", {
            "pe-ti-te": "p ax-t iy-t ax", "c'est": "s eh", "bois": "b w aa",
            "châ-teau": "sh aa-t oh",
            "feuil-la-ge": "f oe-y aa-zh ax", "chan-tent": "sh ahn-t ax", "nuit": "n w iy",
            "pro-fon-de": "p r oh-f ohn-d ax", "mon": "m ohn", "yeux": "y oe",
            "Ri-al-to": "r iy-aa l-t oh",
        }),
        ("it", {
            "già": "jh aa", "chi": "k iy", "bian-co": "b y aa n-k oh", "so-gno": "s oh-ny oh",
            "fi-glio": "f iy-ly oh", "mia": "m iy aa", "bel-la": "b eh-l aa",
            "scio-glie": "sh oh-ly eh",
        }),
        ("es", {
            "ca-be-llo": "k aa-b eh-y oh", "que": "k eh", "tren-za": "t r eh n-s aa",
            "ni-ño": "n iy-ny oh", "gi-tana": "hh iy-t aa n aa", "guer-ra": "g eh-r aa",
        }),
        ("la", {
            "coe-li": "ch eh-l iy", "gra-ti-as": "g r aa-ts iy-aa s", "a-gnus": "aa-ny uw s",
            "qui": "k w iy", "mi-hi": "m iy-k iy", "ex-cel-sis": "eh k s-ch eh l-s iy s",
        }),
        ("pt", {"co-ra-ção": "k oh-r aa-s ahn w", "fi-lha": "f iy-ly aa", "dia": "jh y aa"}),
    ],
)  # fmt: skip
def test_words(language, words):
    for word, expected in words.items():
        assert phones(language, word) == expected, word


@pytest.mark.parametrize("language", WITH_RULES)
def test_every_syllable_has_a_vowel_and_every_phone_is_mapped(language):
    """Whatever is written, in letters of the language."""
    import itertools

    letters = "abcdefghijlmnopqrstuvxz"
    rules, table = LetterToSound.of(language), PhonemeMap.open(language, "ja")
    for first, second, third in itertools.product(letters, "aeioumt", letters):
        for written in ([first + second + third], [first + second, third]):
            for syllable in rules.syllables(written):
                assert any(map(is_vowel, syllable)), written
                assert set(table.syllable(syllable)) <= set(VOICE.phonemes), written


@pytest.mark.parametrize("language", MAPS)
def test_every_entry_is_sung_by_a_japanese_voice(language):
    dictionary = mapped(language)
    for word in dictionary.entries:
        assert dictionary.word([word], VOICE)[0]


def test_each_syllable_keeps_its_note_and_clusters_are_consonants():
    notes = tuple(
        Note(1.0, 60.0, text, False, f"note {i}", hyphen)
        for i, (text, hyphen) in enumerate([("Früh", True), ("lings", False), ("strom", False)], 1)
    )
    score = Score("x", "", (Piece(0.0, notes),))
    (piece,) = phonemize(score, mapped("de"), VOICE).pieces
    assert [(p.symbol, p.note_index) for p in piece.phonemes if is_vowel(p.symbol)] == [
        ("u", 0), ("i", 1), ("o", 2),
    ]  # fmt: skip
    assert " ".join(p.symbol for p in piece.phonemes) == "f ry u r i N s sh t r o m"
    assert sum(p.onset for p in piece.phonemes) == 3


def test_elided_words_share_a_note():
    assert mapped("it").word(["de al"], VOICE) == [("d", "e", "a", "r")]


def test_a_word_of_a_dictionary_is_shared_out_among_its_syllables():
    assert shared_out("w ih n d ow".split(), 2) == [("w", "ih", "n"), ("d", "ow")]
    assert shared_out("m ih s t r ax l".split(), 2) == [("m", "ih", "s"), ("t", "r", "ax", "l")]
    assert shared_out("w er l d".split(), 2) is None


def test_dictionaries_of_ones_own(tmp_path):
    cmu = tmp_path / "cmu.dict"
    cmu.write_text(";;; comment\nqix K W IH1 K S # note\nqix(2) K AH0\nlullaby L AH1 L AH0 B AY2\n")
    openvpi = tmp_path / "mine.tsv"
    openvpi.write_text("Lumos\tl uw m oh s\n", "utf-8")
    read = Pronunciation("en", (str(cmu), str(openvpi))).dictionary("", ("ja",), "ja")
    assert read._of_word(["qix"]) == [("k", "w", "ih", "k", "s")]
    assert read._of_word(["lul", "la", "by"]) == [("l", "ah"), ("l", "ah"), ("b", "ay")]
    assert read._of_word(["LU", "MOS"]) == [("l", "uw"), ("m", "oh", "s")]
    table = tmp_path / "map.tsv"
    table.write_text("l\tr\nuw\tu\nm\tm\noh\to\ns\ts\n", "utf-8")
    with pytest.raises(InputError, match="name the language with --language"):
        Pronunciation(str(table)).dictionary("", ("ja",), "ja")
    own = Pronunciation(str(table), (str(openvpi),)).dictionary("en", ("ja",), "ja")
    assert own.word(["Lu", "mos"], VOICE) == [("r", "u"), ("m", "o", "s")]


def test_given_phonemes_go_through_the_map_in_their_time():
    given = (
        Phoneme("zh", 0, True, 0.1), Phoneme("uang", 0, False, 0.9), Phoneme("AP", 1, True, 0.5),
    )  # fmt: skip
    piece = Piece(0.0, (Note(1.0, 60.0), Note(0.5, None)), given)
    (read,) = phonemize(Score("x", "", (piece,)), mapped("zh"), VOICE).pieces
    assert [p.symbol for p in read.phonemes] == ["j", "w", "a", "N", "AP"]
    assert sum(p.duration_sec for p in read.phonemes) == pytest.approx(1.5)
    assert read.phonemes[1].duration_sec == pytest.approx(0.06)


def test_phonemes_of_another_language_name_its_map():
    given = tuple(Phoneme(s, 0, i == 0, 0.5) for i, s in enumerate("zh uang".split()))
    score = Score("x", "", (Piece(0.0, (Note(1.0, 60.0),), given),))
    with pytest.raises(InputError, match="look like Chinese, try --phoneme_map zh"):
        phonemize(score, Dictionary.of("ja"), VOICE)


def test_pinyin_and_characters():
    zh = mapped("zh")
    assert [zh.word([s], VOICE)[0] for s in ("zhong", "guo", "lü", "xue", "si")] == [
        ("j", "o", "N"), ("g", "w", "o"), ("ry", "u"), ("sh", "e"), ("s", "u"),
    ]  # fmt: skip
    assert len(read_table(table_path("zh"))) > 400
    notes = (Note(1.0, 60.0, "银"), Note(1.0, 60.0, "行"))
    score = Score("x", "", (Piece(0.0, notes),))
    pytest.importorskip("pypinyin")
    (piece,) = phonemize(score, zh, VOICE).pieces  # yin hang, not xing
    assert " ".join(p.symbol for p in piece.phonemes) == "i N h a N"


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("de", "So jemand spricht ich liebe Gott und hasst doch seine Brüder der"),
        ("en", "when Israel was in Egypt's land let my people go"),
        ("fr", "dans le bois chers aux ramiers pleurez doux feuillages et toi"),
        ("it", "l'aurora di bianco vestita già con le rose nel sol che non"),
        ("es", "del cabello más sutil que tienes en tu trenzada"),
        ("ja", "さくら さくら"),
        ("zh", "我 多 想 说 再 见"),
        (None, "la la la la"),
        (None, ""),
    ],
)
def test_the_language_is_guessed(language, words):
    assert guess_language(words.split()) == language


def german():
    words = "So je mand spricht ich lie be Gott und hasst doch sei ne Brü der".split()
    notes = tuple(Note(1.0, 60.0, w, False, f"note {i}") for i, w in enumerate(words, 1))
    return Score("song", "", (Piece(0.0, notes),), "song.xml")


def test_an_error_of_language_says_what_the_score_looks_like():
    with pytest.raises(InputError) as caught:
        phonemize(german(), Dictionary.of("ja"), VOICE)
    assert str(caught.value) == (
        "song.xml: this voice sings ja; the score looks like German (5 of 15 syllables known); "
        "choose another voice, or --phoneme_map de"
    )
    assert phonemize(german(), mapped("de"), VOICE)


def test_all_bad_lyrics_are_named_at_once():
    notes = tuple(
        Note(1.0, 60.0, w, False, f"note {i}")
        for i, w in enumerate("か xx き lx く け こ".split(), 1)
    )
    score = Score("song", "", (Piece(0.0, notes),), "song.xml")
    with pytest.raises(InputError) as caught:
        phonemize(score, Dictionary.of("ja"), VOICE)
    assert str(caught.value).startswith(
        "song.xml: 2 of 7 syllables cannot be sung: 'xx' (note 2), 'lx' (note 4); write kana"
    )


@pytest.mark.parametrize(
    ("pronunciation", "language", "sentence"),
    [
        (
            Pronunciation(),
            "de-AT",
            "its language is 'de-AT', the voice sings ja; .* --phoneme_map de",
        ),
        (Pronunciation(), "xx", "its language is 'xx', the voice sings ja; choose another voice"),
        (Pronunciation("xx"), "", "no phoneme map 'xx' for a voice of ja; there is one for de, en"),
        (Pronunciation(None, ("none.tsv",)), "", "none.tsv: the dictionary cannot be read"),
    ],
)
def test_what_is_not_there_is_said(pronunciation, language, sentence):
    with pytest.raises(InputError, match=sentence):
        pronunciation.dictionary(language, ("ja",), "ja")


def test_every_tag_has_a_name():
    assert {*WITH_RULES, *MAPS} <= set(NAMES)
