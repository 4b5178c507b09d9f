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
