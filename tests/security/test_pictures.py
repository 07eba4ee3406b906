"""Uploaded pictures: bombs are refused from their headers, every orientation is upright, and nothing of the upload's metadata gets out."""

from __future__ import annotations

import base64
import io
import json
import random
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from fface_hub.adapters.samples import Sample, SampleSet
from fface_hub.cameras import look_at
from fface_hub.doors import read_image, save_label_map, to_tensor
from fface_hub.errors import ImageError
from fface_hub.inversion.align import crop, find_face
from fface_hub.inversion.invert import invert
from fface_hub.inversion.objective import InvertSettings
from fface_hub.rendering.export import MARK, save_glb, save_mp4, save_png
from fface_hub.rendering.mesh import extract_mesh
from fface_hub.rendering.renderer import render
from fface_hub.rendering.sampling import Sampling
from tests.tiny import solid_generator

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "photos" / "astronaut.jpg"
ORIENTATION, MAKER, GPS = 0x0112, 0x010F, 0x8825
SECRET = "7F-uploader-48.2082N-16.3738E"
T = Image.Transpose
# What a camera does to an upright picture before it stores it under each orientation, and what a viewer does to see it.
STORED = {2: T.FLIP_LEFT_RIGHT, 3: T.ROTATE_180, 4: T.FLIP_TOP_BOTTOM, 5: T.TRANSPOSE, 6: T.ROTATE_90, 7: T.TRANSVERSE, 8: T.ROTATE_270}
SEEN = {**STORED, 6: T.ROTATE_270, 8: T.ROTATE_90}


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_bombs_are_refused_from_their_headers() -> None:
    done = subprocess.run([sys.executable, "-m", "tests.security.pictures"], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, tuple[str, float, int]] = json.loads(done.stdout)
    print(found)
    for name, (said, seconds, peak) in found.items():
        assert peak < 50e6, name
        if not name.startswith(("png text", "png profile")):  # these are small pictures, refused or read without their metadata
            assert "too large" in said, name
            assert seconds < 0.1, name


def upright() -> Image.Image:
    """A smooth picture that looks like none of its turned or mirrored selves."""
    ramp = torch.arange(48).float()
    pixels = torch.stack([ramp[:32, None] * 5 + 0 * ramp, ramp * 4 + 0 * ramp[:32, None], (ramp[:32, None] + ramp) * 2])
    return Image.fromarray(pixels.permute(1, 2, 0).byte().numpy())


def encoded(image: Image.Image, format: str, exif: Image.Exif | None = None) -> bytes:
    buffer = io.BytesIO()
    options = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}.get(format, {})
    image.save(buffer, format=format, **options, **({} if exif is None else {"exif": exif}))
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_all_orientations_give_equal_pixels(format: str) -> None:
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        image = upright().transpose(STORED[orientation]) if orientation in STORED else upright()
        plain = read_image(encoded(image, format))  # what the same bytes hold without the tag: JPEG loses something
        expected = plain.transpose(SEEN[orientation]) if orientation in SEEN else plain
        result = read_image(encoded(image, format, exif))
        assert result.size == (48, 32) and result.tobytes() == expected.tobytes(), orientation
        if format != "JPEG":
            assert result.tobytes() == upright().tobytes(), orientation


@pytest.mark.parametrize("count", [400, pytest.param(20_000, marks=[pytest.mark.slow, pytest.mark.full])])
@pytest.mark.filterwarnings("ignore")
def test_damaged_pictures_give_our_error_or_a_picture(count: int) -> None:
    source, exif = random.Random(7), Image.Exif()
    exif[ORIENTATION] = 6
    modes = {
        "PNG": ("RGB", "P", "LA", "1"),
        "JPEG": ("RGB", "CMYK"),
        "WEBP": ("RGBA",),
        "TIFF": ("RGB", "P"),
        "GIF": ("P",),
        "BMP": ("RGB",),
    }
    files = [encoded(upright().convert(mode), format, exif) for format in modes for mode in modes[format]]
    refused = 0
    for number in range(count):
        data = bytearray(files[number % len(files)])
        for _ in range(source.choice((1, 2, 4, 16))):  # most of them in the header
            data[source.randrange(min(len(data), source.choice((60, 200, len(data)))))] = source.randrange(256)
        try:
            assert read_image(bytes(data)).mode == "RGB"
        except ImageError:
            refused += 1
    assert 0.1 * count < refused < 0.9 * count


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    """A portrait that says who took it and where, in every place that a JPEG has for it."""
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKER] = 1, SECRET
    exif.get_ifd(GPS).update({1: "N", 2: (48.0, 12.0, 29.5), 29: SECRET})
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><who>{SECRET}</who></x:xmpmeta>'.encode()
    path = tmp_path / "upload" / "portrait.jpg"
    path.parent.mkdir()
    Image.open(PHOTO).save(path, exif=exif, xmp=xmp, comment=SECRET.encode(), icc_profile=SECRET.encode() * 8, quality=95)
    assert path.read_bytes().count(SECRET.encode()) >= 12  # there is something to leak
    return path


def assert_clean(folder: Path, count: int) -> None:
    """No file below `folder`, of which there are `count`, holds anything of the upload's metadata."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == count
    for path in files:
        assert SECRET.encode() not in path.read_bytes(), path.name
        if path.suffix in (".png", ".jpg", ".webp"):
            with Image.open(path) as image:
                image.load()
                harmless = {"Comment": MARK}
                told = {key: value for key, value in image.info.items() if key not in ("jfif", "jfif_version", "jfif_unit", "jfif_density")}
                assert not image.getexif() and not told.keys() - {"loop", "background", "timestamp", "duration", *harmless}, path.name
                assert told.get("Comment", MARK) == MARK


def test_no_output_carries_the_uploads_metadata(upload: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    photo = read_image(upload)
    square = crop(photo, find_face(photo).box, 64)
    for suffix in ("png", "jpg", "webp"):
        square.save(out / f"crop.{suffix}")
        photo.save(out / f"photo.{suffix}")
    generator = solid_generator()
    settings = InvertSettings(resolution=16, rays=64, coarse=4, fine=4, w_steps=1, free_steps=1, tuning_steps=1)
    inversion = invert(generator, upload, settings=settings)
    inversion.save(out / "inversion", generator)
    view = render(inversion.scene(), look_at(0.0), 32, Sampling(8, 8))
    save_png(view.image[0], out / "picture.png")
    save_mp4(view.image.expand(2, -1, -1, -1), out / "orbit.mp4")
    save_glb(extract_mesh(generator.scene(generator.sample(1, 5, 1.0)), 24, level=0.5), out / "mesh.glb")
    save_label_map(view.labels[0], generator.layout, out / "labels.png")
    assert inversion.image is not None
    sample = Sample(to_tensor(square)[0], view.labels[0], look_at(0.0), inversion.latents)
    SampleSet(generator.layout, (replace(sample, image=inversion.image[0]), sample)).save(out / "samples")
    assert_clean(out, 6 + 5 + 4 + 8)


def test_the_page_shows_nothing_of_it_either(upload: Path, tmp_path: Path) -> None:
    from space.handlers import photo_chosen

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        square, photo, _ = photo_chosen(str(upload))
    shown = Image.open(io.BytesIO(base64.b64decode(square["picture"].split(",")[1])))  # beside it, only numbers
    for name, image in (("square", shown), ("photo", photo)):
        assert not image.info and not image.getexif()
        image.save(tmp_path / f"{name}.png")
    upload.unlink()
    assert_clean(tmp_path, 2)
