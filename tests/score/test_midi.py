"""MIDI with lyrics."""

import mido
import pytest

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.midi import _bar
from diffsinger_jax.score.reader import read_score


def save(tmp_path, *tracks, charset="utf-8"):
    """Tracks of (kind, value, delta ticks); kinds: lyrics, text, on, off, tempo."""
    file = mido.MidiFile(ticks_per_beat=480, charset=charset)
    for events in tracks:
        track = mido.MidiTrack()
        file.tracks.append(track)
        for kind, value, time in events:
            if kind in ("on", "off"):
                velocity = 80 if kind == "on" else 0
                track.append(mido.Message("note_on", note=value, velocity=velocity, time=time))
            elif kind == "tempo":
                tempo = mido.bpm2tempo(value)
                track.append(mido.MetaMessage("set_tempo", tempo=tempo, time=time))
            else:
                track.append(mido.MetaMessage(kind, text=value, time=time))
    file.save(tmp_path / "song.mid")
    return tmp_path / "song.mid"


def sung(path, **options):
    notes = read_score(path, **options).pieces[0].notes
    return [("-" if n.slur else n.lyric, n.midi, pytest.approx(n.duration_sec)) for n in notes]


SONG = [
    ("lyrics", "か", 480), ("on", 60, 0), ("off", 60, 480),
    ("lyrics", "ー", 0), ("on", 62, 0), ("off", 62, 480),
    ("lyrics", "し", 480), ("on", 64, 0), ("off", 64, 480),
]  # fmt: skip
HEARD = [(None, None, 1.0), ("か", 60, 1.0), ("-", 62, 0.5), (None, None, 0.5), ("し", 64, 0.5)]
TEMPO = [("tempo", 60, 0), ("tempo", 120, 960)]


@pytest.mark.parametrize(("charset", "option"), [("utf-8", None), ("cp932", None), ("gbk", "gbk")])
def test_notes_with_lyrics_rests_slurs_and_tempo(tmp_path, charset, option):
    assert sung(save(tmp_path, TEMPO, SONG, charset=charset), encoding=option) == HEARD


def test_lyrics_may_have_a_track_of_their_own(tmp_path):
    bass = [("on", 40, 0), ("off", 40, 480)]
    words = [("text", "@Tsong", 0), ("text", "/か", 480), ("text", "-", 480), ("text", "し", 960)]
    melody = [("on", 60, 480), ("off", 60, 480), ("on", 62, 0), ("off", 62, 480)]
    melody += [("on", 64, 480), ("off", 64, 480)]
    assert sung(save(tmp_path, TEMPO, bass, words, melody)) == HEARD


@pytest.mark.parametrize(
    ("track", "sentence"),
    [
        ([("on", 60, 0), ("off", 60, 480)], "it has no lyrics at its notes"),
        (
            [("lyrics", "a", 1920), ("on", 60, 0), ("on", 64, 240), ("off", 60, 240)]
            + [("off", 64, 240)],
            r"bar 2, note 2 \(E4, tick 2160\) starts before bar 2, note 1 \(C4, until tick 2400\)",
        ),
        ([("lyrics", "a", 0), ("on", 60, 0), ("on", 60, 9), ("off", 60, 9)], "struck again"),
        ([*SONG, ("lyrics", "x", 240)], "bar 2: no note starts at the lyric 'x'"),
    ],
)
def test_what_cannot_be_sung_is_one_sentence(tmp_path, track, sentence):
    path = save(tmp_path, track)
    with pytest.raises(InputError, match=sentence) as caught:
        read_score(path)
    assert str(caught.value).startswith(str(path))


def test_a_broken_file_is_one_sentence(tmp_path):
    for count, content in enumerate([b"", b"MThd", b"RIFF1234", b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk"]):
        path = tmp_path / f"{count}.mid"
        path.write_bytes(content)
        with pytest.raises(InputError, match="MIDI|lyrics"):
            read_score(path)
    with pytest.raises(InputError, match="not utf-8 or cp932"):
        sung(save(tmp_path, [("lyrics", "\x85", 0), ("on", 60, 0)], charset="latin1"))


def test_bars_follow_the_time_signatures():
    lengths = [(0, 1920), (3000, 1440), (5880, 960)]
    bars = {0: 1, 1919: 1, 1920: 2, 2999: 2, 3000: 3, 4440: 4, 5880: 5, 6840: 6, 10**9: 1041665}
    assert {tick: _bar(tick, lengths) for tick in bars} == bars
