"""No Python file of the repository can run code that arrives as data: not even the one that reads pickles, which follows their opcodes
itself, without the library that would obey them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LENT = ROOT / "space" / "lent.py"
# The one module that may touch pickles, and all it may touch: the library's table of opcodes, which parses and builds nothing. And the one
# that writes pickles for its tests, which builds nothing either. And the one of the page that talks to a process forked from the page's
# own, on ZeroGPU: its pickles go through a pipe that nobody else has, as `spaces` would send them anyway; see the test below.
ALLOWED = {
    ROOT / "fface_hub" / "hub" / "unpickle.py": {"pickletools.genops"},
    ROOT / "tests" / "hub" / "standins.py": {"pickle.Pickler"},
    LENT: {"pickle"},
}
BANNED_MODULES = {"pickle", "pickletools", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
BANNED_CALLS = {"eval", "exec", "torch.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load"}
BANNED_FROM = {("torch", "load"), ("yaml", "load"), ("yaml", "unsafe_load"), ("yaml", "full_load")}
BANNED_KEYWORDS = {"trust_remote_code", "allow_pickle"}


def offences(source: str) -> Iterator[str]:
    """What the gate refuses in `source`, each as 'line: what'."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names if alias.name.split(".")[0] in BANNED_MODULES]
        elif isinstance(node, ast.ImportFrom):
            banned = (node.module or "").split(".")[0] in BANNED_MODULES
            found = [f"{node.module}.{a.name}" for a in node.names if banned or (node.module, a.name) in BANNED_FROM]
        elif isinstance(node, ast.Call):
            found = [name] if (name := ast.unparse(node.func)) in BANNED_CALLS else []
        elif isinstance(node, ast.keyword):
            found = [node.arg] if node.arg in BANNED_KEYWORDS else []
        elif isinstance(node, ast.Constant) and node.value in BANNED_KEYWORDS:
            found = [node.value]  # as a key of a dictionary that becomes keywords
        else:
            continue
        yield from (f"{getattr(node, 'lineno', 0)}: {name}" for name in found)


def python_files() -> list[Path]:
    """Every Python file of the repository, but for this list of what is banned."""
    folders = [ROOT / name for name in ("fface_hub", "space", "tests", "examples", ".ci")]
    files = [*ROOT.glob("*.py"), *(path for folder in folders for path in folder.rglob("*.py"))]
    return sorted(path for path in files if path != Path(__file__).resolve())


def test_no_file_runs_code_that_arrives_as_data() -> None:
    found = []
    for path in python_files():
        refused = [offence for offence in offences(path.read_text()) if offence.split(": ")[1] not in ALLOWED.get(path, ())]
        found += [f"{path.relative_to(ROOT)}:{offence}" for offence in refused]
    assert not found, "\n".join(found)


def test_the_page_unpacks_only_what_its_own_processes_say() -> None:
    pages = [ast.parse(path.read_text()) for path in python_files() if path != LENT and ROOT / "tests" not in path.parents]
    imports = [node for page in pages for node in ast.walk(page) if isinstance(node, ast.ImportFrom)]
    taken = {alias.name for node in imports if node.module == "space.lent" for alias in node.names}
    assert taken == {"lent"} and not any(node.module == "space" and alias.name == "lent" for node in imports for alias in node.names)
    calls = [node for node in ast.walk(ast.parse(LENT.read_text())) if isinstance(node, ast.Call) and ast.unparse(node.func) == "unpacked"]
    assert sorted(ast.unparse(call) for call in calls) == ["unpacked(message)", "unpacked(sent)"]
    source = LENT.read_text()
    assert "for message in messages" in source and "_on_gpu(seconds, packed((work, args)))" in source  # what came through that pipe
    assert "pickle.load" not in source and source.count("_Unpickler(io") == source.count("_Unpickler(") - 1 == 1


def test_exactly_one_module_of_the_library_may_touch_pickles_and_it_reaches_for_nothing() -> None:
    readers = [path for path in ALLOWED if ROOT / "fface_hub" in path.parents]
    assert [path.name for path in readers] == ["unpickle.py"] and all(path.is_file() for path in ALLOWED)
    tree = ast.parse(readers[0].read_text())
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not names & {"getattr", "setattr", "__import__", "import_module", "globals", "vars", "open", "compile"}
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "collections.abc", "dataclasses", "pickletools", "typing"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)]


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import os, pickle as p",
        "from pickle import loads",
        "from pickle import Pickler",
        "from pickletools import genops",
        "import joblib.numpy_pickle",
        "def f():\n    import dill",
        "import torch\ntorch.load('x')",
        "from torch import load",
        "x = eval('1')",
        "exec('x = 1')",
        "yaml.load(text, Loader=yaml.Loader)",
        "from yaml import unsafe_load",
        "AutoModel.from_pretrained('x', trust_remote_code=True)",
        "options = {'trust_remote_code': True}",
        "numpy.load(path, allow_pickle=True)",
    ],
)
def test_the_gate_sees_each_offence(source: str) -> None:
    assert len(list(offences(source))) == 1


@pytest.mark.parametrize(
    "source", ["model.eval()", "yaml.safe_load(text)", "from safetensors.torch import load", "numpy.load(path)", "x = 'pickle'"]
)
def test_the_gate_lets_harmless_code_pass(source: str) -> None:
    assert not list(offences(source))
