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
from huggingface_hub import SpaceHardware
from PIL import Image

from fface_hub.hub.figures import fill_tables
from fface_hub.inversion.detect import YUNET
from tests.browser import served

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


def test_front_matter_is_what_a_space_needs() -> None:
    """Fields that the Hub's documentation of Spaces names, with values that it takes."""
    matter = front_matter()
    known = {"title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "python_version", "app_file", "pinned", "license", "tags"}
    assert set(matter) == known | {"short_description", "suggested_hardware", "preload_from_hub", "models", "hf_oauth", "hf_oauth_scopes"}
    colors = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {matter["colorFrom"], matter["colorTo"]} <= colors and isinstance(matter["python_version"], str)
    assert matter["suggested_hardware"] in list(SpaceHardware)
    # A visitor who signs in lets the page make repositories, and see those that it made: no others.
    assert matter["hf_oauth"] is True and matter["hf_oauth_scopes"] == ["contribute-repos"]
    assert matter["preload_from_hub"] == [" ".join(YUNET)] and matter["models"] == [YUNET[0]]


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


def test_there_are_six_blocks_and_all_they_import_exists() -> None:
    assert len(BLOCKS) == 6
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


def test_the_tables_are_those_of_the_results() -> None:
    assert fill_tables(TEXT) == TEXT


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
    (tmp_path / "blocks.py").write_text("\n".join(BLOCKS[:5]), encoding="utf-8")
    code = f"import sys; sys.path[:0] = [{str(ROOT)!r}]; import runpy; runpy.run_path('blocks.py')"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert all((tmp_path / name).stat().st_size > 0 for name in ("views.png", "labels.png", "face.png", "orbit.mp4", "face.glb"))


@pytest.mark.slow
def test_the_block_for_other_programs_runs_with_a_page(tmp_path: Path) -> None:
    with served(lambda _: [sys.executable, "app.py"], tmp_path / "log") as address:
        assert "http://127.0.0.1:7860" in BLOCKS[5]
        code = BLOCKS[5].replace("http://127.0.0.1:7860", address)
        result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert int(re.findall(r"(\d+)% of the painted region has its label", result.stdout)[0]) >= 50
    assert Image.open(tmp_path / "after.png").size == (128, 128)
