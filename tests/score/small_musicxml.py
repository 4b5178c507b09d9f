"""Small MusicXML scores, written by hand for one property each."""


def note(step, octave, duration, lyric=None, inside="", **lyrics):
    """A <note>; `inside` goes before the lyrics."""
    verses = {"1": lyric} if lyric else {}
    verses |= {key.removeprefix("v"): text for key, text in lyrics.items()}
    said = "".join(f'<lyric number="{k}"><text>{t}</text></lyric>' for k, t in verses.items())
    pitch = f"<pitch><step>{step}</step><octave>{octave}</octave></pitch>" if step else "<rest/>"
    return f"<note>{pitch}<duration>{duration}</duration>{inside}{said}</note>"


def syllable(step, octave, duration, text, syllabic):
    """A <note> with a syllable of a longer word."""
    lyric = f"<lyric><syllabic>{syllabic}</syllabic><text>{text}</text></lyric>"
    return note(step, octave, duration, None, lyric)


def words(text):
    """A <direction> that says something."""
    return f"<direction><direction-type><words>{text}</words></direction-type></direction>"


def write(
    tmp_path, *measures, more_parts="", divisions=1, tempo=60, beats=4, beat_type=4, names=()
):
    sound = f'<sound tempo="{tempo}"/>' if tempo else ""
    attributes = (
        f"<attributes><divisions>{divisions}</divisions>"
        f"<time><beats>{beats}</beats><beat-type>{beat_type}</beat-type></time></attributes>{sound}"
    )
    body = "".join(
        f'<measure number="{i}">{attributes if i == 1 else ""}{content}</measure>'
        for i, content in enumerate(measures, 1)
    )
    listed = "".join(
        f'<score-part id="P{i}"><part-name>{name}</part-name></score-part>'
        for i, name in enumerate(names, 1)
    )
    path = tmp_path / "song.musicxml"
    path.write_text(
        f"<score-partwise><part-list>{listed}</part-list>"
        f'<part id="P1">{body}</part>{more_parts}</score-partwise>',
        "utf-8",
    )
    return path
