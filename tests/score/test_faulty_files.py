"""Files that cannot be sung, and what is left of good ones after a bad day: one sentence each."""

import json
import zipfile
from pathlib import Path

import pytest
from faulty_files import FAULTY
from fuzzing import EXAMPLES, fuzz

from diffsinger_jax.cli import validate
from diffsinger_jax.cli.main import main
from diffsinger_jax.errors import InputError
from diffsinger_jax.score.options import ReadOptions
from diffsinger_jax.score.reader import READERS, read_score

HERE = Path(__file__).parent
SONGS = Path(__file__).resolve().parents[2] / "data" / "songs"


@pytest.mark.parametrize("name", FAULTY)
def test_a_faulty_file_is_one_sentence_with_its_name(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(FAULTY[name])
    with pytest.raises(InputError) as caught:
        read_score(path)
    sentence = str(caught.value)
    assert sentence.startswith(str(path)) and sentence.count(str(path)) == 1
    assert "\n" not in sentence and len(sentence) < 700


def test_no_faulty_file_is_sung(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", [])  # `main` sets it
    for name, content in FAULTY.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(SystemExit) as ended:
            main(["sing", "--score", str(path), "--out", str(tmp_path / "out")])
        assert ended.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_many_elements_are_no_song(tmp_path):
    path = tmp_path / "many.musicxml"
    path.write_bytes(b"<score-partwise>" + b"<a/>" * 400_001 + b"</score-partwise>")
    with pytest.raises(InputError, match="more than 400000 elements"):
        read_score(path)


def test_a_file_may_be_missing_or_a_folder(tmp_path):
    for name in ("none.ust", "song.mid"):
        (tmp_path / "song.mid").mkdir(exist_ok=True)
        with pytest.raises(InputError, match=f"{name}: there is no such file"):
            read_score(tmp_path / name)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"encoding": "klingon"}, "there is no encoding 'klingon'; utf-8, cp932"),
        ({"verse": 0}, "verse counts from 1, got 0"),
        ({"voice_line": 0}, "voice_line counts from 1"),
        ({"fermata": 0.5}, "fermata is a factor from 1 to 8"),
        ({"ritardando": float("nan")}, "ritardando is a factor"),
    ],
)
def test_options_out_of_range_are_one_sentence(options, sentence):
    with pytest.raises(InputError, match=sentence):
        ReadOptions(**options)


def test_validate_lists_a_folder_and_writes_json(tmp_path, capsys):
    for name in ("tempo_0.ust", "negative.ustx", "song.docx"):
        (tmp_path / name).write_bytes(FAULTY[name])
    (tmp_path / "good.ust").write_bytes(GOOD["ust"])
    assert validate.main([str(tmp_path)]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        str(tmp_path / name) for name in ("good.ust", "negative.ustx", "tempo_0.ust")
    ]
    assert lines[0].endswith("good.ust: OK")
    assert validate.main([str(tmp_path), "--json"]) == 2
    findings = json.loads(capsys.readouterr().out)
    assert [f["level"] for f in findings] == ["error", "error"]
    assert findings[0]["remedy"] == "mend it in OpenUtau and save it again"
    assert findings[0]["place"] == "the track, note 1"


# What is left of good files: every reader either reads it or says why not.

GOOD = {
    "ust": "[#SETTING]\nTempo=120\n[#0000]\nLength=480\nLyric=か\nNoteNum=60\nPBS=-40\nPBW=80\n"
    "VBR=60,180,30,20,20,0,0\n[#0001]\nLength=480\nLyric=R\nNoteNum=60\n[#TRACKEND]\n".encode(),
    "ustx": b"bpm: 120\ntempos: [{position: 0, bpm: 120}]\ntracks: [{track_name: A}]\n"
    b"voice_parts:\n- track_no: 0\n  position: 0\n  notes:\n  - {position: 0, duration: 480, "
    b"tone: 60, lyric: 'a[k a]', pitch: {data: [{x: -40, y: 0, shape: io}, {x: 40, y: 5, shape: "
    b"l}], snap_first: true}, vibrato: {length: 50, period: 175, depth: 25, in: 10, out: 10}, "
    b"phoneme_overrides: [{index: 0, phoneme: s}]}\n  - {position: 480, duration: 480, tone: 62, "
    b"lyric: '+'}\n  curves: [{abbr: pitd, xs: [0, 100], ys: [0, 50]}]\n",
    "lab": b"0 5000000 pau\n5000000 7000000 a^b-k+a=i/E:F4]0^11/F:x\n"
    b"7000000 10000000 b^k-a+i=u/E:F4]0^11/F:x\n",
    "TextGrid": b'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 2\n'
    b'tiers? <exists>\nsize = 1\nitem []:\n item [1]:\n  class = "IntervalTier"\n  name = '
    b'"phones"\n  xmin = 0\n  xmax = 2\n  intervals: size = 2\n  intervals [1]:\n   xmin = 0\n   '
    b'xmax = 1\n   text = "K"\n  intervals [2]:\n   xmin = 1\n   xmax = 2\n   text = "AH0"\n',
}
READ_FROM = {
    "musicxml": HERE / "odd.musicxml",
    "mid": SONGS / "sakura.mid",
    "ds": SONGS / "sakura.ds",
}


def good(kind):
    return GOOD[kind] if kind in GOOD else READ_FROM[kind].read_bytes()


@pytest.mark.parametrize("kind", [*GOOD, *READ_FROM])
def test_what_is_left_of_a_file_is_read_or_refused(kind, tmp_path):
    path = tmp_path / f"song.{kind}"
    path.write_bytes(good(kind))
    fuzz(path, EXAMPLES)


def test_what_is_left_of_an_archive_is_read_or_refused(tmp_path):
    path = tmp_path / "song.mxl"
    with zipfile.ZipFile(path, "w") as archive:
        root = "<container><rootfiles><rootfile full-path='song.xml'/></rootfiles></container>"
        archive.writestr("META-INF/container.xml", root)
        archive.writestr("song.xml", good("musicxml"))
    fuzz(path, examples=150)


def test_every_kind_of_file_is_among_them():
    own = {suffix for suffix, read in READERS.items() if "libresvip" not in read.__module__}
    tested = {Path(name).suffix.lower() for name in FAULTY}
    assert own - {".midi"} <= tested
