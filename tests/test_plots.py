import numpy as np
import pytest

from diffsinger_jax import plots
from diffsinger_jax.types import MelSpec

SPEC = MelSpec()


@pytest.fixture
def mel():
    return np.random.default_rng(0).uniform(-5, 0, (400, SPEC.n_mels)).astype(np.float32)


@pytest.fixture
def f0():
    return np.where(np.arange(400) % 100 < 20, 0, 220).astype(np.float32)


def is_png(path):
    return path.read_bytes().startswith(b"\x89PNG")


def test_writes_whole_files(tmp_path, mel, f0):
    notes = [plots.Span(0, 0.5, 57.0), plots.Span(0.5, 1, None)]
    phonemes = [plots.Span(0, 0.5, label="a"), plots.Span(0.5, 1, label="SP")]
    plots.mel_panels(tmp_path / "a.png", {"truth": mel, "other": mel[:200]}, SPEC, f0=f0)
    plots.f0_panel(tmp_path / "b.png", {"truth": f0, "other": f0 * 1.1}, SPEC, notes=notes)
    plots.song_picture(tmp_path / "c.png", mel, f0, notes, phonemes, SPEC, "title", row_sec=1.0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.png", "c.png"]
    assert all(is_png(p) for p in tmp_path.iterdir())


def drawn(ax):
    return [text.get_text() for text in ax.texts]


def test_lyrics_stand_under_the_phonemes_and_nothing_overlaps(mel, f0):
    notes = [plots.Span(0, 0.5, 57.0, "long"), plots.Span(0.5, 0.51, 59.0, "short")]
    notes += [plots.Span(0.51, 0.52, 60.0, "hidden"), plots.Span(0.6, 1, 57.0, "end")]
    phonemes = [plots.Span(0.1 * i, 0.1 * i + 0.1, label="a") for i in range(10)]
    figure = plots.song_picture(None, mel, f0, notes, phonemes, SPEC)
    ax = figure.axes[1]
    assert [t for t in drawn(ax) if t != "a"] == ["long", "short", "end"]
    heights = {text.get_text(): text.get_position()[1] for text in ax.texts}
    assert drawn(ax).count("a") == 10 and heights["a"] > heights["long"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "f0", "notes", "phonemes", "lyrics",
    ]  # fmt: skip
    for axis in figure.axes:
        assert axis.yaxis.get_major_ticks()[0].label2.get_visible()  # names at both sides


def test_labels_that_no_font_has_are_left_out(mel, f0):
    notes = [plots.Span(0, 0.5, 57.0, "\U000e0fff")]
    assert drawn(plots.song_picture(None, mel, f0, notes, [], SPEC).axes[1]) == []


@pytest.mark.parametrize("semitones", [4, 20, 40, 90])
def test_names_of_notes_keep_their_distance(semitones):
    notes = [plots.Span(0, 1, 30.0), plots.Span(1, 2, 30.0 + semitones)]
    ax = plots.f0_panel(None, {"f0": np.zeros(400)}, SPEC, notes=notes).axes[0]
    ticks = ax.get_yticks()
    low, high = ax.get_ylim()
    points = ax.figure.get_size_inches()[1] * 72 / 2 / (high - low)  # a panel's half at least
    assert len(ticks) >= 1 and (len(ticks) == 1 or np.diff(ticks).min() * points >= 8)


def test_figures_share_one_scale(mel):
    figure = plots.mel_panels(None, {"truth": mel, "quiet": mel - 1}, SPEC)
    limits = {ax.images[0].get_clim() for ax in figure.axes}
    assert len(limits) == 1 and len(figure.axes) == 2


def test_f0_lies_on_its_mel_bin(mel, f0):
    from diffsinger_jax.audio.mel import mel_filterbank

    line = plots.mel_panels(None, {"truth": mel}, SPEC, f0=f0).axes[0].lines[0]
    drawn = line.get_data()[1]
    fft_bin = round(220 * SPEC.n_fft / SPEC.sample_rate)
    expected = np.argmax(mel_filterbank(SPEC)[:, fft_bin])
    assert np.isnan(drawn[0]) and abs(drawn[50] - 0.5 - expected) <= 1


def test_a_song_of_silence_has_a_picture(mel, f0):
    assert plots.f0_panel(None, {"f0": 0 * f0}, SPEC) is not None


def test_the_boundary_is_marked_in_every_panel(tmp_path):
    t = np.arange(100)
    margins = np.clip(1 - t[None] / np.linspace(50, 70, 9)[:, None], 0, 1)
    measures = {"MCD dB": (np.array([10, 50, 100]), np.array([4.0, 4.2, 4.5]))}
    found = {"closed_form": 57, "learned": 60, "grid": 50}
    figure = plots.boundary_panels(
        None, np.exp(-t / 10), 0.005, margins, 0.4, measures, found, "title"
    )
    assert len(figure.axes) == 3
    for ax in figure.axes:
        marked = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--"]
        assert marked == list(found.values())
    alone = tmp_path / "b.png"
    plots.boundary_panels(alone, np.exp(-t / 10), 0.005, None, 0.4, {}, {"closed_form": 57})
    assert is_png(alone)
