"""Files that are broken, hostile or not songs: each name's suffix says what it claims to be."""

import io
import json
import struct
import zipfile

NOTE = (
    "<note><pitch><step>C</step><octave>4</octave></pitch><duration>{}</duration>"
    "<lyric><text>a</text></lyric></note>"
)


def _xml(measures, head=""):
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{head}<score-partwise><part id="P1">{measures}'
        "</part></score-partwise>"
    ).encode()


def _measure(content, number=1):
    return f'<measure number="{number}">{content}</measure>'


def _divided(content):
    return _xml(_measure(f"<attributes><divisions>1</divisions></attributes>{content}"))


def _zip(**members):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/").replace("_xml", ".xml"), data)
    return memory.getvalue()


CONTAINER = '<container><rootfiles><rootfile full-path="a.xml"/></rootfiles></container>'


def _track(*events):
    data = b"".join(events) + b"\0\xff\x2f\0"
    return b"MTrk" + struct.pack(">I", len(data)) + data


def _midi(*tracks, division=480, kind=1):
    return b"MThd" + struct.pack(">IHHh", 6, kind, len(tracks), division) + b"".join(tracks)


LYRIC = b"\0\xff\x05\x01a"
SOUND = b"\0\x90\x3c\x40\x83\x60\x80\x3c\0"


def _ustx(notes="[]", tempo="120", more=""):
    return (
        f"ustx_version: '0.6'\nbpm: {tempo}\ntempos: [{{position: 0, bpm: {tempo}}}]\n"
        f"{more}voice_parts:\n- {{track_no: 0, position: 0, notes: {notes}}}\n"
    ).encode()


def _one_note(**changed):
    note = {"position": 0, "duration": 480, "tone": 60, "lyric": "a"} | changed
    return json.dumps([note])


def _ust(note="Length=480\nLyric=a\nNoteNum=60", tempo="120"):
    return f"[#SETTING]\nTempo={tempo}\n[#0000]\n{note}\n[#TRACKEND]\n".encode()


ENTITIES = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10))
BOMB = f'<!DOCTYPE x [<!ENTITY a0 "ha">{ENTITIES}]>'
LAUGHS = "l0: &l0 [ha]\n" + "".join(
    f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 9)
)
TEXTGRID = b'"ooTextFile" "TextGrid" 0 1 <exists> 1 '
DS = {"ph_seq": "a", "note_seq": "C4", "note_dur": "1", "ph_num": "1"}

FAULTY = {
    "empty.musicxml": b"",
    "cut.musicxml": _divided(NOTE.format(4))[:-60],
    "noise.musicxml": bytes(range(256)) * 8,
    "entity_bomb.musicxml": _xml(_measure("&a9;"), BOMB),
    "outside_entity.xml": _xml("&x;", '<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/passwd">]>'),
    "deep.xml": b"<a>" * 100_000,
    "html.xml": b"<html><body>Not found</body></html>",
    "timewise.xml": b"<score-timewise/>",
    "negative.musicxml": _divided(NOTE.format(-4)),
    "no_divisions.musicxml": _divided("<attributes><divisions>0</divisions></attributes>"),
    "tempo_0.musicxml": _divided('<sound tempo="0"/>' + NOTE.format(4)),
    "beats_of_0.musicxml": _divided(
        "<attributes><time><beats>4</beats><beat-type>0</beat-type></time></attributes>"
    ),
    "endless.musicxml": _divided(NOTE.format(10**8)),
    "million_notes.musicxml": _divided(NOTE.format(1) * 1_000_000),
    "never_ending_repeat.musicxml": _xml(
        _measure(
            NOTE.format(1)
            + '<barline><repeat direction="backward" times="999999999"/></barline>'
        )
    ),
    "latin1.musicxml": _divided(NOTE.format(4)).replace(b">a<", b">\xe4<"),
    "unknown_encoding.musicxml": _divided(NOTE.format(4)).replace(b"UTF-8", b"UTF-77"),
    "not_a_zip.mxl": b"PK\3\4 no",
    "no_container.mxl": _zip(a_xml="<score-partwise/>"),
    "zip_bomb.mxl": _zip(**{"META-INF__container_xml": CONTAINER, "a_xml": b" " * (80 << 20)}),
    "cut.mxl": _zip(**{"META-INF__container_xml": CONTAINER, "a_xml": b"<a/>"})[:-30],
    "empty.mid": b"",
    "riff.mid": b"RIFF1234WAVEfmt ",
    "cut.mid": _midi(_track(LYRIC, SOUND))[:-12],
    "film_frames.mid": _midi(_track(LYRIC, SOUND), division=-6360),
    "no_division.mid": _midi(_track(LYRIC, SOUND), division=0),
    "tempo_0.mid": _midi(_track(b"\0\xff\x51\x03\0\0\0", LYRIC, SOUND)),
    "no_lyrics.kar": _midi(_track(SOUND)),
    "wrong_encoding.mid": _midi(_track(b"\0\xff\x05\x02\x85\x85", SOUND)),
    "million_notes.mid": _midi(_track(LYRIC, SOUND * 1_000_000)),
    "empty.ustx": b"",
    "python_object.ustx": b"!!python/object/apply:os.system ['true']\n",
    "python_name.ustx": _ustx(more="name: !!python/name:os.system\n"),
    "aliases.ustx": _ustx('*n', more=LAUGHS).replace(b"voice_parts", b"n: &n [*l8]\nvoice_parts"),
    "circle.ustx": _ustx(more="a: &a [*a]\n"),
    "deep.ustx": b"- " * 50_000,
    "other.ustx": b"version: 3\nservices: {}\n",
    "tempo_0.ustx": _ustx(_one_note(), tempo="0"),
    "negative.ustx": _ustx(_one_note(duration=-480)),
    "words_for_numbers.ustx": _ustx(_one_note(tone="high")),
    "infinite.ustx": _ustx(_one_note(position=".inf")),
    "empty.ust": b"",
    "prose.ust": "Once upon a time".encode("utf-16"),
    "negative.ust": _ust("Length=-480\nLyric=a\nNoteNum=60"),
    "no_pitch.ust": _ust("Length=480\nLyric=a"),
    "tempo_0.ust": _ust(tempo="0"),
    "no_encoding.ust": _ust().replace(b"Lyric=a", b"Lyric=\xff\xff\xff"),
    "empty.ds": b"",
    "deep.ds": b"[" * 200_000,
    "number.ds": b"3",
    "negative.ds": json.dumps([DS | {"note_dur": "-1"}]).encode(),
    "too_many_digits.ds": b'[{"offset": ' + b"9" * 5000 + b"}]",
    "empty.lab": b"",
    "prose.lab": b"la la la\n",
    "backwards.lab": b"20000000 10000000 a\n",
    "overlapping.lab": b"0 20000000 a\n5000000 30000000 i\n",
    "endless.lab": b"0 99999999999999999 a\n",
    "empty.TextGrid": b"",
    "cut.TextGrid": TEXTGRID + b'"IntervalTier" "phones" 0 1 9 0 1 "a"',
    "no_phones.TextGrid": TEXTGRID + b'"IntervalTier" "w" 0 1 1 0 1 "a"',
    "song.docx": b"PK\3\4",
}  # fmt: skip
"""name -> content; none of them can be sung."""
