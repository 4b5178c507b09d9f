"""A static page to hear and see what a voice sings: players, spectrograms, pitch, and a table.

`diffsinger-jax page` shows a voice's own songs, `diffsinger-jax evaluate --html` a test split. The
page needs neither a server nor a network: open DIR/index.html.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from PIL import Image

from diffsinger_jax.atomic_write import atomic_write
from diffsinger_jax.audio.mel import log_mel
from diffsinger_jax.audio.wav import write_wav
from diffsinger_jax.evaluation.report import COLUMNS, Row, cell, shown_columns
from diffsinger_jax.plots import Span, mel_bins
from diffsinger_jax.synthesis.song import Song
from diffsinger_jax.types import MelSpec

PAGE_FILE = "index.html"
DYNAMIC_RANGE_DB = 70.0
PIXELS_PER_SEC = 60
"""At least; shorter pieces fill the page's width."""
PITCH_HEIGHT = 150
_PLAY = (
    '<svg class="start" viewBox="0 0 10 10"><path d="M1.5 0 10 5 1.5 10z"/></svg>'
    '<svg class="pause" viewBox="0 0 10 10"><path d="M1 0h3v10H1zM6 0h3v10H6z"/></svg>'
)
_PITCHES = {0: "C", 2: "D", 4: "E", 7: "G", 9: "A"}


class PagePiece(NamedTuple):
    """One piece or song, in several takes on one time axis.

    Attributes:
      name: as a heading.
      sounds: take -> f32[L] at the mel's sample rate.
      curves: name -> [T] Hz f0, 0 unvoiced; the first is drawn boldest.
      notes: with midi.
      phonemes: with labels.
    """

    name: str
    sounds: Mapping[str, np.ndarray]
    curves: Mapping[str, np.ndarray]
    notes: Sequence[Span]
    phonemes: Sequence[Span]


def write_page(
    folder: Path,
    about: Mapping[str, Any],
    tables: Mapping[str, Mapping[str, Row]],
    pieces: Sequence[PagePiece],
    spec: MelSpec,
) -> Path:
    """Writes `index.html`, and beside it `media/` with the sounds and spectrograms.

    Args:
      folder: that exists.
      about: "title", "licence", and what else is to be said of the page, as strings and numbers.
      tables: title -> system -> measures; may be empty.
      pieces: in order.
      spec: of the spectrograms; gives the sounds' sample rate.

    Returns:
      The page's path.
    """
    (folder / "media").mkdir(exist_ok=True)
    facts = [f"{name} {value}" for name, value in about.items() if name not in ("title", "licence")]
    body = [
        f"<h1>{_escape(about['title'])}</h1>",
        f'<p class="facts">{"".join(f"<span>{_escape(fact)}</span>" for fact in facts)}</p>',
        *(_table(title, rows) for title, rows in tables.items()),
        "<h2>To hear</h2>",
        '<p class="faint">Another take of the same piece goes on where the last one stood. A click '
        "on a spectrogram plays from there. What is drawn is what is heard: the mel of each sound, "
        "all on one scale of time, frequency and loudness.</p>",
        *(_piece(folder, piece, spec) for piece in pieces),
        f'<footer class="faint"><p>{_escape(about.get("licence", ""))}</p><p>What is not called a '
        "recording is synthetic: made by diffsinger_jax.</p></footer>",
    ]
    style, script = (
        resources.files("diffsinger_jax.evaluation").joinpath(name).read_text(encoding="utf-8")
        for name in ("page.css", "page.js")
    )
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{_escape(about['title'])}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + f"\n<script>\n{script}</script>\n</body>\n</html>\n"
    )
    with atomic_write(folder / PAGE_FILE) as partial:
        partial.write_text(page, encoding="utf-8")
    return folder / PAGE_FILE


def _table(title: str, rows: Mapping[str, Row]) -> str:
    shown = shown_columns(rows)
    heads = "".join(
        f'<th title="{_escape(COLUMNS[m].meaning)}">{_escape(COLUMNS[m].heading)}</th>'
        for m in shown
    )
    lines = "".join(
        f"<tr><td>{_escape(name)}</td>"
        + "".join(f"<td>{cell(row.get(m), COLUMNS[m])}</td>" for m in shown)
        + "</tr>"
        for name, row in rows.items()
    )
    return (
        f'<h2>{_escape(title)}</h2>\n<div class="wide"><table><thead><tr><th></th>{heads}</tr>'
        f"</thead><tbody>{lines}</tbody></table></div>"
    )


def _piece(folder: Path, piece: PagePiece, spec: MelSpec) -> str:
    """The card of a piece; writes its media."""
    seconds = max(len(wav) for wav in piece.sounds.values()) / spec.sample_rate
    decibels = {name: spec.decibels(log_mel(wav, spec)) for name, wav in piece.sounds.items()}
    top = float(next(iter(decibels.values())).max())
    rows, hertz = [], _frequencies(spec)
    for name, wav in piece.sounds.items():
        file = f"media/{_slug(piece.name)}_{_slug(name)}"
        write_wav(folder / f"{file}.flac", wav, spec.sample_rate, tags={"comment": name})
        _draw(folder / f"{file}.png", decibels[name], top, round(seconds * spec.frames_per_sec))
        rows.append(
            '<div class="row take"><div class="label">'
            f'<button class="play" aria-label="play or pause: {_escape(name)}">{_PLAY}</button>'
            f'<span class="name">{_escape(name)}<br><span class="time">–</span></span></div>'
            f'<div class="track"><img src="{file}.png" alt="spectrogram: {_escape(name)}">{hertz}'
            f'<audio preload="metadata" src="{file}.flac"></audio></div></div>'
        )
    legend = "".join(
        f'<span class="legend{" other" if i else ""}"><i></i>{_escape(name)}</span>'
        for i, name in enumerate(piece.curves)
    )
    width = f"calc(var(--labels) + {seconds * PIXELS_PER_SEC:.0f}px)"
    return (
        f'<section class="piece" data-seconds="{seconds:.4f}"><header><h3>{_escape(piece.name)}'
        f'</h3><span class="faint">{seconds:.1f} s</span></header>'
        f'<div class="tracks"><div class="stack" style="min-width:{width}">{"".join(rows)}'
        f'<div class="row"><div class="label"><span class="name">{legend}</span></div>'
        f'<div class="track plain">{_pitch(piece, seconds, spec)}</div></div>'
        f'<div class="row"><div class="label"><span class="time">seconds</span></div>'
        f'<div class="track plain axis">{_axis(seconds)}</div></div>'
        '<div class="head"></div></div></div></section>'
    )


def _draw(path: Path, decibels: np.ndarray, top: float, frames: int) -> None:
    """A pixel for each frame and bin, on one scale of loudness; silence up to `frames`."""
    level = np.full((frames, decibels.shape[1]), -np.inf)
    shown = min(frames, len(decibels))
    level[:shown] = decibels[:shown]
    index = np.clip((level - top) / DYNAMIC_RANGE_DB + 1, 0, 1) * 255
    image = Image.fromarray(index.T[::-1].astype(np.uint8))
    palette = (matplotlib.colormaps["magma"](np.arange(256))[:, :3] * 255).astype(np.uint8)
    image.putpalette(palette.tobytes())
    image.save(path, format="PNG", optimize=True)


def _pitch(piece: PagePiece, seconds: float, spec: MelSpec) -> str:
    """Notes as boxes, f0 as lines, phonemes below; drawn 1000 wide and stretched to the track."""
    midi = {
        name: 69 + 12 * np.log2(np.where(f0 > 0, f0, np.nan) / 440.0)
        for name, f0 in piece.curves.items()
    }
    heights = [n.midi for n in piece.notes if n.midi] + [
        p for curve in midi.values() for p in _range(curve)
    ]
    low, high = (min(heights) - 2, max(heights) + 2) if heights else (57, 69)
    labels = 22  # pixels for the phonemes

    def x(sec: float) -> float:
        return round(1000 * sec / seconds, 2)

    def y(pitch: float) -> float:
        return round((PITCH_HEIGHT - labels) * (high - pitch) / (high - low), 2)

    shapes = [
        f'<rect class="note" x="{x(n.start_sec)}" y="{y(n.midi + 0.5)}" '
        f'width="{x(n.end_sec - n.start_sec)}" height="{round(y(0) - y(1), 2)}" rx="1"/>'
        for n in piece.notes
        if n.midi
    ]
    for i, curve in enumerate(midi.values()):
        points = [
            ("M" if t == 0 or np.isnan(curve[t - 1]) else "L")
            + f"{x(t / spec.frames_per_sec)} {y(pitch)}"
            for t, pitch in enumerate(curve)
            if not np.isnan(pitch)
        ]
        shapes.append(f'<path class="f0{" other" if i else ""}" d="{"".join(points)}"/>')
    marks = [
        f'<span class="text" style="left:{x((p.start_sec + p.end_sec) / 2) / 10:.2f}%;'
        f'bottom:3px">{_escape(p.label)}</span>'
        for p in piece.phonemes
    ]
    named = _PITCHES if high - low < 20 else {0: "C"}
    marks += [
        f'<span class="text pitch" style="top:{y(m)}px">{named[m % 12]}{m // 12 - 1}</span>'
        for m in range(int(np.ceil(low)) + 1, int(high))
        if m % 12 in named
    ]
    return (
        f'<svg viewBox="0 0 1000 {PITCH_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="notes and f0">{"".join(shapes)}</svg>{"".join(marks)}'
    )


def _range(curve: np.ndarray) -> list[float]:
    """Lowest and highest pitch, without a tracker's single errors."""
    return [] if np.isnan(curve).all() else np.nanpercentile(curve, [1, 99]).tolist()


def _frequencies(spec: MelSpec) -> str:
    """Labels along a spectrogram."""
    shown = [hertz for hertz in (500, 2000, 8000) if spec.fmin < hertz < spec.fmax]
    heights = mel_bins(np.array(shown, float), spec) / spec.n_mels
    return "".join(
        f'<span class="text hertz" style="bottom:{100 * height:.1f}%">{hertz / 1000:g}k</span>'
        for hertz, height in zip(shown, heights, strict=True)
    )


def _axis(seconds: float) -> str:
    step = 1 if seconds <= 20 else 5
    return "".join(
        f'<span class="text" style="left:{100 * s / seconds:.2f}%">{s}</span>'
        for s in range(step, int(np.ceil(seconds - 0.2)), step)
    )


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip("_")


def _escape(value: Any) -> str:
    return html.escape(str(value))


def song_piece(title: str, takes: Mapping[str, Song]) -> PagePiece:
    """A song in several takes, on the notes, phonemes and f0 of the first."""
    song = next(iter(takes.values()))
    return PagePiece(
        name=title,
        sounds={name: take.wav for name, take in takes.items()},
        curves={"sung f0": song.f0},
        notes=song.notes,
        phonemes=song.phonemes,
    )
