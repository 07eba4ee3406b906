"""Check a built wheel: `python .ci/check_wheel.py WHEEL FOLDER`.

It must hold the bundled models, install into an empty environment (FOLDER), and there every module must import while the packages of the
extras cannot be seen. The dependencies themselves come from the environment this script runs in, so that nothing is downloaded again.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ("anny", "embreex", "gradio", "spaces", "lpips", "torchvision", "transformers", "playwright", "pytest")

# Run inside the empty environment: hide the extras, then import every module but the rendered heads, which are an extra.
IMPORT_ALL = f"""
import importlib, pkgutil, sys
for name in {EXTRAS!r}:
    sys.modules[name] = None
import fface_hub
assert "site-packages" in fface_hub.__file__, fface_hub.__file__
names = [m.name for m in pkgutil.walk_packages(fface_hub.__path__, "fface_hub.", onerror=lambda name: None)]
for name in names:
    if not name.startswith("fface_hub.heads"):
        importlib.import_module(name)
for name in fface_hub.__all__:
    getattr(fface_hub, name)
print(len(names), "modules of", fface_hub.__file__)
"""


def missing_files(wheel: Path) -> list[str]:
    """Files below fface_hub/ in the checkout that the wheel lacks (checkpoints above all)."""
    packed = set(zipfile.ZipFile(wheel).namelist())
    sources = (p.relative_to(ROOT).as_posix() for p in (ROOT / "fface_hub").rglob("*") if p.is_file())
    return sorted(p for p in sources if p not in packed and "__pycache__" not in p)


def main() -> int:
    """0 if the wheel is whole and imports."""
    wheel, folder = Path(sys.argv[1]), Path(sys.argv[2])
    if missing := missing_files(wheel):
        print("the wheel lacks:", *missing, sep="\n  ")
        return 1
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    site = subprocess.check_output([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True).strip()
    subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", wheel], check=True)
    (Path(site) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    subprocess.run([python, "-c", IMPORT_ALL], check=True, cwd=folder)
    for entry in ([folder / "bin" / "fface-hub"], [python, "-m", "fface_hub.cli"]):
        subprocess.run([*entry, "--help"], check=True, cwd=folder, stdout=subprocess.DEVNULL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
