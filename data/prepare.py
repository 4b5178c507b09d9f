"""Prepares a corpus: raw recordings with labels to checked features in ArrayRecord shards.

    python data/prepare.py pjs --raw DIR --out prepared/pjs --mel 24k_hop256

Beside the shards stand corpus.json (what a model must know of the corpus) and checks.csv (what
the checker found in each song). Killed and started again, it goes on where it stood.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
if importlib.util.find_spec("diffsinger_jax") is None:  # run from a clone, not installed
    sys.path.insert(0, str(HERE.parent))

from diffsinger_jax import cli  # noqa: E402
from diffsinger_jax.errors import InputError  # noqa: E402


def load_recipe(name: str):
    """The `RECIPE` in data/<name>/recipe.py."""
    spec = importlib.util.spec_from_file_location(f"recipe_{name}", HERE / name / "recipe.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.RECIPE


def main() -> int | None:
    """Reads the flags and calls `diffsinger_jax.corpus.build`."""
    recipes = sorted(path.parent.name for path in HERE.glob("*/recipe.py"))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("corpus", choices=recipes)
    parser.add_argument("--raw", type=Path, nargs="+", help="folder(s) of the raw corpus")
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    parser.add_argument("--mel", default="24k_hop128", help="a mel representation by name")
    parser.add_argument("--f0", default="harvest", help="an f0 extractor by name")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--max_piece_sec", type=float, default=12.0)
    parser.add_argument("--keep_faulty", action="store_true", help="use songs that fail, too")
    parser.add_argument("--check_only", action="store_true", help="write OUT.checks.csv only")
    parser.add_argument("--test", nargs="*", help="prefixes of the test songs")
    parser.add_argument("--validation", nargs="*", help="prefixes of the validation songs")
    flags = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # one process per core, one thread each
    # TFDS takes seconds to import, which a mistyped flag or a worker need not wait for.
    from diffsinger_jax.corpus import build

    recipe = load_recipe(flags.corpus)
    raw = flags.raw or ([recipe.raw] if recipe.raw else None)
    if raw is None:
        raise InputError(f"--raw is missing, the folder of the {flags.corpus} corpus; give it")
    for folder in raw:
        if not folder.is_dir():
            raise InputError(f"there is no folder {folder}, given as --raw; check the path")
    settings = build.Settings(
        name=flags.corpus,
        mel=flags.mel,
        f0=flags.f0,
        max_piece_sec=flags.max_piece_sec,
        keep_faulty=flags.keep_faulty,
        test=recipe.test if flags.test is None else tuple(flags.test),
        validation=recipe.validation if flags.validation is None else tuple(flags.validation),
        licence=recipe.licence,
    )
    build.prepare(recipe.read(raw), settings, flags.out, flags.jobs)


if __name__ == "__main__":
    cli.run(main)
