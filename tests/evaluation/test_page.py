"""The page stands alone, and a browser finds every sound on it."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from diffsinger_jax.audio.wav import read_wav
from diffsinger_jax.evaluation.page import PagePiece, write_page
from diffsinger_jax.plots import Span
from diffsinger_jax.types import MelSpec

SPEC = MelSpec()
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SECONDS = {"recording": 2.0, "auxiliary mel": 2.0, "a longer one": 2.5}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    sounds = {
        name: 0.3 * np.sin(2 * np.pi * 220 * np.arange(int(seconds * 24_000)) / 24_000)
        for name, seconds in SECONDS.items()
    }
    pieces = [
        PagePiece(
            name=name,
            sounds={take: wav.astype(np.float32) for take, wav in sounds.items()},
            curves={"recorded f0": np.full(300, 220.0), "predicted f0": np.zeros(300)},
            notes=[Span(0.1, 1.9, midi=57.0)],
            phonemes=[Span(0.1, 1.9, label="a")],
        )
        for name in ("one#1 <b>", "one#2")
    ]
    about = {"title": "A voice & its songs", "licence": "CC0", "seed": 3}
    tables = {"The sound": {"auxiliary mel": {"dnsmos_ovrl": 3.14, "mcd": float("nan")}}}
    return write_page(folder, about, tables, pieces, SPEC)


def test_it_needs_nothing_from_elsewhere(page):
    text = page.read_text(encoding="utf-8")
    assert not re.search(r'(?:src|href)="(?!media/|data:)', text) and "://" not in text
    for file in re.findall(r'src="([^"]+)"', text):
        assert (page.parent / file).is_file(), file
    assert len(list((page.parent / "media").iterdir())) == 2 * 2 * len(SECONDS)


def test_text_is_escaped_and_numbers_are_there(page):
    text = page.read_text(encoding="utf-8")
    assert "one#1 &lt;b&gt;" in text and "A voice &amp; its songs" in text
    assert "<td>3.14</td>" in text and "mel MCD" not in text  # a column of nothing is left out


def test_the_sounds_are_what_was_given(page):
    wav, rate = read_wav(next((page.parent / "media").glob("*longer_one.flac")))
    assert rate == SPEC.sample_rate and len(wav) == 2.5 * rate
    assert np.abs(wav).max() == pytest.approx(0.3, abs=0.01)


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_every_player_has_its_duration_and_no_error_is_said(page, tmp_path):
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
        *(f"--user-data-dir={tmp_path}", "--enable-logging=stderr", "--timeout=20000"),
        *("--virtual-time-budget=10000", page.as_uri()),
    ]
    browser = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert browser.returncode == 0, browser.stderr
    assert "CONSOLE" not in browser.stderr
    durations = re.findall(r'<div class="row take" data-duration="([0-9.]+)">', browser.stdout)
    assert list(map(float, durations)) == pytest.approx([*SECONDS.values()] * 2, abs=0.01)
    assert browser.stdout.count('<span class="time">0:02.5</span>') == 2
