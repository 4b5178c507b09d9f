"""OpenUtau projects: notes by their times, and the pitch that they draw."""

import math

import numpy as np
import pytest
import yaml

from diffsinger_jax.errors import InputError
from diffsinger_jax.score.dictionary import Dictionary, phonemize
from diffsinger_jax.score.reader import read_score, read_scores
from diffsinger_jax.score.transform import change_tempo
from diffsinger_jax.types import Vocabulary

POINTS = {"data": [{"x": -40, "y": 0, "shape": "io"}, {"x": 40, "y": 0, "shape": "io"}],
          "snap_first": True}  # fmt: skip
NO_VIBRATO = {"length": 0, "period": 175, "depth": 25, "in": 10, "out": 10, "shift": 0, "drift": 0}


def note(position, duration, tone, lyric, points=POINTS, vibrato=NO_VIBRATO, **more):
    return {
        "position": position, "duration": duration, "tone": tone, "lyric": lyric,
        "pitch": points, "vibrato": vibrato, **more,
    }  # fmt: skip


def project(notes, tempos=((0, 120),), curves=(), part_position=0):
    return {
        "name": "song", "ustx_version": "0.6", "bpm": tempos[0][1],
        "time_signatures": [{"bar_position": 0, "beat_per_bar": 3, "beat_unit": 4}],
        "tempos": [{"position": p, "bpm": b} for p, b in tempos],
        "tracks": [{"track_name": "Miku", "phonemizer": "x"}, {"track_name": "Rin"}],
        "voice_parts": [
            {"name": "one", "track_no": 0, "position": part_position, "notes": notes,
             "curves": list(curves)}
        ],
    }  # fmt: skip


def save(tmp_path, content):
    path = tmp_path / "song.ustx"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), "utf-8")
    return path


def heard(score):
    return [
        ("-" if n.slur else n.lyric, n.midi, pytest.approx(n.duration_sec))
        for n in score.pieces[0].notes
    ]


def test_notes_tempo_map_slurs_rests_and_hints(tmp_path):
    notes = [
        note(0, 480, 60, "か"), note(480, 480, 62, "+"), note(960, 240, 64, "+~"),
        note(1440, 480, 65, "さ[s a]"), note(1920, 480, 65, "R"), note(2400, 480, 67, "- し"),
    ]  # fmt: skip
    path = save(tmp_path, project(notes, tempos=((0, 120), (960, 60)), part_position=480))
    assert heard(read_score(path)) == [
        (None, None, 0.5), ("か", 60, 0.5), ("-", 62, 1.0), ("-", 64, 0.5), (None, None, 0.5),
        ("[s a]", 65, 1.0), (None, None, 1.0), ("し", 67, 1.0),
    ]  # fmt: skip
    assert read_score(path).pieces[0].notes[1].where == "bar 1, note 1"


def test_every_track_is_a_part(tmp_path):
    content = project([note(0, 480, 60, "か")])
    content["voice_parts"].append(
        {"track_no": 1, "position": 480, "notes": [note(0, 480, 67, "さ")]}
    )
    scores = read_scores(save(tmp_path, content), part="all")
    assert [(s.part, s.duration_sec) for s in scores] == [("Miku", 1.0), ("Rin", 1.0)]


def test_phoneme_overrides_replace_the_dictionary(tmp_path):
    overrides = [{"index": 0, "phoneme": "s", "offset": 10}]
    path = save(tmp_path, project([note(0, 480, 60, "か", phoneme_overrides=overrides)]))
    read = phonemize(read_score(path), Dictionary.of("ja"), Vocabulary(("SP", "k", "s", "a")))
    assert [p.symbol for p in read.pieces[0].phonemes] == ["s", "a"]


def test_other_curves_are_expressions_in_seconds_of_the_song(tmp_path):
    curves = [
        {"abbr": "tenc", "xs": [0, 480], "ys": [0, 50]},
        {"abbr": "velc", "xs": [0, 240], "ys": [50, 150]},
        {"abbr": "dyn", "xs": [], "ys": []},
    ]
    content = project([note(0, 480, 60, "か")], curves=curves)
    content["tempos"] = [{"position": 0, "bpm": 120}, {"position": 240, "bpm": 60}]
    score = change_tempo(read_score(save(tmp_path, content)), 2.0)
    assert sorted(score.expressions) == ["tenc", "velc"]
    # 240 ticks take 0.25 s, those after the change 0.5 s; twice as fast, half of it.
    at = np.array([-1.0, 0.0, 0.0625, 0.125, 0.25, 0.375, 1.0])
    assert score.expressions["tenc"](at).tolist() == [0.0, 0.0, 12.5, 25.0, 37.5, 50.0, 0.0]
    assert score.expressions["velc"](at).tolist() == [100.0, 50.0, 100.0, 150.0, 100, 100, 100]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"duration": -1}, "track 'Miku', note 1: it starts at tick 0 and lasts -1 ticks"),
        ({"tone": 200}, "its tone is 200, expected 0 to 127"),
        ({"pitch": {"data": [{"x": "wide", "y": 0}]}}, "x is 'wide', expected a number"),
    ],
)
def test_what_cannot_be_is_named_with_its_note(tmp_path, change, sentence):
    with pytest.raises(InputError, match=sentence):
        read_score(save(tmp_path, project([note(0, 480, 60, "か") | change])))


# The pitch, tick by tick, in float64, from its definition.


def ease(shape, u):
    return {
        "l": u, "io": (1 - math.cos(math.pi * u)) / 2, "i": 1 - math.cos(math.pi * u / 2),
        "o": math.sin(math.pi * u / 2),
    }[shape]  # fmt: skip


def line_cents(points, at):
    """Height of straight or eased lines through (tick, cents, shape); None outside."""
    for (x0, y0, shape), (x1, y1, _) in zip(points, points[1:], strict=False):
        if x0 <= at < x1:
            return y0 + (y1 - y0) * ease(shape, (at - x0) / (x1 - x0))
    return None


def vibrato_cents(v, place, length_ms):
    length, begin = v["length"] / 100, 1 - v["length"] / 100
    if length == 0 or place < begin:
        return 0.0
    angle = 2 * math.pi * ((place - begin) * length_ms / v["period"] + v["shift"] / 100)
    cents = v["depth"] * (math.sin(angle) + v["drift"] / 100)
    fade_in, fade_out = length * v["in"] / 100, length * v["out"] / 100
    if place < begin + fade_in:
        cents *= (place - begin) / fade_in
    elif place > 1 - fade_out:
        cents *= (1 - place) / fade_out
    return cents


def expected_cents(notes, at, ms_of, tick_of, pitd):
    """Of one phrase of notes that follow each other at once."""
    sounding = [n for n in notes if n["position"] <= at] or notes[:1]
    sounding = sounding[-1]
    start, end = sounding["position"], sounding["position"] + sounding["duration"]
    cents = 100 * sounding["tone"]
    if start <= at < end:
        place = (at - start) / sounding["duration"]
        cents += vibrato_cents(sounding["vibrato"], place, ms_of(end) - ms_of(start))
    for i, n in enumerate(notes):
        begin, stop = n["position"], n["position"] + n["duration"]
        own = 100 * n["tone"]
        points = [
            (tick_of(ms_of(begin) + p["x"]), own + 10 * p["y"], p["shape"])
            for p in n["pitch"]["data"]
        ]
        before = notes[i - 1]["tone"] if i else n["tone"]
        if n["pitch"]["snap_first"]:
            points[0] = (points[0][0], 100 * before, points[0][2])
        if points[0][0] > begin:
            points.insert(0, (begin, points[0][1], "l"))
        if i == 0:
            points.insert(0, (-1e9, points[0][1], "l"))
        if points[-1][0] < stop:
            points.append((stop, points[-1][1], "l"))
        if (height := line_cents(points, at)) is not None:
            cents += height - (own if at >= begin else 100 * before)
    xs, ys = pitd
    return cents + float(np.interp(at, xs, ys, left=0, right=0))


VIBRATO = {"length": 60, "period": 160, "depth": 45, "in": 20, "out": 30, "shift": 25, "drift": 40}


def shaped(first, second):
    return {
        "data": [
            {"x": -70, "y": -3, "shape": first}, {"x": 35, "y": 2.5, "shape": second},
            {"x": 120, "y": 0, "shape": "io"},
        ],
        "snap_first": first != "o",
    }  # fmt: skip


@pytest.mark.parametrize("tempos", [((0, 120),), ((0, 96.5), (700, 151), (1300, 60))])
def test_the_pitch_is_within_a_cent_of_its_definition(tmp_path, tempos):
    notes = [
        note(240, 480, 60, "か", shaped("io", "l")),
        note(720, 480, 64, "さ", shaped("l", "i"), VIBRATO),
        note(1200, 720, 62, "+", shaped("o", "o"), {**VIBRATO, "length": 100, "drift": -80}),
        note(1920, 300, 67, "た", shaped("i", "io")),
    ]  # fmt: skip
    pitd = ([480, 700, 1000, 1500], [0, 120, -300, 0])
    curve = {"abbr": "pitd", "xs": pitd[0], "ys": pitd[1]}
    curve_of = read_score(save(tmp_path, project(notes, tempos, [curve]))).pieces[0].curves["f0"]

    ticks = np.array([p for p, _ in tempos], float)
    starts = np.concatenate(
        [[0], np.cumsum(np.diff(ticks) * [60_000 / b / 480 for _, b in tempos][:-1])]
    )
    speeds = np.array([60_000 / b / 480 for _, b in tempos])

    def ms_of(tick):
        i = np.searchsorted(ticks, tick, side="right") - 1
        return starts[i] + (tick - ticks[i]) * speeds[i]

    def tick_of(ms):
        i = max(np.searchsorted(starts, ms, side="right") - 1, 0)
        return ticks[i] + (ms - starts[i]) / speeds[i]

    differences = []
    for k, hertz in enumerate(curve_of.values):
        at = tick_of(1000 * k * curve_of.timestep_sec)
        if 240 <= at < 2220:
            expected = expected_cents(notes, at, ms_of, tick_of, pitd)
            differences.append(6900 + 1200 * math.log2(hertz / 440) - expected)
    assert len(differences) > 300
    assert np.abs(differences).max() < 1.0
