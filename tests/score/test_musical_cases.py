"""What musicians write, and what is heard: notes, seconds and syllables, or one sentence."""

import dataclasses

import pytest
from small_musicxml import note, syllable, words, write

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.dictionary import Dictionary, phonemize
from diffsinger_jax.score.note_range import range_remark
from diffsinger_jax.score.reader import read_score, read_scores
from diffsinger_jax.types import Vocabulary

VOICE = Vocabulary(
    tuple(
        "SP AP a i u e o N cl k s sh t ts ch n h f m y r w g z j d b p ky gy ny hy my ry by".split()
    )
)
FORWARD = '<barline location="left"><repeat direction="forward"/></barline>'
BACKWARD = '<barline location="right"><repeat direction="backward"/></barline>'
FERMATA = "<notations><fermata/></notations>"
BREATH = "<notations><articulations><breath-mark/></articulations></notations>"
C, D, E, F, G = (lambda x, o=4, d=1, s=step, **k: note(s, o, d, x, **k) for step in "CDEFG")


def ending(number, content, back=False):
    repeat = '<repeat direction="backward"/>' if back else ""
    return (
        f'<barline location="left"><ending number="{number}" type="start"/></barline>{content}'
        f'<barline location="right"><ending number="{number}" type="stop"/>{repeat}</barline>'
    )


def heard(score):
    """ "lyric midi seconds" of each note: "-" a slur, "." a rest, "AP" a breath."""
    return " ".join(
        f"{'-' if n.slur else n.lyric or '.'}"
        f"{'' if n.midi is None else f'/{n.midi:g}'}/{n.duration_sec:.4g}"
        for piece in score.pieces
        for n in piece.notes
    )


SCALE = C("a") + D("i") + E("u") + F("e")
# name: (measures, options for the score's writing, options for reading, what is heard)
CASES = {
    "5/4": ([SCALE + G("o"), C("a", d=5)], {"beats": 5}, {},
            "a/60/1 i/62/1 u/64/1 e/65/1 o/67/1 a/60/5"),
    "pick-up": ([C("a"), SCALE], {}, {}, "a/60/1 a/60/1 i/62/1 u/64/1 e/65/1"),
    "3+2/8": ([C("a", d=5)], {"beats": "3+2", "beat_type": 8, "divisions": 2}, {}, "a/60/2.5"),
    "voltas": ([FORWARD + C("a", d=4), ending(1, D("i", d=4), True), ending(2, E("u", d=4))],
               {}, {}, "a/60/4 i/62/4 a/60/4 u/64/4"),
    "three times": (
        [FORWARD + C("a", d=4), ending("1, 2", D("i", d=4), True), ending(3, E("u", d=4))],
        {}, {}, "a/60/4 i/62/4 a/60/4 i/62/4 a/60/4 u/64/4"),
    "D.C. al Fine by words": (
        [C("a", d=4), D("i", d=4) + words("Fine"), E("u", d=4) + words("D.C. al Fine")], {}, {},
        "a/60/4 i/62/4 u/64/4 a/60/4 i/62/4"),
    "D.C. al Fine by sound": (
        [C("a", d=4), D("i", d=4) + '<sound fine="yes"/>', E("u", d=4) + '<sound dacapo="yes"/>'],
        {}, {}, "a/60/4 i/62/4 u/64/4 a/60/4 i/62/4"),
    "D.C. takes no repeat and the last volta": (
        [FORWARD + C("a", d=4), ending(1, D("i", d=4), True), ending(2, E("u", d=4)),
         F("e", d=4) + words("Da capo al fine"), ], {}, {},
        "a/60/4 i/62/4 a/60/4 u/64/4 e/65/4 a/60/4 u/64/4 e/65/4"),
    "D.S. al Coda": (
        [C("a", d=4), '<direction><direction-type><segno/></direction-type></direction>'
         + D("i", d=4), E("u", d=4) + words("To Coda"), F("e", d=4) + words("D.S. al Coda"),
         words("Coda") + G("o", d=4)], {}, {},
        "a/60/4 i/62/4 u/64/4 e/65/4 i/62/4 u/64/4 o/67/4"),
    "grace notes": (
        ["<note><grace/><pitch><step>B</step><octave>3</octave></pitch></note>" + C("a", d=4)],
        {}, {}, "a/60/4"),
    "transposing instrument": (
        ["<attributes><transpose><chromatic>-2</chromatic></transpose></attributes>"
         + D("a", d=4)], {}, {}, "a/60/4"),
    "octave clef": (
        ["<attributes><clef><sign>G</sign><line>2</line><clef-octave-change>-1"
         "</clef-octave-change></clef></attributes>" + C("a", 3, 4)], {}, {}, "a/48/4"),
    "melisma by extender": ([C("a") + D(None) + E("i") + F(None)], {}, {},
                            "a/60/1 -/62/1 i/64/1 -/65/1"),
    "melisma by dash": ([C("a") + D("-") + E("i") + F("-")], {}, {}, "a/60/1 -/62/1 i/64/1 -/65/1"),
    "melisma by underscore": ([C("a") + D("__") + E("i") + F("_")], {}, {},
                              "a/60/1 -/62/1 i/64/1 -/65/1"),
    "a melisma over a rest": ([C("a") + note(None, 0, 1) + D(None, d=2)], {}, {},
                              "a/60/1 ./1 ー/62/2"),
    "two morae on a note": ([C("ない", d=2) + D("さん", d=2)], {}, {}, "ない/60/2 さん/62/2"),
    "no tempo": ([C("a", d=4)], {"tempo": None}, {}, "a/60/2"),
    "Adagio": ([words("Adagio") + C("a", d=4)], {"tempo": None}, {}, "a/60/3.636"),
    "Allegro and a number": (
        [words("Allegro") + '<sound tempo="120"/>' + C("a", d=4)], {"tempo": None}, {}, "a/60/2"),
    "a tempo": (
        ['<sound tempo="120"/>' + C("a", d=4), words("Meno mosso") + D("i", d=4),
         words("Tempo I") + E("u", d=4)], {"tempo": None}, {}, "a/60/2 i/62/2.299 u/64/2"),
    "rit. in tempo": ([words("rit.") + SCALE], {}, {}, "a/60/1 i/62/1 u/64/1 e/65/1"),
    "rit. as asked": (
        [words("rit.") + SCALE, words("a tempo") + G("o", d=4)], {}, {"ritardando": 0.5},
        "a/60/1.105 i/62/1.282 u/64/1.527 e/65/1.889 o/67/4"),
    "fermata in tempo": ([C("a", d=4, inside=FERMATA)], {}, {}, "a/60/4"),
    "fermata as asked": ([C("a", d=2) + D("i", inside=FERMATA) + E("u")], {}, {"fermata": 1.5},
                         "a/60/2 i/62/1.5 u/64/1"),
    "breath mark": ([C("a", d=2, inside=BREATH) + D("i", d=2)], {}, {},
                    "a/60/1.7 AP/0.3 i/62/2"),
    "breath mark on a short note": ([C("a", inside=BREATH) + D("i")], {"tempo": 240}, {},
                                    "a/60/0.15 AP/0.1 i/62/0.25"),
    "divisi, the upper line": ([C("a", d=2) + E(None, d=2, inside="<chord/>") + D("i", d=2)],
                               {}, {}, "a/64/2 i/62/2"),
    "divisi, the lower line": ([C("a", d=2) + E(None, d=2, inside="<chord/>") + D("i", d=2)],
                               {}, {"voice_line": 2}, "a/60/2 i/62/2"),
    "verse 2": ([C("a", d=2, v2="b") + D("i", d=2, v2="d")], {}, {"verse": 2}, "b/60/2 d/62/2"),
    "trailing note without lyric": ([C("a", d=2) + D("i") + E(None)], {}, {},
                                    "a/60/2 i/62/1 -/64/1"),
    "capitals": ([C("KA", d=2) + D("Shi", d=2)], {}, {}, "KA/60/2 Shi/62/2"),
    "punctuation": ([C("sa,") + D("ku!") + E("「ら」") + F("か。")], {}, {},
                    "sa/60/1 ku/62/1 ら/64/1 か/65/1"),
    "verse numbers": ([C("1.sa", d=2) + D("2. ku", d=2)], {}, {}, "sa/60/2 ku/62/2"),
    "katakana with small letters": ([C("キャ", d=2) + D("ファ", d=2)], {}, {},
                                    "キャ/60/2 ファ/62/2"),
    "romaji with hyphens": ([C("sa-") + D("-ku-") + E("ra") + F("ka")], {}, {},
                            "sa/60/1 ku/62/1 ra/64/1 ka/65/1"),
    "syllables of a word": (
        [syllable("C", 4, 2, "sa", "begin") + syllable("D", 4, 2, "ku", "end")], {}, {},
        "sa/60/2 ku/62/2"),
    "vocalise": ([C("x") + D(None) + E("y", d=2)], {}, {"lyric": "a"}, "a/60/1 a/62/1 a/64/2"),
    "very high and very low": ([C("a", 8, 2) + C("i", 0, 2)], {}, {}, "a/108/2 i/12/2"),
    "very fast": ([SCALE], {"tempo": 600}, {}, "a/60/0.1 i/62/0.1 u/64/0.1 e/65/0.1"),
    "very slow": ([C("a", d=4)], {"tempo": 10}, {}, "a/60/24"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_heard(tmp_path, name):
    measures, written, read, expected = CASES[name]
    score = read_score(write(tmp_path, *measures, **written), **read)
    assert heard(score) == expected
    phonemize(score, _dictionary(), VOICE)


def _dictionary():
    """Japanese, and two letters that a verse is told by."""
    ja = Dictionary.of("ja")
    return dataclasses.replace(ja, entries={**ja.entries, "b": ("b", "a"), "d": ("d", "e")})


SENTENCES = {
    "a melisma first": ([C(None, d=2) + D("a", d=2)], {}, "measure 1, note 1 starts the song"),
    "no lyrics": ([SCALE.replace("<lyric", "<x").replace("</lyric", "</x")], {}, "has lyrics"),
    "no such verse": ([C("a", d=4)], {"verse": 3}, "no verse 3; the lyrics have verse 1"),
    "no such part": ([C("a", d=4)], {"part": "Alto"}, "no part 'Alto'; there are 1 part 1, or all"),
    "drums": (["<note><unpitched/><duration>4</duration></note>"], {}, "none of its notes has a"),
    "silence": ([note(None, 0, 4)], {}, "no note in it to sing"),
    "too long": ([C("a", d=10**6)], {}, "it lasts 278 hours"),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_what_cannot_be_sung_is_a_sentence(tmp_path, name):
    measures, read, sentence = SENTENCES[name]
    path = write(tmp_path, *measures)
    with pytest.raises(InputError, match=sentence) as caught:
        read_score(path, **read)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_kanji_needs_a_dictionary(tmp_path):
    score = read_score(write(tmp_path, C("心", d=2) + D("か", d=2)))
    with pytest.raises(InputError, match="note 1: lyric '心' .* write its reading in kana"):
        phonemize(score, Dictionary.of("ja"), VOICE)
    table = tmp_path / "kanji.tsv"
    table.write_text("心\tk o k o r o\n", "utf-8")
    read = phonemize(score, Dictionary.of("ja").with_tables([table]), VOICE)
    assert [p.symbol for p in read.pieces[0].phonemes] == "k o k o r o k a".split()


REMARKS = {
    "no tempo": "gives no tempo; 120 quarters a minute are assumed",
    "Adagio": "'adagio' is taken for 66 quarters a minute",
    "rit. in tempo": "--ritardando 0.8",
    "fermata in tempo": "--fermata 1.5",
    "grace notes": "1 grace note is left out",
    "divisi, the upper line": "of the chords in measure 1 the highest note is sung; --voice_line 2",
}


@pytest.mark.parametrize("name", REMARKS)
def test_what_was_assumed_is_said(tmp_path, name):
    measures, written, read, _ = CASES[name]
    remarks = read_score(write(tmp_path, *measures, **written), **read).remarks
    assert any(REMARKS[name] in remark for remark in remarks), remarks


def test_the_piano_may_come_first_and_the_part_is_named(tmp_path):
    def other(number, content):
        return f'<part id="P{number}"><measure number="1">{content}</measure></part>'

    path = write(
        tmp_path, C(None, 3, 4), names=("Piano", "Soprano", "Alto"),
        more_parts=other(2, E("a", d=4)) + other(3, C("i", d=4)),
    )  # fmt: skip
    score = read_score(path)
    assert (score.part, heard(score)) == ("Soprano", "a/64/4")
    assert "part 1 is sung; --part chooses another" in score.remarks[0]
    assert heard(read_score(path, part="alto")) == heard(read_score(path, part="2")) == "i/60/4"
    assert [s.part for s in read_scores(path, part="all")] == ["Soprano", "Alto"]
    with pytest.raises(InputError, match="'Piano' has no lyrics; sing it on a syllable"):
        read_score(path, part="Piano")
    assert heard(read_score(path, part="Piano", lyric="a")) == "a/48/4"


BACKUP = "<backup><duration>4</duration></backup>"


def closed_score(tmp_path):
    """Soprano and alto on one staff, tenor and bass on another; words under the soprano alone."""

    def voice(steps, octave, number, staff, text=None):
        inside = f"<voice>{number}</voice><staff>{staff}</staff>"
        lyrics = text or [None] * 4
        return "".join(note(s, octave, 1, x, inside) for s, x in zip(steps, lyrics, strict=True))

    measure = (
        voice("GAGF", 4, 1, 1, ["a", "i", "u", "e"]) + BACKUP + voice("EFEC", 4, 2, 1) + BACKUP
        + voice("CCCA", 3, 5, 2) + BACKUP + voice("CFCF", 2, 6, 2)
    )  # fmt: skip
    return write(tmp_path, measure, names=("Choir",))


def test_a_closed_score_has_four_parts_with_the_same_words(tmp_path):
    scores = read_scores(closed_score(tmp_path), part="all")
    assert [heard(s) for s in scores] == [
        "a/67/1 i/69/1 u/67/1 e/65/1", "a/64/1 i/65/1 u/64/1 e/60/1",
        "a/48/1 i/48/1 u/48/1 e/57/1", "a/36/1 i/41/1 u/36/1 e/41/1",
    ]  # fmt: skip
    assert [s.part for s in scores] == ["Choir 1", "Choir 2", "Choir 3", "Choir 4"]


def test_a_chord_score_is_divided(tmp_path):
    chord = "".join(
        note("G", 4, 1, x) + note("E", 4, 1, None, "<chord/>") for x in ("a", "i", "u", "e")
    )
    upper, lower = read_scores(write(tmp_path, chord), part="all")
    assert heard(upper) == "a/67/1 i/67/1 u/67/1 e/67/1"
    assert heard(lower) == "a/64/1 i/64/1 u/64/1 e/64/1"


def test_parts_of_unequal_length_end_together(tmp_path):
    other = f'<part id="P2"><measure number="1">{C("a", d=4)}</measure></part>'
    scores = read_scores(write(tmp_path, E("i", d=4), F("u", d=4), more_parts=other), part="all")
    assert [s.duration_sec for s in scores] == [8.0, 8.0]


def test_notes_outside_the_voice_are_named(tmp_path):
    score = read_score(write(tmp_path, C("a", 6, 2) + D("i", 6, 2)))
    sentence = range_remark(score, 48, 72)
    assert sentence.startswith("2 of 2 notes (C6, D6) lie outside") and "--key -14" in sentence
    assert range_remark(score, 48, 90) is None


def test_a_very_long_song_is_read(tmp_path):
    score = read_score(write(tmp_path, *[SCALE] * 600))
    assert score.duration_sec == pytest.approx(2400)
