"""MusicXML: what is heard, what is refused."""

import runpy
import zipfile
from pathlib import Path

import pytest
from small_musicxml import note, write

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.reader import read_score

HERE = Path(__file__).parent
DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def sung(score):
    """(lyric, midi, seconds) of each note, "-" for slurs, None for rests."""
    return [
        ("-" if n.slur else n.lyric, n.midi, pytest.approx(n.duration_sec))
        for piece in score.pieces
        for n in piece.notes
    ]


TIE_START, TIE_STOP = '<tie type="start"/>', '<tie type="stop"/>'


def test_ties_slurs_rests_and_tempo(tmp_path):
    path = write(
        tmp_path,
        note(None, 0, 1) + note("A", 4, 1, "か", TIE_START),
        note("A", 4, 2, None, TIE_STOP)
        + note("B", 4, 1)
        + '<sound tempo="120"/>'
        + note("C", 5, 2, "き"),
        note(None, 0, 2) + note("C", 5, 2, "ー"),
    )
    score = read_score(path)
    assert sung(score) == [
        (None, None, 1.0), ("か", 69, 3.0), ("-", 71, 1.0), ("き", 72, 1.0), (None, None, 1.0),
        ("ー", 72, 1.0),
    ]  # fmt: skip
    assert score.pieces[0].notes[1].where == "measure 1, note 1"


def test_divisions_may_change_and_triplets_fill_their_beat(tmp_path):
    path = write(
        tmp_path,
        note("C", 4, 1, "a") * 4,
        "<attributes><divisions>6</divisions></attributes>" + note("C", 4, 2, "i") * 3,
    )
    assert [n.duration_sec for n in read_score(path).pieces[0].notes] == pytest.approx(
        [1, 1, 1, 1] + [1 / 3] * 3
    )


def test_metronome_mark_counts_dotted_beats(tmp_path):
    mark = (
        "<direction><direction-type><metronome><beat-unit>quarter</beat-unit><beat-unit-dot/>"
        "<per-minute>c. 40</per-minute></metronome></direction-type></direction>"
    )
    path = write(tmp_path, mark + note("C", 4, 4, "a"))
    # The mark replaces the 60 at the same place: 40 dotted quarters are 60 quarters.
    assert read_score(path).duration_sec == pytest.approx(4.0)
    path.write_text(path.read_text("utf-8").replace("c. 40", "80"), "utf-8")
    assert read_score(path).duration_sec == pytest.approx(2.0)


def test_repeats_endings_and_verses_are_written_out(tmp_path):
    forward = '<barline location="left"><repeat direction="forward"/></barline>'

    def ending(number, back=""):
        start = f'<barline location="left"><ending number="{number}" type="start"/></barline>'
        stop = f'<barline location="right"><ending number="{number}" type="stop"/>{back}</barline>'
        return start, stop

    one, two = ending(1, '<repeat direction="backward"/>'), ending(2)
    path = write(
        tmp_path,
        note("C", 4, 4, "x"),
        forward + note("D", 4, 4, "a", v2="b"),
        one[0] + note("E", 4, 4, "c") + one[1],
        two[0] + note("F", 4, 4, "d") + two[1],
        note("G", 4, 4, "e"),
    )
    assert "".join(lyric for lyric, _, _ in sung(read_score(path))) == "xacbde"
    with pytest.raises(InputError, match="no verse 3; the lyrics have verse 1, 2"):
        read_score(path, verse=3)


def test_a_verse_falls_back_where_a_refrain_is_written_once(tmp_path):
    path = write(
        tmp_path,
        note("C", 4, 2, "a", v2="b") + note("D", 4, 2, "c"),
        note("E", 4, 4, "d"),
    )
    assert [lyric for lyric, _, _ in sung(read_score(path, verse=2))] == ["b", "-", "d"]


def test_grace_notes_backup_and_other_parts_do_not_sing(tmp_path):
    grace = "<note><grace/><pitch><step>C</step><octave>4</octave></pitch></note>"
    piano = f'<part id="P2"><measure number="1">{note("C", 2, 4)}</measure></part>'
    path = write(
        tmp_path,
        grace + note("D", 4, 2, "a") + "<backup><duration>2</duration></backup>"
        "<forward><duration>2</duration></forward>" + note("E", 4, 2, "i"),
        more_parts=piano,
    )
    assert sung(read_score(path)) == [("a", 62, 2.0), ("i", 64, 2.0)]


def test_a_transposing_instrument_sounds(tmp_path):
    transpose = "<attributes><transpose><chromatic>-2</chromatic></transpose></attributes>"
    assert sung(read_score(write(tmp_path, transpose + note("D", 4, 4, "a")))) == [("a", 60, 4.0)]


@pytest.mark.parametrize(
    ("measure", "sentence"),
    [
        (note("C", 4, 4), "no part has lyrics"),
        (note("H", 4, 4, "a"), "malformed"),
        (note("C", 4, -1, "a"), "negative"),
        ('<sound tempo="0"/>' + note("C", 4, 4, "a"), "a tempo of 0 quarters a minute"),
        (note("C", 4, 2) + note("D", 4, 2, "a"), "note 1 starts the song without a syllable"),
    ],
)  # fmt: skip
def test_what_cannot_be_sung_is_one_sentence(tmp_path, measure, sentence):
    path = write(tmp_path, measure)
    with pytest.raises(InputError, match=sentence) as caught:
        read_score(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_a_broken_file_is_one_sentence(tmp_path):
    cases = {
        "a.musicxml": b"<score-partwise>",
        "b.xml": b'<!DOCTYPE x [<!ENTITY a "aaaa">]><score-partwise>&a;</score-partwise>',
        "c.mxl": b"not a zip",
        "d.xml": b"<score-timewise/>",
        "e.txt": b"",
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            read_score(tmp_path / name)
    with pytest.raises(InputError, match="no such file"):
        read_score(tmp_path / "none.xml")


def test_an_encoding_that_nobody_knows_is_one_sentence(tmp_path):
    path = tmp_path / "song.musicxml"
    path.write_text('<?xml version="1.0" encoding="x-nothing"?><score-partwise/>', "utf-8")
    with pytest.raises(InputError, match="an encoding that is not known .* save it as UTF-8"):
        read_score(path)


def test_mxl_is_the_same_score(tmp_path):
    container = '<container><rootfiles><rootfile full-path="s/odd.xml"/></rootfiles></container>'
    with zipfile.ZipFile(tmp_path / "odd.mxl", "w") as archive:
        archive.writestr("META-INF/container.xml", container)
        archive.write(HERE / "odd.musicxml", "s/odd.xml")
    assert read_score(tmp_path / "odd.mxl").pieces == read_score(HERE / "odd.musicxml").pieces


def test_the_odd_score():
    score = read_score(HERE / "odd.musicxml")
    notes = score.pieces[0].notes
    assert (HERE / "odd.musicxml").read_text("utf-8") == odd["odd_song"]()
    assert score.language == "ja" and score.title == "Odd"
    assert "".join(n.lyric for n in notes if n.lyric) == (
        "さくらがさいてかぜはるのよきょーもっとつきがでたんだねしずかなうみを"
    )
    # 31 quarters at 92 up to the long rests' end but 12 of rest, 6 at 66, 10 at 120.
    quarter = 60 / 92
    by_lyric = {n.lyric: n.duration_sec for n in notes if n.lyric}
    assert by_lyric["ぜ"] == pytest.approx(3 * quarter)  # tied over the bar
    assert by_lyric["る"] == pytest.approx(quarter / 3)
    assert by_lyric["と"] == pytest.approx(6 * quarter)  # over two bars
    assert by_lyric["ね"] == pytest.approx(1.5)  # at 120
    assert max(n.duration_sec for n in notes if n.midi is None) == pytest.approx(14 * quarter)
    second = read_score(HERE / "odd.musicxml", verse=2).pieces[0].notes
    assert [(n.midi, n.duration_sec) for n in second] == [(n.midi, n.duration_sec) for n in notes]
    assert "".join(n.lyric for n in second if n.lyric).startswith("きみのなまえをよぶ")


def test_the_long_song_lasts_four_minutes(tmp_path):
    path = tmp_path / "long.musicxml"
    path.write_text(odd["long_song"](), "utf-8")
    assert read_score(path).duration_sec == pytest.approx(242.5)


odd = runpy.run_path(str(HERE / "make_odd.py"))


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the OpenScore Lieder are not at hand")
def test_real_songs_read_to_their_known_ranges():
    import json

    folder = DATA / "lieder_openscore"
    for song in json.loads((folder / "index.json").read_text("utf-8")):
        if song["verses"] > 1:
            continue
        midis = [
            n.midi for n in read_score(folder / song["file"]).pieces[0].notes if n.midi is not None
        ]
        assert (min(midis), max(midis)) == (song["midi_lo"], song["midi_hi"]), song["file"]
