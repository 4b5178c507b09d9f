"""The command `diffsinger-jax`: what it can do, and the module that does it.

A command's module is imported once it is asked for, and JAX once its flags are read, so that help
and mistyped flags answer at once.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from diffsinger_jax import __version__
from diffsinger_jax.cli import runtime

PROGRAM = "diffsinger-jax"
COMMANDS = {
    # command -> (module of diffsinger_jax.cli, what it does)
    "sing": ("sing", "sing scores with a voice, into sound files"),
    "stream": ("stream", "sing them, writing the sound while it is sung"),
    "speak": ("speak", "speak texts with a voice that was trained on speech"),
    "voices": ("voices", "list voices: languages, range, licence"),
    "validate": ("validate", "check scores before they are sung"),
    "align": ("align", "find the phones of recordings with texts, as TextGrids"),
    "prepare": ("prepare", "make a checked corpus of raw recordings with labels"),
    "prepare-recordings": ("prepare_recordings", "make a corpus for vocoders of any recordings"),
    "train": ("train", "train a voice or a vocoder"),
    "evaluate": ("evaluate", "measure a voice on a split of a prepared corpus"),
    "page": ("page", "sing songs onto a page to hear and see them"),
    "boundary": ("boundary", "find the boundary k of a training in three ways"),
    "search-sampling": ("search_sampling", "choose how a voice samples, on its validation split"),
    "noise-levels": ("noise_levels", "measure a voice's denoiser at each level of noise"),
    "check-song": ("check_song", "measure whether a sound file sings its score"),
    "import": ("import_", "make a voice or a vocoder of other projects' checkpoints"),
    "export": ("export", "write a voice or a vocoder in other projects' formats"),
    "benchmark": ("benchmark", "run one of the benchmarks"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command and exits: `runtime.run` says with which code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name = arguments[0] if arguments else "--help"
    if name in ("--help", "-h"):
        print(usage())
    elif name == "--version":
        print(f"{PROGRAM} {__version__}")
    elif name not in COMMANDS:
        print(f"{usage()}\n\nerror: there is no command {name!r}", file=sys.stderr)
        sys.exit(2)
    else:
        sys.argv = [f"{PROGRAM} {name}", *arguments[1:]]
        module, _ = COMMANDS[name]
        runtime.run(importlib.import_module(f"diffsinger_jax.cli.{module}").main)


def usage() -> str:
    """The commands, a line each."""
    lines = [f"  {name:20}{what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(
        [f"usage: {PROGRAM} COMMAND ...   ({PROGRAM} COMMAND --help says more)\n", *lines]
    )
