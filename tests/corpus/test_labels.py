"""Label and MIDI files as timelines."""

from __future__ import annotations

import mido
import pytest
from sung import write_midi

from diffsinger_jax.corpus.labels import label_faults, read_hts_labels, read_midi_notes
from diffsinger_jax.corpus.songs import Label, SungNote
from diffsinger_jax.errors import InputError


def test_monophone_and_full_context_labels_are_seconds_and_rests_have_one_name(tmp_path):
    path = tmp_path / "x.lab"
    path.write_text("0 10500000 p@xx^xx-pau+p=o_xx%xx/A:xx-xx\n10500000 12050000 c@xx^pau-p+o=cl\n")
    assert read_hts_labels(path) == [Label("SP", 0.0, 1.05), Label("p", 1.05, 1.205)]
    path.write_text("0 5000000 br\n\n5000000 6000000 N\n")
    assert [x.symbol for x in read_hts_labels(path)] == ["AP", "N"]


@pytest.mark.parametrize(
    "text, words", [("0 1 a\n1 b\n", "line 2"), ("", "no labels"), ("0 x a\n", "100 ns")]
)
def test_other_text_is_one_sentence_with_its_line(tmp_path, text, words):
    path = tmp_path / "x.lab"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_hts_labels(path)


def test_faults_of_labels_are_named_with_their_time():
    labels = [Label("a", 0, 1), Label("b", 1, 1), Label("c", 1.5, 2), Label("d", 1.8, 3)]
    faults = label_faults(labels)
    assert "label 'b' at 1.00 s has no length" in faults
    assert "labels 'b' and 'c' leave a gap at 1.00 s" in faults
    assert "labels 'c' and 'd' overlap at 2.00 s" in faults
    assert label_faults(labels[:1]) == []


def test_midi_notes_come_back_in_seconds(tmp_path):
    notes = [SungNote(0.5, 1.0, 60.0), SungNote(1.0, 1.25, 60.0), SungNote(2.0, 3.0, 64.0)]
    write_midi(tmp_path / "x.mid", notes)
    assert read_midi_notes(tmp_path / "x.mid") == pytest.approx(notes)


def test_two_onsets_at_once_are_one_note(tmp_path):
    track = mido.MidiTrack(
        mido.Message(kind, note=60, velocity=velocity, time=time)
        for kind, velocity, time in [
            ("note_on", 90, 480),
            ("note_on", 90, 0),
            ("note_off", 0, 480),
            ("note_off", 0, 0),
        ]
    )
    midi = mido.MidiFile(ticks_per_beat=480)
    midi.tracks.append(track)
    midi.save(tmp_path / "x.mid")
    assert read_midi_notes(tmp_path / "x.mid") == [SungNote(0.5, 1.0, 60.0)]


def test_what_is_not_midi_is_one_sentence(tmp_path):
    (tmp_path / "x.mid").write_bytes(b"RIFF")
    with pytest.raises(InputError, match="MIDI"):
        read_midi_notes(tmp_path / "x.mid")
    with pytest.raises(InputError, match="no such file"):
        read_midi_notes(tmp_path / "y.mid")
