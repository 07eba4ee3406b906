"""No Python file of the repository, but the one converter of official checkpoints, can run code that arrives as data."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONVERTER = ROOT / "fface_hub" / "hub" / "convert.py"
BANNED_MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
BANNED_CALLS = {"eval", "exec", "torch.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load"}
BANNED_FROM = {("torch", "load"), ("yaml", "load"), ("yaml", "unsafe_load"), ("yaml", "full_load")}
BANNED_KEYWORDS = {"trust_remote_code", "allow_pickle"}


def offences(source: str) -> Iterator[str]:
    """What the gate refuses in `source`, each as 'line: what'."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names if alias.name.split(".")[0] in BANNED_MODULES]
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or "").split(".")[0]
            found = [module] if module in BANNED_MODULES else [a.name for a in node.names if (node.module, a.name) in BANNED_FROM]
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
    """Every Python file of the repository that the gate covers: all but the converter, and this list of what is banned."""
    folders = [ROOT / name for name in ("fface_hub", "space", "tests", "examples", ".ci")]
    files = [*ROOT.glob("*.py"), *(path for folder in folders for path in folder.rglob("*.py"))]
    return sorted(path for path in files if path not in (CONVERTER, Path(__file__).resolve()))


def test_no_file_runs_code_that_arrives_as_data() -> None:
    found = [f"{path.relative_to(ROOT)}:{offence}" for path in python_files() for offence in offences(path.read_text())]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import os, pickle as p",
        "from pickle import loads",
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
