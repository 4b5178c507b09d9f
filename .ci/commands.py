"""Runs the commands of README.md and docs/*.md, in a folder of their own, in the order they stand.

    python .ci/commands.py [--list] [README.md docs/ds.md ...]

A command is a line of an indented block that begins with one of PROGRAMS. What must not or
cannot be run here has `<!-- not run: why -->` above it. What would train for an hour runs with
the config and flags of SHORTER instead.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = re.compile(
    r"(?:[A-Z_]+=\S+ )*(diffsinger-jax|python|pip|pytest|ruff|mkdocs|kubectl|for) "
)
NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
TINY = (
    "--config=tiny --config.corpus=prepared/pjs --config.auxiliary.steps=2 "
    "--config.denoiser.steps=2 --config.buckets=1 --config.songs_shown=0"
)
SHORTER = {
    # what stands in the docs -> what is run
    "--config=pjs_small": TINY,
    "--config=pjs ": f"{TINY} ",
    "--config=vocoder_24k": "--config=vocoder_tiny --config.vocoder.steps=2",
    "page --html page sakura": "page --html page pjs055",
    "--config.start_from=pjs ": "--config.start_from=workdir/pjs/voice ",
    "--warmup --quality good": "--voice workdir/pjs/voice --score pjs075 --warmup --quality draft",
    "sing --quality": "sing --score song.ds --quality",
    "sing --method": "sing --score song.ds --method",
    "--out prepared/pjs ": "--f0 dio --out prepared/pjs ",
    "--raw DIR": f"--f0 dio --raw {ROOT / 'data' / 'pjs_mini'}",
    "--validation song_07": "--validation pjs026",
    "boundary --workdir workdir/pjs": "boundary --workdir workdir/pjs --k_step 2 4",
}
# So many values of each sequence of sakura's first segment are its first phrase; its frames fit
# into the programs that are compiled for song.musicxml.
FIRST_PHRASE = {"text": 8, "ph_seq": 14, "note_seq": 8, "note_dur": 8, "note_slur": 8, "ph_num": 8}
# To compile well takes longer than to run what is run here.
QUICKLY_COMPILED = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
if tuple(map(int, version("jax").split(".")[:2])) < (0, 11):  # later ones do not know it
    QUICKLY_COMPILED["XLA_FLAGS"] = "--xla_cpu_use_fusion_emitters=false"


class Command(NamedTuple):
    """One command of a page; `reason` says why it is not run, "" if it is."""

    page: str
    line: int
    text: str
    reason: str


def commands_of(page: Path) -> Iterator[Command]:
    """The shell commands of a Markdown file; lines that end in a backslash go on."""
    reason, text, start = "", "", 0
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if found := NOT_RUN.search(line):
            reason = found[1]
            continue
        if text:  # inside a command
            text += " " + line.strip()
        elif line.startswith("    ") and PROGRAMS.match(line.strip()):
            text, start = line.strip(), number
        elif line.strip() and not line.startswith("    "):
            reason = ""
        loop = text.startswith("for ") and not text.endswith("done")
        if text and not loop and not text.endswith("\\"):
            yield Command(page.name, start, text.split("  #")[0].strip(), reason)
            text = ""
        text = text.removesuffix("\\").rstrip() if not loop else text


def prepare_folder(folder: Path) -> None:
    """What the commands take for granted: a few scores, and a program that plays sound."""
    mini = ROOT / "data" / "pjs_mini"
    shutil.copy(mini / "pjs055" / "pjs055.musicxml", folder / "song.musicxml")
    segment = json.loads((ROOT / "data" / "songs" / "sakura.ds").read_text("utf-8"))[0]
    phrase = {key: " ".join(segment[key].split()[:size]) for key, size in FIRST_PHRASE.items()}
    phrase["ph_num"] = phrase["ph_num"][:-1] + "1"  # the last silence is followed by nothing
    (folder / "song.ds").write_text(json.dumps([{**segment, **phrase}]), "utf-8")
    (folder / "bin").mkdir()
    player = folder / "bin" / "aplay"
    player.write_text("#!/bin/sh\nexec cat > played.wav\n")
    player.chmod(0o755)
    (folder / "prepared").mkdir()
    (folder / "prepared" / "mine").symlink_to("pjs")


def shorter(text: str) -> str:
    """What is run for a command of the docs."""
    for long, short in SHORTER.items():
        text = text.replace(long, short)
    return text


def run(text: str, folder: Path) -> None:
    """Runs a command as a shell would; ends this program if it fails."""
    path = os.pathsep.join(
        [str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    )
    print(f"\n$ {text}", flush=True)
    start = time.perf_counter()
    shell = ["bash", "-c", f"set -o pipefail; {text}"]
    environment = {**os.environ, **QUICKLY_COMPILED, "PATH": path}
    code = subprocess.run(shell, cwd=folder, env=environment).returncode
    print(f"({time.perf_counter() - start:.0f} s)", flush=True)
    if code:
        sys.exit(f"ended with code {code}: {text}")


def main() -> None:
    """Runs or lists them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", type=Path)
    parser.add_argument("--list", action="store_true", help="say what is run and what not")
    flags = parser.parse_args()
    pages = flags.pages or [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    found = [command for page in pages for command in commands_of(page)]
    if flags.list:
        for command in found:
            what = f"not run: {command.reason}" if command.reason else "run"
            print(f"{command.page}:{command.line}: {command.text}\n    {what}")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare_folder(folder)
        # Some stand on several pages.
        todo = list(dict.fromkeys(shorter(c.text) for c in found if not c.reason))
        for text in todo:
            run(text, folder)
        print(f"\n{len(todo)} commands passed, {sum(bool(c.reason) for c in found)} are not run")


if __name__ == "__main__":
    main()
