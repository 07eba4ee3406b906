"""The repository against its own rules: sizes, the direction of imports, declared dependencies, pins and the wheel's content."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("fface_hub", "space", "tests", "examples", ".ci")
MAX_FILE, MAX_FUNCTION, MAX_PARAMETERS = 400, 80, 9

# Imports go from a higher level to a lower one, or stay on their level (DESIGN, "Folders"). Modules that are not named belong to the nouns.
LEVELS = {
    "generators": 1,
    "rendering": 2,
    "adapters": 3,
    "inversion": 3,
    "editing": 3,
    "heads": 3,
    "hub": 3,
    "training": 3,
    "benchmarks": 4,
    "pipeline": 5,
    "cli": 6,
    "commands": 6,
    "space": 7,
    "app": 7,
}
# Third-party packages that only these places may import.
RESERVED = {
    "gradio": ("space", "app"),
    "spaces": ("space", "app"),
    "anny": ("fface_hub.heads",),
    "warp": ("fface_hub.heads",),
    "embreex": ("fface_hub.heads.embree",),
    "trimesh": ("fface_hub.heads", "fface_hub.rendering.mesh", "fface_hub.rendering.export"),
    "transformers": ("fface_hub.parsing",),
    "torchvision": (),
    "lpips": ("fface_hub.losses", "fface_hub.metrics"),
}
# How packages are called where they are installed, when that differs from how they are imported.
INSTALL_NAMES = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "skimage": "scikit-image",
    "huggingface_hub": "huggingface-hub",
    "warp": "warp-lang",
}


def python_files(folders: tuple[str, ...] = FOLDERS) -> list[Path]:
    """Every Python file of `folders` and of the root."""
    return sorted([*ROOT.glob("*.py"), *(path for folder in folders for path in (ROOT / folder).rglob("*.py"))])


def module_name(path: Path) -> str:
    """'fface_hub.generators.base' for fface_hub/generators/base.py; a package has the name of its folder."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST) -> Iterator[str]:
    """Absolute names of the modules that `tree` imports anywhere, also inside functions, but not for the type checker alone."""
    for_types = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    skipped = {id(inner) for node in for_types for statement in node.body for inner in ast.walk(statement)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"relative import in line {node.lineno}: write the full name"
            # A name imported from the package itself may be a module of it.
            yield from (f"fface_hub.{alias.name}" for alias in node.names) if node.module == "fface_hub" else [node.module]


def level(module: str) -> int:
    """Level of one of our modules; 0 are the nouns."""
    parts = module.split(".")
    return LEVELS.get(parts[1] if parts[0] == "fface_hub" and len(parts) > 1 else parts[0], 0)


def requirement_names(lines: list[str]) -> set[str]:
    """Normalised names of the packages in requirement lines."""
    return {re.split(r"[\[<>=!~ ;]", line)[0].lower().replace("_", "-") for line in lines}


def pins(path: Path) -> dict[str, str]:
    """Package → version specifier of a requirements file."""
    lines = [line.split(" #")[0].strip() for line in path.read_text().splitlines()]
    entries = [re.match(r"([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?(.*)", line) for line in lines if line and line[0] not in "#-"]
    return {entry[1].lower().replace("_", "-"): entry[2] for entry in entries if entry}


def test_files_functions_and_parameter_lists_stay_small() -> None:
    found = []
    for path in python_files():
        text = path.read_text()
        if (lines := text.count("\n")) > MAX_FILE:
            found.append(f"{path.relative_to(ROOT)}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            count = len([a for a in arguments if a.arg not in ("self", "cls")])
            if length > MAX_FUNCTION:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.name} has {length} lines")
            if count > MAX_PARAMETERS and node.name != "__init__":  # a model's constructor is its config
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.name} has {count} parameters")
    assert not found, "\n".join(found)


def test_imports_point_one_way() -> None:
    found = []
    for path in python_files(("fface_hub", "space")):
        name = module_name(path)
        if name == "fface_hub":
            continue  # the lazy exports name everything
        for target in imports(ast.parse(path.read_text())):
            if target.split(".")[0] in ("fface_hub", "space", "app") and level(target) > level(name):
                found.append(f"{name} imports {target}")
    assert not found, "\n".join(found)


def test_reserved_packages_are_imported_only_where_they_belong() -> None:
    found = []
    for path in python_files(("fface_hub", "space")):
        name = module_name(path)
        for target in imports(ast.parse(path.read_text())):
            homes = RESERVED.get(target.split(".")[0])
            if homes is not None and not any(name == home or name.startswith(f"{home}.") for home in homes):
                found.append(f"{name} imports {target}")
    assert not found, "\n".join(found)


def test_every_imported_package_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = [line for name in ("space", "heads", "lpips", "parse") for line in project["optional-dependencies"][name]]
    declared = requirement_names([*project["dependencies"], *optional])
    found = []
    for path in python_files(("fface_hub", "space")):
        for target in imports(ast.parse(path.read_text())):
            top = target.split(".")[0]
            if top not in sys.stdlib_module_names and top not in ("fface_hub", "space") and INSTALL_NAMES.get(top, top) not in declared:
                found.append(f"{module_name(path)} imports {top}, which pyproject.toml does not declare")
    assert not found, "\n".join(found)


def test_pins_agree_with_the_lock_and_with_the_ranges() -> None:
    from packaging.requirements import Requirement

    run, dev, lock = (pins(ROOT / name) for name in ("requirements.txt", "requirements-dev.txt", "constraints.txt"))
    assert {name: lock.get(name) for name in {**run, **dev}} == {**run, **dev}
    assert all(spec.startswith("==") for name, spec in {**run, **dev}.items() if name != "torch")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    for line in [*project["dependencies"], *optional["space"], *optional["heads"], *optional["dev"][1:]]:
        requirement = Requirement(line)
        version = lock[requirement.name.lower().replace("_", "-")].removeprefix("==")
        assert requirement.name == "torch" or requirement.specifier.contains(version), line
    declared = requirement_names([*project["dependencies"], *optional["space"]])
    assert set(run) == declared, "requirements.txt pins what the library and the page declare, no more and no less"


@pytest.mark.parametrize("name", ["requirements.txt", "constraints.txt"])
def test_nothing_pulls_in_torchvision_or_cuda(name: str) -> None:
    packages = pins(ROOT / name)
    assert packages["torch"] == ">=2.8,<=2.13.0"
    assert not [p for p in packages if p in ("torchvision", "lpips", "triton") or p.startswith("nvidia-")]


def test_the_import_of_the_package_is_light() -> None:
    heavy = "torch", "diffusers", "gradio", "numpy"
    code = f"import sys, fface_hub, fface_hub.cli; print([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.strip() == "[]"


def test_the_library_imports_without_the_extras() -> None:
    code = """
import importlib, pkgutil, sys
for name in ("anny", "embreex", "gradio", "spaces", "lpips", "torchvision", "transformers"):
    sys.modules[name] = None
import fface_hub
for module in pkgutil.walk_packages(fface_hub.__path__, "fface_hub."):
    if not module.name.startswith("fface_hub.heads."):
        importlib.import_module(module.name)
for name in fface_hub.__all__:
    assert getattr(fface_hub, name) is not None
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr


def test_an_unknown_export_is_an_attribute_error() -> None:
    import fface_hub

    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = fface_hub.nonsense


def test_no_model_file_is_heavier_than_promised() -> None:
    heavy = [p for p in (ROOT / "fface_hub" / "checkpoints").rglob("*") if p.is_file() and p.stat().st_size > 16 * 2**20]
    assert not heavy
