"""The table of few calls: its trainings build on each other, and a row that is known stays."""

import argparse
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import few_steps  # noqa: E402

OPTIONS = argparse.Namespace(folder=Path("runs"), corpus=Path("prepared"), minutes=2.0, steps=None)


def test_each_system_starts_from_one_before_it():
    names = list(few_steps.SYSTEMS)
    for number, (name, system) in enumerate(few_steps.SYSTEMS.items()):
        command = few_steps.command(name, OPTIONS)
        assert f"--workdir=runs/{name}" in command and "--config.stop_after_minutes=2" in command
        assert Path(few_steps.ROOT, "configs", f"{system.config}.py").is_file()
        starts = [flag for flag in command if flag.startswith("--config.start_from")]
        if system.base:
            folder = few_steps.SYSTEMS[system.base].voice
            assert starts == [f"--config.start_from=runs/{system.base}/{folder}"]
            assert system.base in names[:number]
        else:
            assert not starts


def test_calls_of_the_rows_are_those_that_are_trained_for():
    assert [
        list(few_steps.SYSTEMS[f"diffgan_{name}"].rows) for name in ("4", "2", "two_stage")
    ] == [
        [4],
        [2],
        [1],
    ]
    assert list(few_steps.SYSTEMS["progressive_2"].rows) == [2]


def test_what_is_measured_is_not_trained_or_measured_again(monkeypatch):
    monkeypatch.setattr(few_steps, "train", lambda *_: pytest.fail("it is known"))
    known = {"fft/0": {"system": "fft", "calls": 0, "MCD": 4.0}}
    assert list(few_steps.rows_of("fft", OPTIONS, [], known)) == [known["fft/0"]]
