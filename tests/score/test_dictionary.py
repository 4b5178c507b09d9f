"""Lyrics to phonemes."""

from pathlib import Path

import pytest

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.dictionary import Dictionary, phonemize
from diffsinger_jax.score.reader import read_score
from diffsinger_jax.types import Note, Piece, Score, Vocabulary

PJS = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "pjs"
PHONEMES = (
    "SP a i u e o N cl k s sh t ts ch n h f m y r w g z j d b p ky gy ny hy my ry by py".split()
)
VOICE = Vocabulary(tuple(PHONEMES))
JA = Dictionary.of("ja")


@pytest.mark.parametrize(
    ("lyrics", "phonemes"),
    [
        ("か カ ｶ ka KA", "k a"),
        ("が が ガ ga", "g a"),
        ("きゃ キャ kya", "ky a"),
        ("し shi si", "sh i"),
        ("つ tsu tu", "ts u"),
        ("ち chi ti", "ch i"),
        ("ふ fu hu", "f u"),
        ("じゃ ja zya jya", "j a"),
        ("ん ン n n' N", "N"),
        ("っ ッ cl", "cl"),
        ("を wo オ o おー オー", "o"),
        ("は ha", "h a"),
        ("わ wa", "w a"),
        ("ない nai", "n a i"),
        ("さん san", "s a N"),
        ("って tte", "cl t e"),
        ("いっち itchi icchi", "i cl ch i"),
        ("こんにちは konnichiha", "k o N n i ch i h a"),
        ("かんい kan'i", "k a N i"),
        ("てぃ ティ", "t i"),
        ("ふぁ ファ fa", "f a"),
        ("[ky_o] ky_o", "ky o"),
        ("ヴァ va", "b a"),
        ("てゅ", "ch u"),
        ("くぁ kwa", "k w a"),
    ],
)
def test_syllables(lyrics, phonemes):
    for lyric in lyrics.split():
        assert JA.phonemes(lyric.replace("_", " "), VOICE) == tuple(phonemes.split()), lyric


def test_every_entry_can_be_sung_by_the_voice():
    for syllable in JA.entries:
        assert JA.phonemes(syllable, VOICE)


def score_of(*lyrics):
    """Notes of a second; None is a rest, "-" a slur."""
    notes = tuple(
        Note(
            1.0, None if x is None else 60.0, None if x in (None, "-") else x, x == "-", f"note {i}"
        )
        for i, x in enumerate(lyrics, 1)
    )
    return Score("song", "ja", (Piece(0.0, notes, where="segment 1"),), "song.xml")


def spelled(*lyrics, vocabulary=VOICE):
    """Phonemes with their notes; onsets in capitals of a star."""
    (piece,) = phonemize(score_of(*lyrics), JA, vocabulary).pieces
    return " ".join(f"{'*' if p.onset else ''}{p.symbol}{p.note_index}" for p in piece.phonemes)


def test_the_vowel_starts_the_note():
    assert spelled(None, "か", "さん", None) == "*SP0 k1 *a1 s2 *a2 N2 *SP3"
    assert spelled(None, "ない", "っ", "ん") == "*SP0 n1 *a1 i1 *cl2 *N3"


def test_slurs_repeat_the_vowel_and_keep_the_end_for_the_last():
    assert spelled(None, "さん", "-", "-", "か") == "*SP0 s1 *a1 *a2 *a3 N3 k4 *a4"


def test_a_long_mark_goes_on_with_the_vowel():
    assert spelled("かー", None, "ー", "ん", "ー") == "*k0 a0 *SP1 *a2 *N3 *N4"
    with pytest.raises(InputError, match="note 2: lyric 'ー' goes on with the vowel before it"):
        spelled(None, "ー")


def test_the_first_phoneme_is_an_onset():
    assert spelled("きょう", "-") == "*ky0 o0 *o1 u1"


def test_breaths():
    assert spelled("あ", "br") == "*a0 *SP1"
    assert spelled("あ", "AP", vocabulary=Vocabulary((*PHONEMES, "AP"))) == "*a0 *AP1"


@pytest.mark.parametrize(
    ("lyric", "sentence"),
    [
        ("zzz", "note 2: lyric 'zzz' is not in the ja dictionary .* write kana, romaji or"),
        ("[k q]", "note 2: the voice has no phoneme 'q'; the nearest it knows are"),
        ("漢", "note 2: lyric '漢' is not in the ja dictionary; write"),
    ],
)
def test_an_unknown_lyric_says_where(lyric, sentence):
    with pytest.raises(InputError, match="^song.xml: segment 1: " + sentence):
        spelled("か", lyric)


def test_a_note_without_lyric_and_an_unknown_language():
    with pytest.raises(InputError, match="note 1: the note has no lyric"):
        spelled("-", "か")
    with pytest.raises(
        InputError, match="no dictionary for the language 'xx'; there is one for ja"
    ):
        Dictionary.of("xx")


def test_a_table_of_ones_own(tmp_path):
    table = tmp_path / "la.tsv"
    table.write_text("# comment\nlu\tl u\nx\tk s\n", "utf-8")
    vocabulary = Vocabulary(("SP", "l", "u", "k", "s"))
    latin = Dictionary.read(table, "la")
    assert latin.phonemes("Lux", vocabulary) == ("l", "u", "k", "s")
    table.write_text("lu l u\n", "utf-8")
    with pytest.raises(InputError, match="la.tsv: line 1: expected a syllable, a tab"):
        Dictionary.read(table, "la")


@pytest.mark.slow
@pytest.mark.skipif(not PJS.is_dir(), reason="PJS is not at hand")
def test_pjs_lyrics_give_the_labels_of_its_recordings():
    """Scores and labels were made apart; three of 93 songs differ, by a slip in one of the two."""
    different = []
    for path in sorted(PJS.glob("*/*.musicxml")):
        if path.stem == "pjs064":  # two voices at once in measure 4
            continue
        (piece,) = phonemize(read_score(path), JA, VOICE).pieces
        sung = [
            p.symbol
            for p in piece.phonemes
            if p.symbol != "SP" and not (p.onset and piece.notes[p.note_index].slur)
        ]
        labels = path.with_suffix(".lab").read_text("utf-8").split()[2::3]
        if sung != [label for label in labels if label != "pau"]:
            different.append(path.stem)
    assert different == ["pjs008", "pjs046", "pjs060"]
