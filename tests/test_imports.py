"""Who may import whom: a rule for every package, no cycles, read from the source."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "diffsinger_jax"

BASE = {"types", "errors", "atomic_write", "pitch", "resources", "ranges", "old_names"}
TABLE = {"features"}
HOST = BASE | TABLE | {"score", "text", "audio", "metrics", "corpus", "pipeline", "plots"}
PURE = {"types", "pitch", "ranges", "diffusion", "modules", "models"}
VOICES = HOST | PURE | {"voices"}
NO_DEVICE = {"jax", "flax", "optax", "orbax"}
NO_PROGRAM = {"optax", "orbax", "tensorflow_datasets", "ml_collections"}

# package or file -> (what of ours it may import besides itself, libraries it may not)
RULES = {
    "types": ({"errors"}, NO_DEVICE | {"tensorflow_datasets"}),
    "errors": (set(), NO_DEVICE),
    "atomic_write": (set(), NO_DEVICE),
    "resources": (set(), NO_DEVICE),
    "pitch": ({"types"}, NO_DEVICE | {"tensorflow_datasets"}),
    "ranges": (set(), NO_DEVICE),
    "old_names": (set(), NO_DEVICE),
    "features": (BASE | {"audio"}, NO_DEVICE | {"tensorflow_datasets"}),
    "score": (BASE, NO_DEVICE | {"tensorflow_datasets"}),
    "text": (BASE | {"score"}, NO_DEVICE | {"tensorflow_datasets"}),
    "audio": (BASE, {"flax", "optax", "orbax", "tensorflow_datasets"}),
    "metrics": (BASE | {"audio"}, NO_DEVICE | {"tensorflow_datasets"}),
    "plots": (BASE | {"audio"}, NO_DEVICE),
    "corpus": (HOST, NO_DEVICE),
    "pipeline": (HOST, NO_DEVICE),
    "diffusion": ({"types"}, NO_PROGRAM | {"flax", "logging"}),
    "modules": ({"types", "pitch", "ranges", "diffusion"}, NO_PROGRAM),
    "models": (PURE, NO_PROGRAM),
    "engine": (
        {"errors", "atomic_write", "ranges"},
        {"tensorflow_datasets", "librosa", "ml_collections"},
    ),
    "voices": (VOICES, NO_PROGRAM),
    "tasks": (VOICES | {"engine"}, set()),
    "synthesis": (VOICES, NO_PROGRAM),
    "interop": (VOICES | {"synthesis"}, {"orbax", "tensorflow_datasets"}),
    "evaluation": (VOICES | {"engine", "tasks", "synthesis", "interop"}, set()),
    "cli": (VOICES | {"engine", "tasks", "synthesis", "interop", "evaluation", "resources"}, set()),
    "__main__": ({"cli"}, NO_DEVICE),
}
EVERYWHERE_FORBIDDEN = {"tensorflow", "torch", "clu", "parselmouth", "music21"}


def modules():
    for file in sorted((ROOT / PACKAGE).rglob("*.py")):
        name = ".".join(file.relative_to(ROOT / PACKAGE).with_suffix("").parts)
        yield name.removesuffix("__init__").rstrip("."), file


def imported(file):
    """Dotted names of everything a file imports, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(file):
    """Of these, our own, without the package's name."""
    start = PACKAGE + "."
    names = {name.removeprefix(start) for name in imported(file) if name.startswith(start)}
    return names - {"__version__"}


def is_in(name, packages):
    return any(name == package or name.startswith(package + ".") for package in packages)


def cycle(graph):
    """The nodes of one cycle of a graph {node: nodes}, [] where there is none."""
    done, path = set(), []

    def visit(node):
        if node in path:
            return path[path.index(node) :]
        if node in done:
            return []
        path.append(node)
        for follower in sorted(graph.get(node, ())):
            if found := visit(follower):
                return found
        path.pop()
        done.add(node)
        return []

    return next((found for node in sorted(graph) if (found := visit(node))), [])


@pytest.mark.parametrize("package", RULES)
def test_a_package_imports_only_what_stands_below_it(package):
    allowed, forbidden = RULES[package]
    files = [file for name, file in modules() if is_in(name, {package})]
    assert files, f"no such package: {package}"
    for file in files:
        for name in imported(file):
            assert name.split(".")[0] not in forbidden, f"{file} imports {name}"
        for name in ours(file):
            assert is_in(name, allowed | {package}), f"{file} imports {name}"


def test_every_package_has_a_rule():
    for name, _ in modules():
        assert not name or is_in(name, RULES), f"no rule for {name}"


def test_no_cycle_between_packages_and_none_between_files():
    names = {name for name, _ in modules()}

    def target(name):
        """The file that an import is of: a module, or one that holds the name."""
        return name if name in names else name.rpartition(".")[0]

    files = {name: {target(one) for one in ours(file)} - {name, ""} for name, file in modules()}
    assert cycle(files) == []
    packages = {}
    for name, targets in files.items():
        top = name.split(".")[0]
        packages.setdefault(top, set()).update({t.split(".")[0] for t in targets} - {top})
    assert cycle(packages) == []


def test_a_cycle_is_found():
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
    assert cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_nothing_imports_tensorflow_and_one_file_pytorch():
    for module, file in modules():
        for name in imported(file):
            if module == "interop.torch_file" and name == "torch":
                continue
            assert name.split(".")[0] not in EVERYWHERE_FORBIDDEN, f"{file} imports {name}"


def test_no_config_below_the_tasks():
    for name, file in modules():
        if "ml_collections" in file.read_text(encoding="utf-8"):
            assert is_in(name, {"tasks", "cli"}), name
