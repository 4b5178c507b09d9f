""".ds: read, write, read again; every fault in words."""

import dataclasses
import json

import numpy as np
import pytest

from diffsinger_jax.cli import validate
from diffsinger_jax.errors import InputError
from diffsinger_jax.score import ds
from diffsinger_jax.score.pitch_names import midi_of_name, name_of_midi
from diffsinger_jax.score.reader import read_score
from diffsinger_jax.types import Curve, Note, Phoneme, Piece, Score

SEGMENT = {
    "offset": "1.5",
    "text": "SP か さん SP",
    "ph_seq": "SP k a s a N SP",
    "ph_dur": None,
    "ph_num": "2 2 2 1",
    "note_seq": "rest C4 D4 E4-20 rest",
    "note_dur": "0.5 0.4 0.6 1.0 0.25",
    "note_slur": "0 0 1 0 0",
    "f0_seq": "",
    "input_type": "phoneme",
    "gender": 0.5,
}
TIMED = SEGMENT | {
    "ph_dur": "0.4 0.1 0.9 0.1 0.8 0.2 0.25",
    "f0_seq": " ".join(["261.6"] * 550),
    "f0_timestep": "0.005",
}


def read(tmp_path, *segments):
    path = tmp_path / "song.ds"
    path.write_text(json.dumps(segments), "utf-8")
    return read_score(path)


def phonemes(piece):
    return [
        (p.symbol, p.note_index, p.onset, p.duration_sec and round(p.duration_sec, 6))
        for p in piece.phonemes
    ]


def test_notes_words_and_slurs(tmp_path):
    (piece,) = read(tmp_path, SEGMENT).pieces
    assert piece.offset_sec == 1.5 and piece.where == "segment 1"
    assert [(n.midi, n.lyric, n.slur) for n in piece.notes] == [
        (None, None, False), (60, "か", False), (62, None, True),
        (pytest.approx(63.8), "さん", False), (None, None, False),
    ]  # fmt: skip
    assert phonemes(piece) == [
        ("SP", 0, True, None), ("k", 1, False, None), ("a", 1, True, None), ("a", 2, True, None),
        ("s", 3, False, None), ("a", 3, True, None), ("N", 3, False, None), ("SP", 4, True, None),
    ]  # fmt: skip
    assert list(piece.curves) == ["gender"] and piece.curves["gender"].values == [0.5]


def test_a_given_vowel_is_split_where_its_notes_meet(tmp_path):
    (piece,) = read(tmp_path, TIMED).pieces
    assert [p[3] for p in phonemes(piece)] == [0.4, 0.1, 0.4, 0.5, 0.1, 0.8, 0.2, 0.25]
    short = TIMED | {"ph_dur": "0.4 0.1 0.2 0.8 0.8 0.2 0.25"}  # the vowel ends on its first note
    (piece,) = read(tmp_path, short).pieces
    assert [p[3] for p in phonemes(piece)][2:4] == [pytest.approx(0.08), pytest.approx(0.12)]
    repeated = TIMED | {
        "ph_seq": "SP k a a s a N SP",
        "ph_num": "2 3 2 1",
        "ph_dur": "0.4 0.1 0.3 0.6 0.1 0.8 0.2 0.25",
    }
    (piece,) = read(tmp_path, repeated).pieces
    assert [p[3] for p in phonemes(piece)] == [0.4, 0.1, 0.3, 0.6, 0.1, 0.8, 0.2, 0.25]


def test_notes_follow_given_durations(tmp_path):
    longer = TIMED | {"ph_dur": "0.4 0.1 1.9 0.1 0.8 0.2 0.25", "f0_seq": None}
    (piece,) = read(tmp_path, longer).pieces
    assert [n.duration_sec for n in piece.notes] == pytest.approx([0.5, 0.8, 1.2, 1.0, 0.25])


def test_notes_come_from_f0_where_there_are_none(tmp_path):
    f0 = [0.0] * 100 + [450.0] * 100 + [0.0] * 50 + [225.0] * 100
    only_f0 = {
        "ph_seq": "SP k a cl k i", "ph_dur": "0.4 0.1 0.5 0.15 0.1 0.5",
        "f0_seq": " ".join(map(str, f0)), "f0_timestep": 0.005,
    }  # fmt: skip
    (piece,) = read(tmp_path, only_f0).pieces
    assert [n.midi for n in piece.notes] == [None, 69, 57]
    assert [n.duration_sec for n in piece.notes] == pytest.approx([0.5, 0.75, 0.5])
    assert [p[:3] for p in phonemes(piece)] == [
        ("SP", 0, True), ("k", 1, False), ("a", 1, True), ("cl", 1, False), ("k", 2, False),
        ("i", 2, True),
    ]  # fmt: skip


def test_a_bare_object_and_segments_out_of_order(tmp_path):
    early, late = {**SEGMENT, "offset": 0}, {**SEGMENT, "offset": 9.25}
    assert [p.offset_sec for p in read(tmp_path, late, early).pieces] == [0, 9.25]
    path = tmp_path / "bare.ds"
    path.write_text(json.dumps(SEGMENT), "utf-8-sig")
    assert len(read_score(path).pieces) == 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ph_num": "2 2 2 2"}, "ph_num: its sum is 8, but ph_seq has 7 phonemes"),
        ({"ph_num": "2 2 3"}, "note_slur: 4 notes are no slurs, but ph_num has 3 words"),
        ({"ph_seq": None}, "ph_seq: it is missing"),
        ({"ph_seq": ["a"]}, "ph_seq: expected one string"),
        (
            {"ph_dur": "40 10 90 10 80 20 25"},
            "note_dur: its notes last 2.75 s, but the phonemes .* 275.00 s",
        ),
        ({"ph_dur": "1 1"}, "ph_dur: it has 2 values, but there are 7 phonemes"),
        ({"ph_dur": "1 1 1 -0.1 1 1 1"}, "ph_dur: value 4 is -0.1; durations are above 0"),
        ({"note_dur": "0.5 0 0.6 1 1"}, "note_dur: value 2 is 0; durations are above 0"),
        ({"note_dur": "0.5 x 0.6 1 1"}, "note_dur: value 2, 'x', is not a number"),
        ({"note_dur": "0.5 nan 0.6 1 1"}, "note_dur: value 2, 'nan', is not a number"),
        ({"note_dur": None}, "note_dur: it is missing"),
        ({"note_seq": None}, "note_seq: it is missing; give note_seq, note_dur and ph_num, or"),
        ({"note_seq": "rest C4 D4 H4 rest"}, "note_seq: value 4: 'H4' is not a pitch"),
        ({"note_slur": "1 0 0 0 0"}, "note_slur: note 1 is a slur, but"),
        ({"note_slur": "0 0 2 0 0"}, "note_slur: value 3 is '2'"),
        ({"f0_seq": "1 2 3", "f0_timestep": "0.1"}, "f0_seq: it lasts 0.300 s .* lasts 2.750 s"),
        ({"f0_seq": "1 -2 3", "f0_timestep": "1"}, "f0_seq: value 2 is -2 Hz"),
        ({"f0_seq": "1 2 3"}, "f0_timestep: f0_seq needs its seconds per value"),
        ({"energy": "1 2 3", "energy_timestep": 0.01}, "energy: it lasts 0.030 s"),
        ({"offset": "soon"}, "offset: expected seconds"),
    ],
)
def test_each_fault_is_named(tmp_path, change, sentence, capsys):
    with pytest.raises(InputError, match=f"song.ds: segment 2: {sentence}"):
        read(tmp_path, SEGMENT, SEGMENT | change)
    assert validate.main([str(tmp_path / "song.ds")]) == 2
    assert "song.ds: segment 2: " in capsys.readouterr().out


def test_the_check_lists_all_faults_and_passes_good_files(tmp_path, capsys):
    read(tmp_path, SEGMENT, TIMED)
    good = tmp_path / "song.ds"
    assert validate.main([str(good)]) == 0
    assert capsys.readouterr().out == f"{good}: OK\n"
    bad = tmp_path / "bad.ds"
    bad.write_text(json.dumps([3, SEGMENT | {"ph_num": "1", "offset": -1}]), "utf-8")
    (tmp_path / "none.ds").write_text("[", "utf-8")
    assert validate.main([str(bad), str(tmp_path / "none.ds"), str(good)]) == 2
    out = capsys.readouterr().out
    assert out.count("bad.ds: segment") == 4 and "not JSON" in out and out.endswith("OK\n")


def random_score(rng):
    """Pieces of syllables, rests and slurs, with durations and curves or without."""
    pieces = []
    for count in range(int(rng.integers(1, 4))):
        timed = bool(rng.integers(2))
        notes, phonemes = [], []

        def add(symbol, onset, notes=notes, phonemes=phonemes, timed=timed):
            # Times of a .ds are decimals; the sums below need not be.
            sec = round(float(rng.uniform(0.02, 0.5)), 4) if timed else None
            phonemes.append(Phoneme(symbol, len(notes), onset, sec))

        for i in range(int(rng.integers(1, 12))):
            if i == 0 or rng.random() < 0.2:
                add("SP", True)
                notes.append(Note(round(float(rng.uniform(0.1, 2)), 3), None))
                continue
            if rng.random() < 0.8:
                add(str(rng.choice(["k", "ch", "m"])), False)
            vowel = str(rng.choice(list("aiueo")))
            midi = float(rng.integers(48, 72)) + float(rng.integers(-49, 50)) / 100
            slurs = int(rng.integers(3)) if rng.random() < 0.3 else 0
            for k in range(slurs + 1):
                add(vowel, True)
                if k == slurs and rng.random() < 0.2:
                    add("N", False)
                sec = round(float(rng.uniform(0.1, 2)), 3)
                notes.append(Note(sec, midi + k, vowel if k == 0 else None, k > 0))
        curves = {}
        if timed and rng.random() < 0.5:
            steps = int(sum(p.duration_sec for p in phonemes) / 0.005) + 1
            curves["f0"] = Curve(rng.uniform(80, 500, steps).astype(np.float32), 0.005)
        pieces.append(
            Piece(100.0 * count + float(rng.random()), tuple(notes), tuple(phonemes), curves)
        )
    return Score("song", "ja", tuple(pieces))


def assert_equal(a, b):
    for one, two in zip(a.pieces, b.pieces, strict=True):
        assert dataclasses.replace(one, curves={}) == dataclasses.replace(two, curves={})
        assert one.curves.keys() == two.curves.keys()
        for name, curve in one.curves.items():
            np.testing.assert_array_equal(curve.values, two.curves[name].values)
            assert curve.timestep_sec == two.curves[name].timestep_sec
    assert dataclasses.replace(a, pieces=()) == dataclasses.replace(b, pieces=())


def test_read_write_read_is_equal(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "song.ds"
    for _ in range(60):
        given = random_score(rng)
        ds.write_ds(path, given)
        once = read_score(path)
        assert [p.symbol for x in once.pieces for p in x.phonemes] == [
            p.symbol for x in given.pieces for p in x.phonemes
        ]
        assert [p.duration_sec for x in once.pieces for p in x.phonemes] == [
            p.duration_sec for x in given.pieces for p in x.phonemes
        ]
        ds.write_ds(path, once)
        assert_equal(read_score(path), once)


def test_nothing_is_left_when_writing_fails(tmp_path):
    score = read(tmp_path, SEGMENT)
    with pytest.raises(InputError, match="cannot be written"):
        ds.write_ds(tmp_path / "no" / "song.ds", score)
    (tmp_path / "folder.ds").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        ds.write_ds(tmp_path / "folder.ds", score)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.ds", "song.ds"]
    with pytest.raises(InputError, match="no phonemes yet"):
        bare = dataclasses.replace(score.pieces[0], phonemes=None)
        ds.write_ds(tmp_path / "x.ds", dataclasses.replace(score, pieces=(bare,)))


def test_pitch_names():
    names = {"C4": 60, "A4": 69, "D#3": 51, "Eb3": 51, "G3-33": 54.67, "B-1+5": 11.05}
    for name, midi in names.items():
        assert midi_of_name(name) == pytest.approx(midi)
        assert midi_of_name(name_of_midi(midi)) == pytest.approx(midi)
    assert midi_of_name("C#4/Db4") == 61 and midi_of_name("rest") is None
    assert name_of_midi(None) == "rest" and name_of_midi(60.999) == "C#4"
