"""What the wheel, the docs and CI rest on."""

import re
import runpy
from pathlib import Path

import pytest

from diffsinger_jax import resources

ROOT = Path(__file__).resolve().parents[1]
commands = runpy.run_path(str(ROOT / ".ci" / "commands.py"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_package_and_module_has_an_api_page():
    pages = "\n".join(page.read_text() for page in (ROOT / "docs" / "api").glob("*.md"))
    named = set(re.findall(r"^::: diffsinger_jax\.(\w+)$", pages, re.M))
    there = {
        path.stem
        for path in (ROOT / "diffsinger_jax").iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.stem[0] != "_"
    }
    assert named == there
    nav = (ROOT / "mkdocs.yml").read_text()
    assert all(f"api/{page.name}" in nav for page in (ROOT / "docs" / "api").glob("*.md"))


def test_what_ships_is_in_the_wheel():
    setup = (ROOT / "setup.py").read_text()
    patterns = re.findall(r'^            "([\w/*.]+)",$', setup.split("package_data")[1], re.M)
    data = resources.folder("data")
    shipped = {file for pattern in patterns for file in data.glob(pattern) if file.is_file()}
    needed = [*resources.shipped_songs().values(), *data.glob("dictionaries/*.tsv")]
    needed += [data / name / "recipe.py" for name in resources.shipped_recipes()]
    for folder in resources.shipped_voices().values():
        needed += [file for file in folder.rglob("*") if file.is_file()]
    assert len(needed) > 15 and set(needed) <= shipped


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_the_docs_exist(page):
    from diffsinger_jax.cli.main import COMMANDS

    for command in commands["commands_of"](page):
        words = re.sub(r"^.*diffsinger-jax ", "", command.text).split()
        if "diffsinger-jax" in command.text:
            assert words[0] in COMMANDS, f"{page.name}:{command.line}: {command.text}"


def test_a_command_is_found_with_its_reason(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "Text\n\n    diffsinger-jax sing \\\n        --score a.mid    # a remark\n\nmore\n\n"
        "<!-- not run: too long -->\n\n    python x.py\n    python y.py\n\n"
        "end\n\n    pip install z\n"
    )
    found = list(commands["commands_of"](page))
    assert [(c.text, c.reason) for c in found] == [
        ("diffsinger-jax sing --score a.mid", ""),
        ("python x.py", "too long"),
        ("python y.py", "too long"),
        ("pip install z", ""),
    ]
    assert found[0].line == 3


def test_the_readme_fits_a_screen_and_a_half():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 80
