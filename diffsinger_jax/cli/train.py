"""Trains a voice or a vocoder: train --config=pjs_small --workdir=DIR.

A config is a file, or the name of one that ships; any field of it is a flag, as
--config.denoiser.steps=1000. `run_train.py` is this command, too.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from absl import flags, logging
from ml_collections import config_flags

from diffsinger_jax import resources
from diffsinger_jax.cli import runtime
from diffsinger_jax.errors import InputError
from diffsinger_jax.old_names import renamed_flag
from diffsinger_jax.tasks.registry import task_of

CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "A config file, or the name of one that ships; fields are set as --config.seed=1.",
    lock_config=True,
)
WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Folder, or gs://BUCKET/FOLDER, for checkpoints, metrics, pictures and the voice; a run that "
    "was cut off goes on from what is there.",
)
STAGE = flags.DEFINE_string(
    "stage",
    "all",
    "Of a voice: all, auxiliary, boundary (the predictor of k) or denoiser; a single one builds "
    "on those before it.",
)
DISTRIBUTED = flags.DEFINE_string(
    "distributed",
    "off",
    "off for one process; auto where the cluster knows its processes (Cloud TPU, Slurm, Open "
    "MPI); or HOST:PORT,N,I for process I of N, which process 0 waits for at HOST:PORT.",
)
PROFILE = flags.DEFINE_string(
    "profile", None, "START:STOP, steps of a stage between which a trace for XProf is written."
)


class Depth(flags.ArgumentParser):
    """Steps of a diffusion, a share of a flow's path, or perhaps "auto"."""

    def __init__(self, words: tuple[str, ...] = ()) -> None:
        """Of the words that may stand for a number."""
        self._words = words
        self.syntactic_help = " or ".join(["a number", *words])

    def parse(self, argument: str | int | float) -> str | int | float:
        """As it stands in a config."""
        text = str(argument)
        if text in self._words:
            return text
        try:
            return int(text) if text.isdecimal() else float(text)
        except ValueError:
            raise ValueError(f"{self.syntactic_help} was expected, not {text!r}") from None


config_flags.register_flag_parser_for_type(int | float, Depth())
config_flags.register_flag_parser_for_type(int | float | str, Depth(("auto",)))


def main() -> None:
    """Reads the flags, then trains; JAX is imported only once they are right."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(usage())
        return
    try:
        flags.FLAGS(_todays(sys.argv))
        if CONFIG.value is None or WORKDIR.value is None:
            raise InputError(
                f"training needs --config=FILE and --workdir=DIR; --help says more, configs that "
                f"ship are {', '.join(resources.shipped_configs())}"
            )
        config = CONFIG.value.copy_and_resolve_references()  # a file that is missing shows here
    except (KeyError, AttributeError) as error:
        name = str(error.args[0]).strip("'\"")
        raise InputError(
            f"the config has no field {name}; configs/base.py and configs/vocoder_base.py list "
            "those there are"
        ) from error
    except OSError as error:
        raise InputError(f"there is no such config file: {_last_line(error)}") from error
    except flags.Error as error:
        raise InputError(f"the flags do not fit: {_last_line(error)}") from error
    task, profile = task_of(config.get("kind", "acoustic")), _steps(PROFILE.value)
    logging.set_verbosity(logging.FATAL)  # what goes wrong in Orbax is said by our checkpoints
    from diffsinger_jax.engine import hosts

    runtime.keep_freed_memory()
    runtime.remember_compiled_programs()
    hosts.join(DISTRIBUTED.value)
    task.train_function()(config, WORKDIR.value, STAGE.value, profile=profile)


def usage() -> str:
    """What `--help` says."""
    ours = flags.FLAGS.module_help(sys.modules[__name__])
    names = ", ".join(resources.shipped_configs())
    return f"{__doc__}{ours}\n\nconfigs that ship: {names}"


def _todays(arguments: Sequence[str]) -> list[str]:
    """With the file of a config that is given by its name, and today's names of its fields."""
    found = [renamed_flag(one) for one in arguments]
    for i, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag in ("--config", "-config") and equals:
            found[i] = f"{flag}={resources.find_config(value)}"
        elif flag in ("--config", "-config") and i + 1 < len(arguments):
            found[i + 1] = resources.find_config(arguments[i + 1])
    return found


def _steps(text: str | None) -> tuple[int, int] | None:
    """From START:STOP."""
    if text is None:
        return None
    start, _, stop = text.partition(":")
    if not (start.isdecimal() and stop.isdecimal() and 1 <= int(start) < int(stop)):
        raise InputError(
            f"--profile is START:STOP, as 100:105 for the steps 100 to 104, got {text!r}"
        )
    return int(start), int(stop)


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip()
