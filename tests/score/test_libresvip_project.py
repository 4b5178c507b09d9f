"""Other editors' projects: what LibreSVIP reads is what is sung."""

import warnings
import zipfile
from pathlib import Path

import pytest
from fuzzing import fuzz

from diffsinger_jax.errors import InputError
from diffsinger_jax.score import libresvip_project
from diffsinger_jax.score.reader import read_score

PROJECTS = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "projects"
SCALE = list(
    zip("ど れ み ふぁ そ ら し ど".split(), (60, 62, 64, 65, 67, 69, 71, 72), strict=True)
)


def test_without_libresvip_the_sentence_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "libresvip.extension.manager", None)
    path = tmp_path / "song.svp"
    path.write_text("{}", "utf-8")
    with pytest.raises(InputError, match="Synthesizer V .* pip install libresvip"):
        read_score(path)


def test_bombs_are_refused_before_they_are_read(tmp_path):
    path = tmp_path / "song.vpr"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Project/sequence.json", b" " * (8 << 20))
    with pytest.raises(InputError, match="it unpacks to 8 MiB; is it a song"):
        read_score(path)
    path = tmp_path / "song.vsqx"
    path.write_text('<!DOCTYPE x [<!ENTITY a "b">]><vsq4/>', "utf-8")
    with pytest.raises(InputError, match="declares XML entities"):
        read_score(path)


@pytest.mark.parametrize("name", ["synthV.svp", "vpr.vpr", "cevio.ccs", "vsq.vsq", "dv.dv"])
def test_a_scale_of_every_editor(name):
    pytest.importorskip("libresvip")
    if not PROJECTS.is_dir():
        pytest.skip("the projects are not at hand")
    notes = read_score(PROJECTS / name).pieces[0].notes
    assert [(n.lyric, n.midi) for n in notes if n.midi is not None] == SCALE
    assert {n.duration_sec for n in notes if n.midi is not None} == {0.5}


def write_scale(path):
    """By LibreSVIP, as a project of the editor whose suffix it is."""
    pytest.importorskip("libresvip")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of what it is made of
        from libresvip.extension.manager import get_svs_plugin_by_suffix
        from libresvip.model.base import Note, Project, SingingTrack, SongTempo, TimeSignature

        written = [
            Note(start_pos=480 * i, length=480, key_number=midi, lyric=lyric)
            for i, (lyric, midi) in enumerate(SCALE)
        ]
        project = Project(
            song_tempo_list=[SongTempo(position=0, bpm=120)],
            time_signature_list=[TimeSignature()],
            track_list=[SingingTrack(title="A", note_list=written)],
        )
        plugin = get_svs_plugin_by_suffix(path.suffix[1:])
        plugin.dump(path, project, plugin.output_option_cls().model_dump())


@pytest.mark.parametrize("kind", ["vsqx", "svp", "s5p", "vpr", "ccs", "tssln", "acep", "ppsf"])
def test_what_libresvip_writes_is_read_back(tmp_path, kind):
    path = tmp_path / f"song.{kind}"
    write_scale(path)
    notes = [n for n in read_score(path).pieces[0].notes if n.midi is not None]
    assert [(n.lyric, n.midi, n.duration_sec) for n in notes] == [(*n, 0.5) for n in SCALE]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vsqx", "svp", "vpr", "ccs"])
def test_what_is_left_of_a_project_is_read_or_refused(tmp_path, kind):
    path = tmp_path / f"song.{kind}"
    write_scale(path)
    fuzz(path, examples=150)


def test_an_archive_without_a_song_is_one_sentence(tmp_path):
    pytest.importorskip("libresvip")
    path = tmp_path / "song.vpr"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.json", "{}")
    with pytest.raises(InputError, match="LibreSVIP cannot read it as a project of VOCALOID 5"):
        read_score(path)


def test_every_suffix_has_a_name():
    assert all(s.startswith(".") and s == s.lower() for s in libresvip_project.SUFFIXES)
