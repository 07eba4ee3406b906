"""Loads thousands of damaged models in a process of its own and prints what came of them:
`python -m tests.security.fuzz weights|configs|faces|large COUNT FOLDER`.

Memory is the high-water mark of this process over its whole run, above what it held before the first file (`/proc`, so on Linux only).
That sees everything: Python's objects, torch's tensors, the Rust reader and mapped pages. `tracemalloc` sees the first of these only, and
`ru_maxrss` is handed down from the process that started this one, which may have been larger. One mark for all files also counts what an
earlier file leaked, and no freed memory of another test can hide a peak.
"""

from __future__ import annotations

import json
import random
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from fface_hub.adapters.adapter import Adapter
from fface_hub.adapters.samples import Sample, SampleSet
from fface_hub.cameras import look_at
from fface_hub.doors import read_tensors
from fface_hub.errors import FFaceError, ModelError
from fface_hub.inversion.encoder import CanonicalEditor, Encoder
from fface_hub.inversion.inversion import Inversion
from fface_hub.inversion.landmarks import LandmarkNet
from fface_hub.inversion.retouch import Retouch
from fface_hub.layouts import NASAL_WING_17
from fface_hub.models import FAMILIES, Model
from fface_hub.sources import CONFIG_NAME, WEIGHTS_NAME
from fface_hub.trunks import ParserNet
from tests.security.mutations import mutated_config, mutated_weights
from tests.tiny import PAIR, new_solid_generator, random_generator

PRETRAINED_EVERY = 25
"""One weights file in so many also goes through `from_pretrained`: 200 of 5,000."""


@dataclass
class Findings:
    """Files `tried`, how many of them went through `from_pretrained` (`loaded`), and how many were `refused`; seconds of this process
    inside the loader; bytes of the largest `file` and of the `peak` above the start; sentences that were `odd`."""

    tried: int = 0
    loaded: int = 0
    refused: int = 0
    seconds: float = 0.0
    file: int = 0
    peak: int = 0
    odd: str = ""

    def attempt(self, load: Callable[[], object]) -> None:
        """Call `load`, which may be refused by our own error in one short line, and by nothing else."""
        start = time.process_time()
        try:
            load()
        except FFaceError as error:
            self.refused += 1
            if len(str(error)) > 400 or "\n" in str(error):
                self.odd = str(error)[:1000]
        self.seconds += time.process_time() - start
        self.tried += 1


def memory(name: str) -> int:
    """Bytes of `VmRSS` (now) or `VmHWM` (high-water mark)."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(lines[name].split()[0])


def start_mark() -> int:
    """Set the high-water mark to what is held now, and return that."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def models(folder: Path) -> list[Path]:
    """One of each class, from an adapter of 3 kB to a generator of 90 kB."""
    of = "heads-triplane", "0" * 64
    sizes = {"latent_dim": 16, "axes": 3, "channels": (6, 8), "hidden": 8}
    made = [
        Adapter(NASAL_WING_17.to_dict(), *of, hidden=8),
        random_generator(**PAIR),
        Encoder(*of, label_channels=2, **sizes),
        CanonicalEditor(*of, label_channels=2, **sizes),
        LandmarkNet(32, (4, 6, 8, 8), 16),
        ParserNet("base-15", (4, 6), 4),
    ]
    assert {type(model).__name__ for model in made} == set(FAMILIES)
    folders = [folder / type(model).__name__ for model in made]
    for model, place in zip(made, folders, strict=True):
        model.save_pretrained(place)
    return folders


def fuzz_weights(folder: Path, count: int) -> Findings:
    """Mutated weights through the weights door, some of them through `from_pretrained`."""
    found, source, targets = Findings(), random.Random(7), models(folder)
    originals = [(target / WEIGHTS_NAME).read_bytes() for target in targets]
    shapes = [{key: tuple(value.shape) for key, value in Model.from_pretrained(target).state_dict().items()} for target in targets]
    base = start_mark()
    for number in range(count):
        which = number // 7 % len(targets)  # every mutation meets every model
        path = targets[which] / WEIGHTS_NAME
        data = mutated_weights(originals[which], number, source)
        path.write_bytes(data)
        found.file = max(found.file, len(data))
        found.attempt(lambda path=path, which=which: check_whole(path, shapes[which]))
        if number % PRETRAINED_EVERY == PRETRAINED_EVERY - 1:  # of every hundred the last one, too, which has ten thousand keys
            found.loaded += 1
            found.tried -= 1  # the same file
            before = found.refused
            found.attempt(lambda which=which: check_finite(Model.from_pretrained(targets[which])))
            found.refused = before
    found.peak = memory("VmHWM") - base
    return found


def check_whole(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """Tensors that were accepted must be exactly what was wanted, finite."""
    tensors = read_tensors(path, shapes)
    assert {key: tuple(value.shape) for key, value in tensors.items()} == shapes
    assert all(bool(value.isfinite().all()) for value in tensors.values() if value.is_floating_point())


def check_finite(model: Model) -> None:
    assert all(bool(value.isfinite().all()) for value in model.state_dict().values())


def fuzz_configs(folder: Path, count: int) -> Findings:
    """Mutated configs beside whole weights, through `from_pretrained`."""
    found, source, targets = Findings(), random.Random(7), models(folder)
    texts = [(target / CONFIG_NAME).read_text() for target in targets]
    found.file = max((target / WEIGHTS_NAME).stat().st_size for target in targets)
    for target in targets:
        Model.from_pretrained(target)
    base = start_mark()
    for number in range(count):
        which = number % len(targets)
        (targets[which] / CONFIG_NAME).write_text(mutated_config(texts[which], source))
        found.attempt(lambda which=which: Model.from_pretrained(targets[which]))
    found.loaded = found.tried
    found.peak = memory("VmHWM") - base
    return found


def fuzz_faces(folder: Path, count: int) -> Findings:
    """Mutated files of a sample set and of a saved inversion, through their own loaders."""
    found, source, generator = Findings(), random.Random(7), new_solid_generator()
    latents, picture, labels = generator.sample(2, 0), torch.zeros(3, 8, 8), torch.zeros(8, 8, dtype=torch.int64)
    samples = tuple(Sample(picture, labels, look_at(0.0), latents[i]) for i in range(2))
    SampleSet(NASAL_WING_17, samples).save(folder / "set")
    tuned = generator.tuned_copy()
    with torch.no_grad():
        next(tuned.parameters()).add_(0.1)
    retouch = Retouch(torch.zeros(3, 3, 4, 4), 0.5)
    Inversion(latents[:1], look_at(0.0), tuned, retouch=retouch).save(folder / "face", generator)
    files = [folder / "set" / name for name in ("layout.json", "metadata.jsonl", "0000.safetensors")]
    files += [folder / "face" / name for name in ("inversion.json", "latents.safetensors", "tuning.safetensors", "retouch.safetensors")]
    originals = [file.read_bytes() for file in files]
    found.file = max(map(len, originals))
    base = start_mark()
    for number in range(count):
        which = number % len(files)
        files[which].write_bytes(mutated_file(originals[which], files[which].suffix, number, source))
        in_set = which < 3
        found.attempt(lambda in_set=in_set: SampleSet.load(folder / "set") if in_set else Inversion.load(folder / "face", generator))
        files[which].write_bytes(originals[which])
    found.loaded, found.peak = found.tried, memory("VmHWM") - base
    return found


def mutated_file(data: bytes, suffix: str, number: int, source: random.Random) -> bytes:
    """A mutation of a file of its kind; of rows, one row."""
    if suffix == ".safetensors":
        return mutated_weights(data, number // 7, source)
    first, *rest = data.decode().splitlines() if suffix == ".jsonl" else [data.decode()]
    return "\n".join([mutated_config(first, source), *rest]).encode()


def read_large(folder: Path, count: int) -> Findings:
    """A whole file of one tensor of `count` million bytes, and one of as many bytes that is all header."""
    found, whole, header = Findings(file=count * 10**6), folder / "whole.safetensors", folder / "header.safetensors"
    head = json.dumps({"a": {"dtype": "F32", "shape": [found.file // 4], "data_offsets": [0, found.file]}}).encode()
    with whole.open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        file.truncate(8 + len(head) + found.file)  # zeros
    entries = ",".join(f'"k{n}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for n in range(found.file // 60))
    header.write_bytes(struct.pack("<Q", len(entries) + 2) + b"{" + entries.encode() + b"}")
    del entries
    base = start_mark()
    found.attempt(lambda: read_tensors(whole, {"a": (found.file // 4,)}))
    found.attempt(lambda: read_tensors(header, {"a": (found.file // 4,)}))
    found.peak = memory("VmHWM") - base
    return found


if __name__ == "__main__":
    run = {"weights": fuzz_weights, "configs": fuzz_configs, "faces": fuzz_faces, "large": read_large}[sys.argv[1]]
    try:
        print(json.dumps(asdict(run(Path(sys.argv[3]), int(sys.argv[2])))))
    except ModelError as error:
        sys.exit(f"outside a trial: {error}")
