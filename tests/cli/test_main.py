"""The command `diffsinger-jax`: every command answers, at once and in words."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags
from diffsinger_jax.configs import base
from ml_collections import config_flags

from diffsinger_jax import __version__, resources
from diffsinger_jax.cli import benchmark, main, validate, voices
from diffsinger_jax.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"jax", "librosa", "matplotlib", "tensorflow_datasets", "scipy"}
HELP = """
import sys
from diffsinger_jax.cli.main import main
try:
    main([{name!r}, "--help"])
except SystemExit as exit:
    assert not exit.code, exit.code
assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)
"""


@pytest.mark.parametrize("name", main.COMMANDS)
def test_help_comes_before_heavy_imports(name):
    command = [sys.executable, "-c", HELP.format(name=name, heavy=HEAVY)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 3


def code_of(*arguments):
    with pytest.raises(SystemExit) as exit:
        main.main(arguments)
    return exit.value.code


def test_usage_lists_every_command(capsys):
    main.main([])
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in main.COMMANDS)
    main.main(["--version"])
    assert capsys.readouterr().out == f"diffsinger-jax {__version__}\n"


def test_another_command_is_one_sentence(capsys):
    assert code_of("dance") == 2
    assert capsys.readouterr().err.endswith("error: there is no command 'dance'\n")


@pytest.mark.parametrize("file", ["run_sample.py", "run_train.py", "data/prepare.py"])
def test_the_old_programs_are_the_same(file):
    done = subprocess.run(
        [sys.executable, file, "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0 and not done.stderr and len(done.stdout.splitlines()) > 9


def test_voices_are_listed_with_languages_range_and_licence(capsys, tmp_path):
    voices.main([])
    said = capsys.readouterr().out
    shipped = resources.shipped_voices()
    for name, folder in shipped.items():
        licence = json.loads((folder / "voice.json").read_text())["corpus"]["licence"]
        assert said.startswith(f"{name}\n") and licence in said
    assert "languages  ja" in said and "range " in said
    voices.main([str(shipped["pjs"].parent)])
    assert capsys.readouterr().out.count("CC-BY-SA-4.0") == 2
    with pytest.raises(InputError, match="has no voice in it"):
        voices.main([str(tmp_path)])
    (tmp_path / "voice.json").write_text("{}")
    with pytest.raises(InputError, match="does not describe a voice"):
        voices.main([str(tmp_path)])


def test_a_reader_that_goes_away_is_no_error():
    # More than a pipe holds, so that it is written to after `head` has gone.
    command = (
        f"{sys.executable} -m diffsinger_jax validate $(yes none.mid | head -n 4000) | head -n 1"
    )
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert "none.mid" in done.stdout and done.stderr == ""


def test_scores_of_every_kind_are_validated(capsys, tmp_path):
    songs = [str(file) for file in (resources.folder("data") / "songs").glob("sakura.*")]
    assert len(songs) == 3 and validate.main(songs) == 0
    assert capsys.readouterr().out == "".join(f"{song}: OK\n" for song in songs)
    bad = tmp_path / "bad.musicxml"
    bad.write_text("<score-partwise>", "utf-8")
    assert validate.main([*songs, str(bad)]) == 2
    assert "bad.musicxml: not well-formed" in capsys.readouterr().out


def test_benchmarks_are_found_and_have_a_summary(capsys):
    assert {"sampling", "training", "streaming"} <= set(benchmark.find_programs())
    assert benchmark.main([]) == 0
    said = capsys.readouterr().out
    assert all(len(benchmark.summary(file)) > 20 for file in benchmark.find_programs().values())
    assert "How fast mels are sampled" in said


def test_what_ships_is_found_by_name_and_files_come_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resources.find_voice("pjs") == resources.shipped_voices()["pjs"]
    assert resources.find_config("ablations:small/naive").endswith("ablations.py:small/naive")
    assert resources.find_score("sakura").name == "sakura.musicxml"
    assert resources.find_score("nothing.ds") == Path("nothing.ds")
    (tmp_path / "pjs").mkdir()
    assert resources.find_voice("pjs") == Path("pjs")
    assert "pjs_mini" in resources.shipped_recipes()


@pytest.mark.parametrize(
    "flags, sentence",
    [
        ([], "training needs --config=FILE and --workdir=DIR"),
        (["--config=nowhere", "--workdir=w"], "no such config file: .*nowhere"),
        (["--config=tiny", "--workdir=w", "--config.sed=1"], "the config has no field"),
        (["--config=tiny", "--workdir=w", "--profile=x"], "--profile is START:STOP"),
        (["--config", "tiny", "--workdir=w", "--stag=x"], "the flags do not fit: .*stag"),
    ],
)
def test_flags_of_train(flags, sentence):
    command = [sys.executable, "-m", "diffsinger_jax", "train", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert re.search(sentence, done.stderr), done.stderr


@pytest.mark.parametrize("said, meant", [("auto", "auto"), ("25", 25), ("0.6", 0.6)])
def test_depths_are_steps_shares_of_a_path_or_auto(said, meant, monkeypatch):
    importlib.import_module("diffsinger_jax.cli.train")  # says how they are read
    monkeypatch.setattr(sys, "argv", ["train", f"--config.sampling.k_step={said}"])
    given = flags.FlagValues()
    config_flags.DEFINE_config_dict("config", base.get_config(), flag_values=given)
    given(sys.argv)
    found = given.config.sampling.k_step
    assert found == meant and type(found) is type(meant)
    with pytest.raises(flags.Error, match="a number or auto was expected, not 'often'"):
        given(["train", "--config.sampling.k_step=often"])
