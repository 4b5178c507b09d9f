"""Who may import whom: the floors of the house, read from the source."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "diffsinger_jax"

GROUND = {"types", "errors", "cli", "whole_file", "score", "audio", "plots"}
HOST = GROUND | {"corpus", "pipeline"}
PURE = {"types", "diffusion", "modules", "models"}
PURE_TRAINING = (
    "training.losses",
    "training.state",
    "training.steps",
    "training.boundary_steps",
    "training.vocoder_steps",
    "training.update",
    "training.optimizers",
)
SYSTEMS = (
    "training.hosts",
    "training.sharding",
    "training.checkpoint",
    "training.writer",
    "training.workdir",
)

# room -> (rooms of ours it may import, libraries it may not)
RULES = {
    "score": (GROUND, {"jax", "flax", "tensorflow_datasets"}),
    "audio": (GROUND, {"flax", "tensorflow_datasets"}),
    "corpus": (HOST, {"jax", "flax"}),
    "pipeline": (HOST, {"jax", "flax"}),
    "diffusion": ({"types", "diffusion"}, {"flax", "optax", "orbax", "logging"}),
    "modules": (
        {"types", "diffusion", "modules"},
        {"optax", "orbax", "tensorflow_datasets", "ml_collections"},
    ),
    "models": (PURE, {"optax", "orbax", "tensorflow_datasets", "ml_collections"}),
    **{
        room: (
            PURE | {"training.losses", "training.state", "training.steps", "training.update"},
            {"orbax", "tensorflow_datasets", "ml_collections"},
        )
        for room in PURE_TRAINING
    },
    **{
        room: ({"errors", "whole_file", "training.hosts"}, {"flax", "optax", "tensorflow_datasets"})
        for room in SYSTEMS
    },
}
EVERYWHERE_FORBIDDEN = {"tensorflow", "torch", "clu", "parselmouth", "music21"}


def modules():
    for file in sorted((ROOT / PACKAGE).rglob("*.py")):
        yield ".".join(file.relative_to(ROOT / PACKAGE).with_suffix("").parts), file


def imported(file):
    """Dotted names of everything a file imports, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_in(name, rooms):
    return any(name == room or name.startswith(room + ".") for room in rooms)


@pytest.mark.parametrize("room", RULES)
def test_a_room_imports_only_what_stands_below_it(room):
    ours, forbidden = RULES[room]
    files = [file for name, file in modules() if is_in(name, {room})]
    assert files, f"no such room: {room}"
    for file in files:
        for name in imported(file):
            assert name.split(".")[0] not in forbidden, f"{file} imports {name}"
            if name.startswith(PACKAGE + "."):
                name = name.removeprefix(PACKAGE + ".")
                assert is_in(name, ours | {room}), f"{file} imports {name}"


def test_nothing_imports_tensorflow_and_one_file_pytorch():
    for module, file in modules():
        for name in imported(file):
            if module == "interop.torch_file" and name == "torch":
                continue
            assert name.split(".")[0] not in EVERYWHERE_FORBIDDEN, f"{file} imports {name}"


def test_no_config_below_the_programs():
    for name, file in modules():
        if "ml_collections" in file.read_text(encoding="utf-8"):
            programs = {"loop", "stages", "stage_run", "start", "config_check"}
            programs |= {"work", "kept_config", "vocoder_loop", "vocoder_check"}
            programs = {f"training.{program}" for program in programs}
            assert is_in(name, programs | {"evaluation.boundary"}), name
