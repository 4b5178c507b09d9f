"""Pictures of mels, f0 and songs; training, evaluation and synthesis share them.

Every function returns a matplotlib figure, or writes a png when it is given a path.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from diffsinger_jax.atomic_write import atomic_write
from diffsinger_jax.audio.mel import mel_centres
from diffsinger_jax.pitch import hz_to_midi
from diffsinger_jax.types import MelSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DYNAMIC_RANGE_DB = 80.0
"""What lies further below the loudest point of a picture is drawn black."""
_TICKS = (  # the pitch classes that are named, by how many semitones a panel shows
    (14, {0: "C", 2: "D", 4: "E", 7: "G", 9: "A"}),
    (26, {0: "C", 4: "E", 7: "G"}),
    (60, {0: "C"}),
)
_CJK_FONTS = (
    "Noto Sans CJK JP", "Noto Sans JP", "Source Han Sans JP", "IPAexGothic", "IPAGothic",
    "TakaoGothic", "Hiragino Sans", "Yu Gothic", "MS Gothic", "WenQuanYi Zen Hei",
    "Noto Sans CJK SC",
)  # fmt: skip


class Span(NamedTuple):
    """A note or a phoneme in a picture.

    Attributes:
      start_sec, end_sec: from the picture's start.
      midi: pitch of a note; None for rests and phonemes.
      label: of a phoneme; the lyric of a note.
    """

    start_sec: float
    end_sec: float
    midi: float | None = None
    label: str = ""


def mel_panels(
    path: str | os.PathLike | None,
    mels: Mapping[str, np.ndarray],
    spec: MelSpec,
    *,
    f0: np.ndarray | None = None,
    title: str = "",
) -> Figure | None:
    """Mels one above the other, on one scale of time, frequency and loudness: the first one's.

    Args:
      path: of the png, or None for the figure.
      mels: name -> [T, M] log amplitude; lengths may differ.
      f0: [T] Hz, drawn thinly over the first mel.
    """
    decibels = {name: spec.decibels(np.asarray(mel, np.float64)) for name, mel in mels.items()}
    top = float(next(iter(decibels.values())).max())
    longest = spec.seconds(max(len(mel) for mel in decibels.values()))
    figure, axes = _figure(len(mels), width=_width(longest), panel_height=2.2)
    for ax, (name, mel) in zip(axes, decibels.items(), strict=True):
        _draw_mel(ax, mel, spec, top)
        ax.set_ylabel(name)
        ax.set_xlim(0, longest)
    if f0 is not None:
        axes[0].plot(_times(f0, spec), mel_bins(f0, spec), color="cyan", linewidth=0.8)
    axes[-1].set_xlabel("s")
    axes[0].set_title(title)
    return _finish(figure, path)


def f0_panel(
    path: str | os.PathLike | None,
    curves: Mapping[str, np.ndarray],
    spec: MelSpec,
    *,
    notes: Sequence[Span] = (),
    title: str = "",
) -> Figure | None:
    """f0 curves over the notes as boxes.

    Args:
      path: of the png, or None for the figure.
      curves: name -> [T] Hz, 0 unvoiced.
      notes: with midi; rests are left out.
    """
    longest = max([spec.seconds(len(f0)) for f0 in curves.values()])
    figure, (ax,) = _figure(1, width=_width(longest), panel_height=3.2)
    _draw_pitch(ax, curves, spec, notes)
    ax.set_xlim(0, longest)
    ax.set_xlabel("s")
    ax.set_title(title)
    return _finish(figure, path)


def f0_rows(
    path: str | os.PathLike | None,
    curves: Mapping[str, np.ndarray],
    spec: MelSpec,
    *,
    notes: Sequence[Span] = (),
    title: str = "",
) -> Figure | None:
    """f0 curves over the notes, the first curve beside each of the others in a row of its own.

    Args:
      path: of the png, or None for the figure.
      curves: name -> [T] Hz, 0 unvoiced; the first is drawn in every row.
      notes: with midi; rests are left out.
    """
    first, *others = curves
    longest = max([spec.seconds(len(f0)) for f0 in curves.values()])
    figure, axes = _figure(max(len(others), 1), width=_width(longest), panel_height=2.2)
    for ax, other in zip(axes, others or [first], strict=True):
        _draw_pitch(ax, {name: curves[name] for name in (first, other)}, spec, notes)
        ax.set_xlim(0, longest)
    axes[-1].set_xlabel("s")
    axes[0].set_title(title)
    return _finish(figure, path)


def song_picture(
    path: str | os.PathLike | None,
    mel: np.ndarray,
    f0: np.ndarray,
    notes: Sequence[Span],
    phonemes: Sequence[Span],
    spec: MelSpec,
    title: str = "",
    *,
    row_sec: float = 15.0,
) -> Figure | None:
    """A song in rows of at most `row_sec`: mel, f0 over the notes, phonemes and lyrics below.

    Args:
      path: of the png, or None for the figure.
      mel: [T, M] log amplitude.
      f0: [T] Hz, 0 unvoiced.
      notes: with midi, in seconds from the song's start; with their lyrics as labels.
      phonemes: with labels.
    """
    length_sec = spec.seconds(len(mel))
    rows = max(1, int(np.ceil(length_sec / row_sec)))
    shown_sec = length_sec / rows
    figure, axes = _figure(2 * rows, width=15.0, panel_height=1.9)
    decibels = spec.decibels(np.asarray(mel, np.float64))
    top = float(decibels.max())
    for row in range(rows):
        upper, lower = axes[2 * row], axes[2 * row + 1]
        begin, end = row * shown_sec, (row + 1) * shown_sec
        _draw_mel(upper, decibels, spec, top)
        _draw_pitch(lower, {"f0": f0}, spec, notes)
        floor, ceiling = lower.get_ylim()
        line = (ceiling - floor) / 9.0  # height of a line of text
        lower.set_ylim(floor - 3.4 * line, ceiling)
        shown = [p for p in phonemes if begin <= p.start_sec < end]
        for phoneme in shown:
            lower.axvline(phoneme.start_sec, color="0.85", linewidth=0.5, zorder=0)
        sung = [note for note in notes if begin <= note.start_sec < end and note.label]
        _write_row(lower, shown, floor - 1.5 * line, shown_sec, centred=True)
        _write_row(lower, sung, floor - 2.9 * line, shown_sec, color="tab:blue")
        for ax in (upper, lower):
            ax.set_xlim(begin, end)
        upper.tick_params(labelbottom=False)
    axes[1].legend(handles=_song_legend(), loc="upper right", fontsize=7, ncols=4)
    axes[-1].set_xlabel("s")
    axes[0].set_title(title)
    return _finish(figure, path)


def boundary_panels(
    path: str | os.PathLike | None,
    divergence: np.ndarray,
    limit: float,
    margins: np.ndarray | None,
    largest_margin: float,
    measures: Mapping[str, tuple[np.ndarray, np.ndarray]],
    found: Mapping[str, int],
    title: str = "",
) -> Figure | None:
    """What the boundary k was found by, against the step: divergence, margin, measures.

    Args:
      path: of the png, or None for the figure.
      divergence: [S] nats, of the diffused mels.
      limit: nats, what the divergence has to fall to.
      margins: [n, S] of the boundary predictor, one row for each mel, or None.
      largest_margin: up to which two mels are the same to it.
      measures: name -> (k [m], value [m]) of the grid search; may be empty.
      found: way -> k, drawn as lines through all panels.
    """
    steps = np.arange(1, len(divergence) + 1)
    panels = 1 + (margins is not None) + len(measures)
    figure, axes = _figure(panels, width=9.0, panel_height=2.4)
    rest = iter(axes)

    ax = next(rest)
    ax.semilogy(steps, divergence, label="KL(M_k || auxiliary M_k)")
    ax.axhline(limit, color="0.4", linestyle=":", label="KL(M_T || noise)")
    ax.set_ylabel("nats an element")
    if margins is not None:
        ax = next(rest)
        ax.plot(steps, np.mean(margins, axis=0), label="mean margin of the predictor")
        low, high = np.percentile(margins, [10, 90], axis=0)
        ax.fill_between(steps, low, high, alpha=0.25, label="80 % of the mels")
        ax.axhline(largest_margin, color="0.4", linestyle=":", label=f"{largest_margin:g}")
        ax.set_ylim(0, 1)
        ax.set_ylabel("margin")
    for name, (k_steps, values) in measures.items():
        ax = next(rest)
        ax.plot(k_steps, values, marker=".", label="grid search, validation")
        ax.set_ylabel(name)
    for ax in axes:
        for i, (way, k_step) in enumerate(found.items()):
            ax.axvline(k_step, color=f"C{i + 1}", linestyle="--", label=f"{way}: k = {k_step}")
        ax.set_xlim(0, len(divergence) + 1)
        ax.legend(loc="upper right", fontsize=7)
    axes[-1].set_xlabel("step k")
    axes[0].set_title(title)
    return _finish(figure, path)


def _write_row(
    ax: Axes,
    spans: Sequence[Span],
    height: float,
    shown_sec: float,
    *,
    color: str = "black",
    centred: bool = False,
) -> None:
    """Labels along a line, each as wide as it is; those that would touch are left out."""
    sec_per_letter = shown_sec / 190.0  # 15 inches of letters of 7 points
    taken = -np.inf
    family = _font_for("".join(span.label for span in spans))
    for span in spans:
        width = sec_per_letter * (sum(2 if ord(c) > 0x2E80 else 1 for c in span.label) + 0.5)
        at = (span.start_sec + span.end_sec - width) / 2 if centred else span.start_sec
        if at < taken or not _has_glyphs(span.label, family):
            continue
        taken = at + width
        ax.text(at, height, span.label, fontsize=7, color=color, family=family, clip_on=True)


def _font_for(text: str) -> str:
    """A font that has the letters of a text, if one is installed."""
    from matplotlib import font_manager

    if text.isascii():
        return "DejaVu Sans"
    installed = {font.name for font in font_manager.fontManager.ttflist}
    known = [name for name in _CJK_FONTS if name in installed]
    return next(
        (name for name in ["DejaVu Sans", *known] if _has_glyphs(text, name)), "DejaVu Sans"
    )


def _has_glyphs(text: str, family: str) -> bool:
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    font = FT2Font(font_manager.findfont(family))
    return all(font.get_char_index(ord(c)) for c in text)


def _song_legend() -> list:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        Line2D([], [], color="C0", label="f0"),
        Patch(facecolor="0.8", edgecolor="0.6", label="notes"),
        Line2D([], [], color="black", marker="$a$", linestyle="", label="phonemes"),
        Line2D([], [], color="tab:blue", marker="$a$", linestyle="", label="lyrics"),
    ]


def _draw_mel(ax: Axes, decibels: np.ndarray, spec: MelSpec, top: float) -> None:
    ax.imshow(
        decibels.T,
        origin="lower",
        aspect="auto",
        cmap="magma",
        interpolation="nearest",
        extent=(0, spec.seconds(len(decibels)), 0, spec.n_mels),
        vmin=top - DYNAMIC_RANGE_DB,
        vmax=top,
    )
    hertz = [h for h in (500, 1000, 2000, 4000, 8000, 16000) if spec.fmin < h < spec.fmax]
    ax.set_yticks(mel_bins(np.array(hertz, float), spec), [f"{h / 1000:g} kHz" for h in hertz])
    ax.tick_params(axis="y", labelsize=8, right=True, labelright=True)


def _draw_pitch(
    ax: Axes, curves: Mapping[str, np.ndarray], spec: MelSpec, notes: Sequence[Span]
) -> None:
    pitches = []
    for note in notes:
        if note.midi is not None:
            box = (note.start_sec, note.end_sec - note.start_sec)
            ax.broken_barh([box], (note.midi - 0.5, 1.0), facecolor="0.8", edgecolor="0.6")
            pitches += [note.midi - 1.5, note.midi + 1.5]
    for i, (name, f0) in enumerate(curves.items()):
        midi = hz_to_midi(np.where(f0 > 0, f0, np.nan))
        ax.plot(_times(f0, spec), midi, label=name, linewidth=1.2 if i == 0 else 0.9)
        if np.any(f0 > 0):
            pitches += [*np.nanpercentile(midi, [1, 99]) + [-1, 1]]
    low, high = (min(pitches), max(pitches)) if pitches else (57.0, 69.0)
    ax.set_ylim(low, high)
    named = next((names for semitones, names in _TICKS if high - low <= semitones), _TICKS[-1][1])
    ticks = [m for m in range(int(np.ceil(low)), int(high) + 1) if m % 12 in named]
    ax.set_yticks(ticks, [f"{named[m % 12]}{m // 12 - 1}" for m in ticks], fontsize=8)
    ax.tick_params(axis="y", right=True, labelright=True)
    if len(curves) > 1:
        ax.legend(loc="upper right", fontsize=8)


def _times(f0: np.ndarray, spec: MelSpec) -> np.ndarray:
    return spec.seconds(np.arange(len(f0)))


def mel_bins(hertz: np.ndarray, spec: MelSpec) -> np.ndarray:
    """Where frequencies lie on the axis of mel bins; nan for 0 Hz."""
    bins = np.interp(hertz, mel_centres(spec), np.arange(spec.n_mels) + 0.5)
    return np.where(np.asarray(hertz) > 0, bins, np.nan)


def _width(length_sec: float) -> float:
    return float(np.clip(2.0 * length_sec, 6.0, 20.0))


def _figure(panels: int, *, width: float, panel_height: float) -> tuple[Figure, list[Axes]]:
    # Without pyplot: no global state, no window system, safe in any thread.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 0.6 + panel_height * panels), layout="constrained", dpi=90)
    FigureCanvasAgg(figure)
    axes = figure.subplots(panels, 1, squeeze=False)
    return figure, list(axes[:, 0])


def _finish(figure: Figure, path: str | os.PathLike | None) -> Figure | None:
    if path is None:
        return figure
    with atomic_write(path) as partial:
        figure.savefig(partial, format="png")
    return None
