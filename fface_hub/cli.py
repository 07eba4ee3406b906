"""The command line: `fface-hub COMMAND`, or `python -m fface_hub.cli COMMAND`.

Only the grammar is here, and what happens to errors: every mistake of the user is one sentence on stderr and exit code 2; an interrupt
is 130. The commands themselves are imported when they are asked for, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from fface_hub import __version__
from fface_hub.benchmarks import BENCHMARKS, EDIT_METHODS, INVERT_METHODS, LEVERS, RENDER_SIZES, VARIANTS
from fface_hub.errors import FFaceError

GENERATOR = "heads-triplane"
DRAW = "Draw faces from seeds. Each becomes a face folder, which edit and render take: the face, picture.png and labels.png."
PREPARE = "Crops around faces and their cameras, as dataset.json in EG3D's form, and report.json, which says what was rejected and why."
PARSE = (
    "parse: hold the face to labels that a face parser reads in the photo, too (pip install 'fface-hub[parse]', or --parser heads-parser)"
)
PHOTO = "a picture, whose largest face is used; several pictures of one person, or a folder of them, give one face"
TUNING = "retouch: add colours that the generator cannot make; weights: tune its weights to the photo, slower and worse from the side"
TRANSFER = "Give a face the colours of another, of all of it or of some classes, or the shape of some classes, or make a face in between."
LEFT_OUT = "learn from all samples but N, report the mIoU on those, keep the best adapter and stop when it is flat (0)"
SWEEP = "adapt-speed only: also draw cost by samples, classes and mixes into FILE (PNG), and the figures into a .json beside it"
VARIED = f"among {','.join(VARIANTS)} (all of these), and {','.join(LEVERS)}"
LIMIT = "adapt: stop after so many fits, 0 only draws what they need (none); edit: so many pairs (all); invert: so many heads (40)"
METHODS = f"only some methods, of edit {','.join(EDIT_METHODS)}, of invert {','.join(INVERT_METHODS)} (all)"
RECORDS = "rendered heads to learn from (8192); landmarks (4608), parser (2048), encoder and canonical editor (6144)"
MEASURED = f"bundled name, org/name on the Hub, or folder ({GENERATOR}); landmarks and parser measure a bundled model of their own"
VIEWS = ("views", "orbit", "mesh", "labels", "depth", "normals")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without the usage in front of it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help).\n")


def _number(kind: Callable[[str], float], low: float, high: float, what: str) -> Callable[[str], float]:
    """Argument type: a number from `low` to `high`, described in errors as `what`."""

    def parse(text: str) -> float:
        """The number that `text` says."""
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            bounds = f"from {low} to {high}" if high < math.inf else f"of at least {low}"
            raise argparse.ArgumentTypeError(f"{text!r} is not {what} {bounds}")
        return value

    return parse


def _whole(low: int, high: float = math.inf) -> Callable[[str], float]:
    return _number(int, low, high, "a whole number")


def _several(kind: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    """Argument type: values of `kind`, different ones, with commas between them."""

    def parse(text: str) -> tuple[Any, ...]:
        """The values that `text` lists."""
        return tuple(dict.fromkeys(kind(part.strip()) for part in text.split(",")))

    return parse


def _real(low: float, high: float = math.inf) -> Callable[[str], float]:
    return _number(float, low, high, "a number")


def _add_common(parser: argparse.ArgumentParser, report: str | None = None, seed: str = "seed of everything random (0)") -> None:
    """Options that every command has; `--json` only where it reports figures."""
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto (a GPU if there is one), cpu, cuda, cuda:N or mps")
    parser.add_argument(
        "--dtype", metavar="TYPE", help="numbers of a generator's convolutions: float32, bfloat16, float16 (float32; train: bfloat16)"
    )
    parser.add_argument("--memory", metavar="SIZE", help="what rays may take at once, on top of models and pictures, such as 800M (4G)")
    parser.add_argument("--seed", type=_whole(0, 2**31 - 1), default=0, metavar="N", help=seed)
    if report is not None:
        parser.add_argument("--json", type=Path, metavar="FILE", help=f"write {report} to FILE")


def _add_generator(parser: argparse.ArgumentParser, resolution: int = 128) -> None:
    parser.add_argument("--generator", default=GENERATOR, metavar="ID", help=f"bundled name, org/name on the Hub, or folder ({GENERATOR})")
    parser.add_argument("--adapter", metavar="ID", help="label in the layout of this adapter (name, org/name or folder)")
    parser.add_argument("--resolution", type=_whole(16, 1024), default=resolution, metavar="N", help=f"side of the pictures ({resolution})")


def _add_faces(commands: argparse._SubParsersAction) -> None:
    """The commands that make, change and show faces."""
    parser = commands.add_parser("generate", help="draw faces from seeds", description=DRAW)
    parser.add_argument("--count", type=_whole(1, 10_000), default=1, metavar="N", help="how many: seeds SEED, SEED+1, … (1)")
    parser.add_argument("--truncation", type=_real(0, 1), default=0.7, metavar="X", help="0 is the mean face, 1 the full variety (0.7)")
    parser.add_argument("--yaw", type=_real(-90, 90), default=0.0, metavar="DEG", help="camera angle to the side (0)")
    parser.add_argument("--pitch", type=_real(-60, 60), default=0.0, metavar="DEG", help="camera angle upwards (0)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the face folders, seed-N each")
    _add_generator(parser)
    _add_common(parser)

    parser = commands.add_parser("invert", help="photo → face folder", description="Find the face of a photo in the generator.")
    parser.add_argument("photo", type=Path, nargs="+", metavar="PHOTO", help=PHOTO)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="face folder to write")
    parser.add_argument("--cropped", action="store_true", help="the photo is already a square crop of the face: do not look for it")
    parser.add_argument("--tuning", choices=("retouch", "weights"), default="retouch", help=TUNING)
    steps = "{} ({}; without an encoder {}; with --tuning weights {})".format
    what = "steps among the faces the generator draws"
    parser.add_argument("--w-steps", type=_whole(1, 100_000), metavar="N", help=steps(what, 30, 100, 120))
    what = "steps with every style row free"
    parser.add_argument("--free-steps", type=_whole(0, 100_000), metavar="N", help=steps(what, 16, 60, 100))
    what = "steps of the tuning, 0 leaves it out"
    parser.add_argument("--tuning-steps", type=_whole(0, 100_000), metavar="N", help=steps(what, 20, 40, 160))
    parser.add_argument("--labels", choices=("parse",), metavar="WAY", help=PARSE)
    parser.add_argument("--parser", metavar="ID", help="that parser: SegFormer on the Hub, org/name[@revision] (jonathandinu/face-parsing)")
    _add_generator(parser)
    _add_common(parser, "how alike it is and how long it took")

    parser = commands.add_parser("prepare", help="folder of photos → crops and cameras", description=PREPARE)
    parser.add_argument("photos", type=Path, metavar="PHOTOS", help="folder; a sub-folder for each person if there are several")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of crops; a run that was stopped goes on where it was")
    parser.add_argument("--generator", default=GENERATOR, metavar="ID", help=f"frame for it: name, org/name or folder ({GENERATOR})")
    parser.add_argument("--resolution", type=_whole(64, 2048), default=512, metavar="N", help="side of the crops (512)")

    parser = commands.add_parser("edit", help="face + painted labels → edited face", description="Move a face until its labels match.")
    parser.add_argument("source", metavar="SOURCE", help="face folder, or a whole number: the face of that seed")
    parser.add_argument("target", type=Path, metavar="LABELS", help="square label map: palette PNG, or the layout's exact colours")
    parser.add_argument(
        "--layout", metavar="NAME", help="layout of LABELS, a published name or layout.json (that of the adapter or generator)"
    )
    parser.add_argument("--over", type=Path, metavar="LABELS", help="the label map that was painted over: only what differs is a target")
    parser.add_argument("--steps", type=_whole(1, 100_000), metavar="N", help="most steps of the optimisation (48), which may end before")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="face folder to write")
    _add_generator(parser)
    _add_common(parser, "losses and label agreement")

    parser = commands.add_parser("transfer", help="colours or shape of another face", description=TRANSFER)
    parser.add_argument("source", metavar="SOURCE", help="face folder, or a whole number: the face of that seed")
    parser.add_argument("other", metavar="FROM", help="the face to take from, likewise")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--classes", type=_several(str), metavar="NAME,NAME", help="take only the colours of these classes, such as hair,lips"
    )
    what.add_argument("--geometry", type=_several(str), metavar="NAME,NAME", help="take the shape of these classes, such as nose: an edit")
    what.add_argument("--mix", type=_real(0, 1), metavar="X", help="a face in between, in shape and colours: 0 is SOURCE, 1 is FROM")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="face folder to write")
    _add_generator(parser)
    _add_common(parser)

    parser = commands.add_parser("render", help="face → views, video, mesh, maps", description="Show a face from all sides.")
    parser.add_argument("source", metavar="SOURCE", help="face folder, or a whole number: the face of that seed")
    parser.add_argument("--only", nargs="+", choices=VIEWS, default=list(VIEWS), metavar="WHAT", help=f"any of {', '.join(VIEWS)} (all)")
    parser.add_argument("--frames", type=_whole(2, 1000), default=48, metavar="N", help="frames of the orbit (48)")
    parser.add_argument("--fps", type=_whole(1, 120), default=24, metavar="N", help="frames a second (24)")
    parser.add_argument("--grid", type=_whole(16, 1024), default=128, metavar="N", help="points along a side of the mesh's grid (128)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write into")
    _add_generator(parser)
    _add_common(parser)


def _add_models(commands: argparse._SubParsersAction) -> None:
    """The commands that make and measure models."""
    parser = commands.add_parser("adapt", help="painted samples → adapter", description="Fit an adapter to a folder of painted faces.")
    parser.add_argument(
        "samples", nargs="?", metavar="SAMPLES", help="sample set: folder, as samples new or import makes it, or org/name on the Hub"
    )
    parser.add_argument("--heads", metavar="LAYOUT", help="instead of SAMPLES: ten rendered heads, painted by the truth in this layout")
    parser.add_argument("--layout", metavar="NAME", help="merge the classes into this layout, a published name or layout.json")
    parser.add_argument("--generator", default=GENERATOR, metavar="ID", help=f"bundled name, org/name on the Hub, or folder ({GENERATOR})")
    parser.add_argument("--steps", type=_whole(1, 1_000_000), metavar="N", help="steps (1000, with --reference 5000)")
    parser.add_argument("--left-out", type=_whole(0, 1000), default=0, metavar="N", help=LEFT_OUT)
    parser.add_argument("--reference", action="store_true", help="FFaceNeRF's own schedule, every step rendered anew: hours on a CPU")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the adapter")
    _add_common(parser, "losses and time")

    parser = commands.add_parser(
        "train", help="train on rendered heads", description="Train, or go on with, a bundled model that learns from heads."
    )
    parser.add_argument("--config", default=GENERATOR, metavar="NAME", help=f"what to train, such as heads-landmarks ({GENERATOR})")
    parser.add_argument(
        "--minutes", type=_real(0.01), required=True, metavar="N", help="how long; a run that was stopped goes on where it was"
    )
    parser.add_argument("--init", metavar="ID", help="start from these weights: bundled name, org/name or folder")
    parser.add_argument("--heads", type=_whole(1, 900_000), metavar="N", help=RECORDS)
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the rendered heads, drawn where missing (OUT/data)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of checkpoints, log, sample sheets and the model")
    _add_common(parser, "the last figures")

    parser = commands.add_parser(
        "benchmark",
        help="measure a model",
        description="Measure a generator, and print the figures. Most do it on rendered heads and need the heads extra; adapt-speed, "
        "adapt-layers and render do not. A run of adapt, edit or invert that was stopped goes on from FILE.progress.jsonl beside its "
        "--json, one of encoder-views from the folder FILE.progress; delete that to begin anew. What takes minutes for each face runs on "
        "the first ones only: in edit on a CPU original and original-no-overlap on six pairs, in invert original and original-posed on two "
        "heads.",
    )
    parser.add_argument("name", choices=sorted(BENCHMARKS), metavar="NAME", help=f"one of {', '.join(sorted(BENCHMARKS))}")
    parser.add_argument("--generator", metavar="ID", help=MEASURED)
    parser.add_argument("--sweep", type=Path, metavar="FILE", help=SWEEP)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="adapt, adapt-layers and encoder-views: draw the figures into FILE (PNG)")
    parser.add_argument("--size", choices=RENDER_SIZES, help="render only: models of the official sizes, or the generator as it is (full)")
    grid = parser.add_argument_group("adapt only")
    grid.add_argument("--layout", metavar="NAME", help="a published name or layout.json that fine-24 merges into (nasal-wing-17)")
    grid.add_argument("--shots", type=_several(_whole(1, 100)), metavar="N,N", help="numbers of samples (1,5,10,20,30)")
    grid.add_argument("--variants", type=_several(str), metavar="NAME,NAME", help=VARIED)
    grid.add_argument("--seeds", type=_whole(1, 20), metavar="N", help="seeds of full and original, the others take the first (3)")
    grid.add_argument("--every-seed", action="store_true", default=None, help="the ablations take every seed, too")
    grid.add_argument("--identities", type=_whole(1, 10_000), metavar="N", help="held-out heads to measure on (40)")
    parser.add_argument("--limit", type=_whole(0), metavar="N", help=LIMIT)
    parser.add_argument("--methods", type=_several(str), metavar="NAME,NAME", help=METHODS)
    parser.add_argument("--gallery", type=Path, metavar="FILE", help="edit only: sheets of all edits, for eyes (.webp is the smallest)")
    _add_common(parser, "the figures", seed="has no effect: a benchmark's faces and cameras are fixed")


def _add_convert(commands: argparse._SubParsersAction) -> None:
    """The conversion of official checkpoints."""
    parser = commands.add_parser(
        "convert",
        help="official checkpoint → model",
        description="Make a model folder of a checkpoint that you downloaded: EG3D's ffhq512-64, ffhq512-128, ffhqrebalanced512-64, "
        "ffhqrebalanced512-128 and afhqcats512-128, NeRFFaceEditing's (.pkl), or one that FFaceNeRF saved (.pth), whose adapter goes into "
        "a second folder, OUT-adapter. Nothing in the file is run. Its licence goes on to the result, whose README.md says which: EG3D's "
        "allows non-commercial use only.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the checkpoint: .pkl or .pth")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the generator; an adapter is written to OUT-adapter")
    parser.add_argument("--push", metavar="ORG/NAME", help="upload it too, privately; an adapter goes to ORG/NAME-adapter")
    parser.add_argument(
        "--layout", metavar="NAME", help="layout of FFaceNeRF's adapter, a published name or layout.json (by its classes and FILE's name)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was converted and what was left out to FILE")


def _add_label(commands: argparse._SubParsersAction) -> None:
    """Labels for generators without any."""
    parser = commands.add_parser(
        "label",
        help="class labels for a generator that has none",
        description="Give a converted EG3D generator the labels of base-15, so that its faces can be painted on and adapters fitted. "
        "It draws faces, labels them with a face parser from the Hub (pip install 'fface-hub[parse]'), fits a label head to them, and "
        "writes a new model, whose pictures are the same. With --samples it learns from label maps that are there already.",
    )
    parser.add_argument("generator", metavar="ID", help="org/name on the Hub, or folder")
    parser.add_argument("--faces", type=_whole(2, 1000), default=64, metavar="N", help="how many faces to draw and parse (64)")
    parser.add_argument("--parser", metavar="ID", help="SegFormer on the Hub, org/name or org/name@revision (jonathandinu/face-parsing)")
    parser.add_argument("--samples", metavar="SET", help="instead of parsing: sample set of this generator in base-15, folder or org/name")
    parser.add_argument("--steps", type=_whole(1, 1_000_000), metavar="N", help="steps (3000)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the labelled generator")
    _add_common(parser, "losses and time")


def _add_check(commands: argparse._SubParsersAction) -> None:
    """The audit of strangers' models."""
    parser = commands.add_parser(
        "check",
        help="may a model be trusted?",
        description="Audit a model without running anything of it: its files, config and weights, by the checks that loading makes. "
        "Exit code 0 if it is clean, 2 if it is refused.",
    )
    parser.add_argument("model", metavar="PATH_OR_ID", help="folder, org/name on the Hub, or bundled name")
    parser.add_argument("--revision", metavar="NAME", help="branch, tag or commit on the Hub (main)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the verdict and all findings to FILE")


def _add_samples(commands: argparse._SubParsersAction) -> None:
    """The commands for sets of painted faces."""
    parser = commands.add_parser("samples", help="faces to paint, for adapt", description="Draw, import, check and publish sample sets.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    nothing = "has no effect: nothing is drawn"
    model = {"default": GENERATOR, "metavar": "ID", "help": f"bundled name, org/name on the Hub, or folder ({GENERATOR})"}
    layout = "layout of the label maps, a published name or layout.json"

    parser = actions.add_parser(
        "new",
        help="draw faces to paint",
        description="Draw faces that differ as much as possible, with the labels known already, and a README that says how to paint.",
    )
    parser.add_argument("--layout", required=True, metavar="NAME", help=layout)
    parser.add_argument("--count", type=_whole(1, 1000), default=10, metavar="N", help="how many faces (10)")
    parser.add_argument("--generator", **model)
    parser.add_argument("--adapter", metavar="ID", help="start from the labels of this adapter instead of the generator's own")
    parser.add_argument("--resolution", type=_whole(16, 1024), default=128, metavar="N", help="side of pictures and label maps (128)")
    parser.add_argument(
        "--out", type=Path, default=Path("samples"), metavar="DIR", help="folder to write, which must hold no set (samples)"
    )
    _add_common(parser, "what was drawn")

    parser = actions.add_parser(
        "import",
        help="pictures + label maps → sample set",
        description="Make a sample set of pictures and of label maps painted elsewhere: GIMP, CVAT (Segmentation mask 1.1), Label Studio, "
        "this program's page. A label map is a palette, RGB or opaque RGBA PNG in the layout's colours, called NAME.png or "
        "NAME_labels.png like its picture NAME. Pictures of a sample set (samples new) keep their latents, and so do face folders "
        "(generate, invert) with their labels.png painted; others are photos, and the face in each is inverted, which takes a minute or "
        "two. The cut-out photos become part of the set. FFaceNeRF's annotations (folders ws, camera_params, labels_*) are read, too: give "
        "the converted generator that drew their faces, from which the pictures are rendered, and with --labels one of the labels_*.",
    )
    parser.add_argument("pictures", type=Path, metavar="PICTURES", help="folder of pictures or face folders, or of a sample set")
    parser.add_argument("--labels", type=Path, metavar="DIR", help="folder of the label maps (PICTURES, there called NAME_labels.png)")
    parser.add_argument("--layout", metavar="NAME", help=f"{layout} (that of the sample set)")
    parser.add_argument("--cropped", action="store_true", help="photos are square crops of the face already: do not look for it")
    parser.add_argument("--w-steps", type=_whole(1, 100_000), metavar="N", help="steps among the faces the generator draws (100)")
    parser.add_argument("--free-steps", type=_whole(0, 100_000), metavar="N", help="steps with every style row free (60)")
    parser.add_argument("--generator", **model)
    parser.add_argument("--resolution", type=_whole(16, 1024), default=128, metavar="N", help="side of the label maps (128)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write, which must hold no set")
    _add_common(parser, "what was imported")

    parser = actions.add_parser(
        "check",
        help="is it ready for adapt?",
        description="Name every problem of a sample set. Exit code 2 if it cannot be fitted, 0 if it can, be it with warnings.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of the sample set")
    parser.add_argument("--generator", **model)
    _add_common(parser, "all problems and the pixels of each class", seed=nothing)

    parser = actions.add_parser("push", help="publish on the Hub", description="Upload a sample set as a dataset, with a card.")
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of the sample set")
    parser.add_argument("repo", metavar="ORG/NAME", help="where to; it is made if it is not there ('hf auth login' first)")
    parser.add_argument("--private", action="store_true", help="make it private, if it is not there yet")
    parser.add_argument("--revision", metavar="NAME", help="branch to push to (main)")
    parser.add_argument("--license", default="apache-2.0", metavar="ID", help="licence, by the Hub's identifier (apache-2.0)")


def build_parser() -> argparse.ArgumentParser:
    """The whole grammar."""
    parser = _Parser(prog="fface-hub", description="Edit portraits as 3-D faces by painting on their labels.")
    parser.add_argument("--version", action="version", version=f"fface-hub {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_faces(commands)
    _add_samples(commands)
    _add_models(commands)
    _add_convert(commands)
    _add_label(commands)
    _add_check(commands)
    return parser


HANDLERS = {
    "generate": "fface_hub.commands.faces",
    "invert": "fface_hub.commands.faces",
    "edit": "fface_hub.commands.faces",
    "transfer": "fface_hub.commands.transfer",
    "render": "fface_hub.commands.views",
    "prepare": "fface_hub.commands.photos",
    "samples": "fface_hub.commands.samples",
    "adapt": "fface_hub.commands.models",
    "train": "fface_hub.commands.models",
    "benchmark": "fface_hub.commands.benchmarks",
    "convert": "fface_hub.commands.convert",
    "label": "fface_hub.commands.convert",
    "check": "fface_hub.commands.check",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if all went well, 2 for a mistake of the user, 130 after Ctrl-C."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    args = build_parser().parse_args(words)
    args.words = words
    try:
        import_module("fface_hub.commands.support").check_outputs(args)
        if hasattr(args, "device"):
            args.compute = import_module("fface_hub.compute").Compute.choose(args.device, args.dtype, args.memory).apply()
        getattr(import_module(HANDLERS[args.command]), args.command)(args)
    except FFaceError as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except OSError as error:
        name = f"'{error.filename}': " if error.filename else ""
        return _complain(f"A file or folder cannot be used: {name}{error.strerror or error}.")
    except (MemoryError, RuntimeError) as error:
        if not import_module("fface_hub.memory").is_out_of_memory(error):
            raise
        return _complain("There is not enough memory: use a smaller --resolution, --grid or --count, or --device cpu in place of a GPU.")
    return 0


def _complain(sentence: str) -> int:
    print(f"fface-hub: {sentence}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
