"""The README: its front matter is a Space's, its commands are the ones that are checked, and its Python blocks run."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from fface_hub.hub.cards import grid_table, score

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^python -m fface_hub\.cli .*$", TEXT, flags=re.MULTILINE)


FITTED = ("nasal-wing-17", "eyes-19", "nose-19", "chin-20")
"""Layouts that adapters are fitted for."""


def grid(layout: str) -> dict[str, Any]:
    """What `fface-hub benchmark adapt` found for a layout."""
    return json.loads((ROOT / "model_cards" / "results" / f"adapt-{layout}.json").read_text())


def front_matter() -> dict[str, object]:
    return yaml.safe_load(TEXT.split("---\n")[1])


def test_front_matter_agrees_with_the_requirements() -> None:
    matter = front_matter()
    assert f"gradio[oauth]=={matter['sdk_version']}" in (ROOT / "requirements.txt").read_text().splitlines()
    assert matter["sdk"] == "gradio" and matter["license"] == "apache-2.0"
    assert (ROOT / str(matter["app_file"])).is_file()
    assert len(str(matter["short_description"])) <= 60
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert tuple(map(int, str(matter["python_version"]).split("."))) >= tuple(map(int, requires.removeprefix(">=").split(".")))


def test_the_two_commands_stand_there_as_they_are_checked() -> None:
    assert "\npip install -r requirements.txt && python app.py\n" in TEXT
    assert "\npip install -r requirements.txt -r requirements-dev.txt && pytest\n" in TEXT


def test_there_are_five_blocks_and_all_they_import_exists() -> None:
    assert len(BLOCKS) == 5
    for block in BLOCKS:
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith("examples"):
                module = import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)


def test_every_command_line_is_understood() -> None:
    from fface_hub.cli import HANDLERS, build_parser

    seen = {build_parser().parse_args(command.split()[3:]).command for command in COMMANDS}
    assert seen == set(HANDLERS)


def test_the_files_that_the_text_names_exist() -> None:
    named = set(re.findall(r"`((?:fface_hub|examples|tests|space|\.ci)/[\w./-]*)`", TEXT))
    assert named and not [name for name in named if not (ROOT / name).exists()]


def test_the_tables_of_fits_are_those_of_the_results() -> None:
    assert grid_table(grid("nasal-wing-17")) in TEXT
    for layout in FITTED:
        line = next(line for line in TEXT.splitlines() if line.startswith(f"| `{layout}` |"))
        told = {(row["variant"], row["shots"]): score(row) for row in grid(layout)["rows"]}
        cells = [told["full", 10], told["original", 10], told["oracle", 500], told["fixed-layout", 0]]
        assert line == f"| `{layout}` | {' | '.join(cells)} |"


def test_few_samples_do_what_the_project_promises() -> None:
    for layout in FITTED:
        rows = {(row["variant"], row["shots"]): row["miou"] for row in grid(layout)["rows"]}
        shots = {count for name, count in rows if name == "full"}
        others = {name for name, _ in rows} - {"full", "oracle", "fixed-layout"}
        assert all(rows["full", count] >= rows[name, count] for name in others for count in shots)
        assert rows["full", 10] >= max(0.95 * rows["oracle", 500], rows["original", 10] + 0.01, rows["fixed-layout", 0])


@pytest.mark.slow
def test_the_blocks_run_one_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "blocks.py").write_text("\n".join(BLOCKS), encoding="utf-8")
    code = f"import sys; sys.path[:0] = [{str(ROOT)!r}]; import runpy; runpy.run_path('blocks.py')"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert all((tmp_path / name).stat().st_size > 0 for name in ("views.png", "labels.png", "face.png", "orbit.mp4", "face.glb"))
