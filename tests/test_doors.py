"""The three doors: pictures and label maps of every kind and fault, weights files, strict JSON."""

from __future__ import annotations

import io
import struct
import time
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from fface_hub.doors import (
    MAX_HEADER_BYTES,
    VALUES_AT_ONCE,
    parse_json,
    read_image,
    read_json,
    read_label_map,
    read_tensors,
    save_label_map,
    to_image,
    to_tensor,
)
from fface_hub.errors import ImageError, LayoutError, ModelError
from fface_hub.layouts import BASE_15, LabelClass, Layout

ORIENTATION = 274  # the EXIF tag


def png(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


def bomb(side: int) -> bytes:
    """The header of a PNG of side² pixels and nothing behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)) + chunk(b"IDAT", b"")


def picture() -> Image.Image:
    values = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3) * 2
    return Image.fromarray(values)


def test_a_huge_picture_is_refused_from_its_header() -> None:
    start = time.process_time()  # the work, whatever else the machine does
    with pytest.raises(ImageError, match="too large: at most 50 million"):
        read_image(bomb(30_000))
    assert time.process_time() - start < 0.1


@pytest.mark.parametrize("side", [7100, 100_000])
def test_our_own_limits_hold_below_and_above_pillows(side: int) -> None:
    with pytest.raises(ImageError, match="too large"):
        read_image(bomb(side))  # 7100² is 50.4 million


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "zero bytes"), (b"hello", "not a picture"), (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not a picture"), (png(picture())[:50], "damaged")],
)
def test_what_is_no_picture_is_told(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        read_image(data)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "TIFF"])
def test_a_picture_cut_anywhere_gives_our_error_or_a_whole_picture(format: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    data = png(Image.fromarray(noise), format)
    for end in range(1, len(data), max(1, len(data) // 40)):
        with suppress(ImageError):
            assert read_image(data[:end]).size == (30, 40)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"'nowhere.png' cannot be opened"):
        read_image(tmp_path / "nowhere.png")
    with pytest.raises(ImageError, match="cannot be opened"):
        read_image("a\0b.png")


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    values = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)  # 257 · n is n in 8 bits: 0, 1, 128, 255
    image = read_image(png(Image.fromarray(values)))
    assert [image.getpixel((x, 0)) for x in range(4)] == [(0, 0, 0), (1, 1, 1), (128, 128, 128), (255, 255, 255)]


def test_dark_sixteen_bit_grey_stays_dark() -> None:
    assert read_image(png(Image.fromarray(np.full((1, 1), 255, np.uint16)))).getpixel((0, 0)) == (1, 1, 1)  # 255 / 257 = 0.99


def test_transparency_is_laid_on_white() -> None:
    # Half transparent black on white: 255 · (1 − 128/255) = 127.
    rgba = Image.new("RGBA", (2, 1), (0, 0, 0, 128))
    rgba.putpixel((1, 0), (9, 9, 9, 0))
    assert read_image(png(rgba)).getpixel((0, 0)) == (127, 127, 127)
    assert read_image(png(rgba)).getpixel((1, 0)) == (255, 255, 255)
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    image = read_image(png(palette, transparency=1))
    assert [image.getpixel((0, 0)), image.getpixel((1, 0))] == [(10, 20, 30), (255, 255, 255)]


def test_cmyk_grey_and_one_bit_pictures_become_rgb() -> None:
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    value = read_image(png(red, "JPEG", quality=100)).getpixel((4, 4))
    assert isinstance(value, tuple) and value[0] > 240 and value[1] < 15 and value[2] < 15
    assert read_image(png(Image.new("1", (2, 2), 1))).getpixel((0, 0)) == (255, 255, 255)
    assert read_image(png(Image.new("LA", (2, 2), (7, 255)))).getpixel((0, 0)) == (7, 7, 7)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_gives_the_upright_picture(orientation: int) -> None:
    transpose = Image.Transpose
    # How a camera stores an upright picture under each orientation: the inverse of what a viewer does.
    stored = {
        2: transpose.FLIP_LEFT_RIGHT,
        3: transpose.ROTATE_180,
        4: transpose.FLIP_TOP_BOTTOM,
        5: transpose.TRANSPOSE,
        6: transpose.ROTATE_90,
        7: transpose.TRANSVERSE,
        8: transpose.ROTATE_270,
    }
    upright = picture()
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[0x010F] = "Camera of the uploader"
    exif.get_ifd(0x8825)[1] = "N"  # GPS
    image = upright.transpose(stored[orientation]) if orientation in stored else upright
    result = read_image(png(image, exif=exif))
    assert result.tobytes() == upright.tobytes() and result.size == upright.size
    assert b"Camera" not in png(result) and not result.getexif() and not result.info


def test_tensors_and_pictures_are_inverse() -> None:
    tensor = to_tensor(picture())
    assert tensor.shape == (1, 3, 5, 7)
    assert tensor[0, 1, 0, 0] == pytest.approx(2 / 127.5 - 1)  # the second value of arange, doubled
    assert to_image(tensor[0]).tobytes() == picture().tobytes()
    assert to_image(torch.full((3, 1, 1), 5.0)).getpixel((0, 0)) == (255, 255, 255)


LAYOUT = Layout("three", (LabelClass("background", (0, 0, 0)), LabelClass("skin", (200, 0, 0)), LabelClass("<script>", (0, 0, 200))))
IDS = torch.tensor([[0, 1, 2], [2, 1, 0]])


def test_label_maps_survive_the_round_trip_as_8_bit_palettes(tmp_path: Path) -> None:
    save_label_map(IDS, LAYOUT, tmp_path / "map.png")
    data = (tmp_path / "map.png").read_bytes()
    assert (data[24], data[25]) == (8, 3)  # the header's bit depth, and colour type palette
    with Image.open(io.BytesIO(data)) as image:
        assert np.asarray(image).tolist() == IDS.tolist()  # indices are the ids
    assert torch.equal(read_label_map(data, LAYOUT, (2, 3)), IDS)
    everything = torch.arange(15).reshape(3, 5)
    save_label_map(everything, BASE_15, tmp_path / "base.png")
    assert torch.equal(read_label_map(tmp_path / "base.png", BASE_15), everything)


def test_a_palette_in_another_order_is_read_by_colour() -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([0, 0, 200, 0, 0, 0, 200, 0, 0])
    image.putdata([0, 1, 2])
    assert read_label_map(png(image), LAYOUT).tolist() == [[2, 0, 1]]


def test_rgb_and_opaque_rgba_maps_are_read() -> None:
    colors = LAYOUT.colors[IDS].numpy()
    assert torch.equal(read_label_map(Image.fromarray(colors), LAYOUT), IDS)
    opaque = np.concatenate([colors, np.full((2, 3, 1), 255, np.uint8)], axis=2)
    assert torch.equal(read_label_map(png(Image.fromarray(opaque)), LAYOUT), IDS)


@pytest.mark.parametrize("orientation", [3, 6])
def test_label_maps_are_read_as_they_are_seen(orientation: int) -> None:
    """A camera's orientation can survive a painting program, and the picture underneath is turned by it."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = Image.fromarray(LAYOUT.colors[IDS].numpy()).transpose(
        Image.Transpose.ROTATE_180 if orientation == 3 else Image.Transpose.ROTATE_90
    )
    assert torch.equal(read_label_map(png(stored, exif=exif), LAYOUT, (2, 3)), IDS)


def test_unknown_colours_never_become_class_0() -> None:
    colors = LAYOUT.colors[IDS].numpy().copy()
    colors[1, 2] = (200, 0, 1)
    with pytest.raises(LayoutError, match=r"1 pixels .* column 2, row 1 with \(200, 0, 1\)"):
        read_label_map(Image.fromarray(colors), LAYOUT)
    with pytest.raises(LayoutError, match="does not have"):
        read_label_map(Image.fromarray(IDS.to(torch.uint8).numpy()), LAYOUT)  # bare ids as grey values
    with pytest.raises(LayoutError, match="does not have"):
        read_label_map(png(Image.fromarray(LAYOUT.colors[IDS].numpy()), "JPEG"), LAYOUT)


def test_wrong_size_transparency_and_wrong_ids_are_told() -> None:
    image = Image.fromarray(LAYOUT.colors[IDS].numpy())
    with pytest.raises(LayoutError, match="is 3 × 2 pixels, and 3 × 3 are needed"):
        read_label_map(image, LAYOUT, (3, 3))
    image.putalpha(254)
    with pytest.raises(LayoutError, match="transparent"):
        read_label_map(image, LAYOUT)
    with pytest.raises(LayoutError, match="from 0 to 2"):
        save_label_map(IDS + 1, LAYOUT, io.BytesIO())
    with pytest.raises(ImageError, match="too large"):
        read_label_map(bomb(30_000), LAYOUT)


def test_weights_are_checked_against_the_wanted_shapes(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.ones(2, 3), "b": torch.zeros(4, dtype=torch.float16)}, path)
    wanted = {"a": (2, 3), "b": (4,)}
    assert set(read_tensors(path, wanted)) == {"a", "b"}
    for shapes, message in (
        ({**wanted, "c": (1,)}, "lacks 1 of 3 weights, the first being 'c'"),
        ({"a": (2, 3)}, "1 weights that its config has no place for, the first being 'b'"),
        ({"a": (3, 2), "b": (4,)}, r"'a' in 'w.safetensors' has the shape \[2, 3\], and its config asks for \[3, 2\]"),
    ):
        with pytest.raises(ModelError, match=message):
            read_tensors(path, shapes)


def test_the_sentence_about_an_endless_shape_is_short(tmp_path: Path) -> None:
    save_file({"a": torch.zeros([1] * 60)}, tmp_path / "w.safetensors")
    with pytest.raises(ModelError) as told:
        read_tensors(tmp_path / "w.safetensors", {"a": (1,)})
    assert len(str(told.value)) < 200


def test_weights_must_be_finite_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.tensor([1.0, float("nan")])}, path)
    with pytest.raises(ModelError, match="not finite"):
        read_tensors(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelError, match="not a whole safetensors file"):
        read_tensors(path)
    with pytest.raises(ModelError, match="no file"):
        read_tensors(tmp_path / "missing.safetensors")


def test_a_header_that_would_take_many_times_its_size_to_parse_is_not_parsed(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    header = b'{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'.ljust(MAX_HEADER_BYTES)
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    assert read_tensors(path)["a"].shape == (0,)
    path.write_bytes(struct.pack("<Q", len(header) + 1) + header + b" ")
    with pytest.raises(ModelError, match="not a whole safetensors file"):
        read_tensors(path)


def test_the_last_value_of_a_large_tensor_is_looked_at(tmp_path: Path) -> None:
    values = torch.zeros(VALUES_AT_ONCE + 1)
    values[-1] = torch.inf
    save_file({"a": values}, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match="not finite"):
        read_tensors(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "text",
    [
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": 1e999}',
        '{"a": 1, "a": 2}',
        "{",
        "[" * 14 + "]" * 14,
        "[" * 100_000,
        "9" * 30,
        '"\\ud800',
        "",
    ],
)
def test_json_that_is_not_strict_is_refused(text: str) -> None:
    with pytest.raises(ModelError):
        parse_json(text)


def test_json_files_are_limited_and_utf8(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('{"a": [1, 2.5, "ö", null, true]}', encoding="utf-8")
    assert read_json(path) == {"a": [1, 2.5, "ö", None, True]}
    with pytest.raises(ModelError, match="too large"):
        read_json(path, max_bytes=10)
    path.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(ModelError, match="not valid JSON"):
        read_json(path)
