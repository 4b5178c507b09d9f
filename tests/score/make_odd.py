"""Scores that nobody would write, and a long one: `python tests/score/make_odd.py`.

Tests of other packages take odd.musicxml beside this file, or
`runpy.run_path("tests/score/make_odd.py")["long_song"]()` for the text of a song of 4 minutes.
"""

import runpy
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
_songs = runpy.run_path(str(FOLDER.parents[1] / "data" / "songs" / "make_songs.py"))

_HEAD = """\
title: {title}
composer: Nobody
lyricist: Nobody
key: 0
time: 4/4
tempo: {tempo}
"""

ODD = """
さ/き:G3:0.5 く/み:A3:0.5 |
ら/の:C4:1 が/な:C4:1 さ/ま:D4:0.5 い/え:E4:0.5 て/を:D4:1 | か/よ:C4:2 ぜ/ぶ:A3:2 |
~:A3:1 R:1 は/ひ:G3:1/3 る/と:A3:1/3 の/り:C4:1/3 よ/の:D4:1 |
きょー/しゅん:C4:1.5 -:D4:0.5 -:E4:1 もっ/きっ:D4:1 | と/と:C4:3 ~:C4:1 | ~:C4:2 R:2 |
R:4 | R:4 | R:4 |
tempo=66 つ/ほ:E3:1 き/し:G3:1 が/が:A3:1 で/で:G3:1 |
た/た:A3:2/3 ん/ん:C4:2/3 だ/ね:D4:2/3 tempo=120 ね/よ:C4:2 |
~:C4:1 し/て:D4:0.25 ず/ん:D4:0.25 か/と:E4:0.25 な/お:D4:0.25 う/う:C4:1 み/い:A3:1 |
を/も:G3:4 | R:1
"""

LONG = """
あ:C4:1 き:D4:1 の:E4:1 ゆ:D4:0.5 う:C4:0.5 | ひ:A3:1 に:C4:1 て:D4:1.5 R:0.5 |
る:E4:1 や:D4:1 ま:C4:1 も:A3:0.5 -:C4:0.5 | み:D4:1 じ:C4:2 R:1 |
こ:A3:1 い:A3:1 も:C4:1 う:D4:0.5 す:E4:0.5 | い:D4:1 も:C4:1 か:A3:1.5 R:0.5 |
ず:G3:1 あ:A3:1 る:C4:1 な:D4:0.5 か:D4:0.5 | に:C4:3 R:1 |
"""


def odd_song() -> str:
    """MusicXML: a pick-up bar, ties over bars, triplets, tempo changes, two verses, long rests."""
    head = _HEAD.format(title="Odd", tempo=92)
    return _songs["musicxml_of"](_songs["parse_song"](head + ODD))


def long_song() -> str:
    """MusicXML of 4 minutes (12 x 8 bars of 4/4 at 96)."""
    head = _HEAD.format(title="Long", tempo=96)
    return _songs["musicxml_of"](_songs["parse_song"](head + "R:4 |\n" + LONG * 12))


if __name__ == "__main__":
    (FOLDER / "odd.musicxml").write_text(odd_song(), encoding="utf-8")
