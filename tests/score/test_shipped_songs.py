"""The songs that ship."""

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from diffsinger_jax.score.dictionary import Dictionary, phonemize
from diffsinger_jax.score.ds import faults_of
from diffsinger_jax.score.reader import read_score
from diffsinger_jax.types import Vocabulary

SONGS = Path(__file__).resolve().parents[2] / "data" / "songs"
make_songs = runpy.run_path(str(SONGS / "make_songs.py"))
VOICE = Vocabulary(tuple(make_songs["PJS_PHONEMES"]))


@pytest.mark.parametrize("name", sorted(p.stem for p in (SONGS / "melodies").glob("*.txt")))
def test_each_song_is_its_melody_and_can_be_sung(name):
    song = make_songs["parse_song"]((SONGS / "melodies" / f"{name}.txt").read_text("utf-8"))
    path = SONGS / f"{name}.musicxml"
    assert path.read_text("utf-8") == make_songs["musicxml_of"](song)
    score = phonemize(read_score(path), Dictionary.of("ja"), VOICE)
    assert 20 <= score.duration_sec <= 60 and score.language == "ja"
    midis = [n.midi for n in score.pieces[0].notes if n.midi is not None]
    assert min(midis) >= 48 and max(midis) <= 65
    beats = make_songs["Fraction"](song.head["time"]) * 4
    assert all(sum(t.quarters for t in measure) == beats for measure in song.measures[1:-1])


def test_sakura_is_one_song_in_three_formats():
    def notes(suffix):
        return [
            (n.midi, n.lyric, n.slur, pytest.approx(n.duration_sec, abs=1e-5))
            for piece in read_score(SONGS / f"sakura.{suffix}").pieces
            for n in piece.notes
            if n.midi is not None
        ]

    assert notes("musicxml") == notes("mid") == notes("ds")
    assert faults_of(SONGS / "sakura.ds") == []


def test_asking_for_help_writes_no_song(tmp_path):
    folder = tmp_path / "songs"
    shutil.copytree(SONGS, folder)
    (folder / "sakura.mid").unlink()
    command = [sys.executable, folder / "make_songs.py", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=SONGS.parents[1])
    assert done.returncode == 0 and "a token per note" in done.stdout
    assert not (folder / "sakura.mid").exists()
