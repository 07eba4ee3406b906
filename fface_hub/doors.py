"""The three doors through which untrusted bytes enter: one image reader, one weights reader, one strict JSON reader.

Nothing else in the program opens a file that a user or the Hub provided, but for the checkpoints and annotations of others that are being
converted (`fface_hub.hub.saved`), and the zips of layouts and painted faces, whose files come to these doors (`space.layout_files`).
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fface_hub.errors import ImageError, LayoutError, ModelError
from fface_hub.layouts import Layout

MAX_PIXELS = 50_000_000
MAX_SIDE = 20_000
MAX_IMAGE_BYTES = 200_000_000
MAX_JSON_DEPTH = 12
# Of a safetensors file. Parsing takes twelve times as much memory; ours have a few hundred tensors, and ten thousand fill a third of this.
MAX_HEADER_BYTES = 2_000_000
VALUES_AT_ONCE = 2**20
# What a photograph or a label map may be; a closed list keeps Pillow's rarely used decoders (PostScript, FITS, ...) out of reach.
IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
TENSOR_TYPES = ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL")

ImageSource = str | Path | bytes | Image.Image


def read_image(source: ImageSource, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """A picture as 8-bit RGB, upright by its EXIF orientation and without metadata.

    Transparency is laid on white, 16-bit values are scaled to 8 bits, CMYK and palettes are converted, the first frame of several is taken.
    Size is judged from the header, before anything is decoded. Raises `ImageError` for anything that is not a whole picture.
    """
    return _to_rgb(_upright(_decode(source, max_pixels)))


def _upright(image: Image.Image) -> Image.Image:
    """A copy turned as its EXIF orientation says."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a broken EXIF block says nothing about the pixels: take them as they lie
        return image.copy()


def _decode(source: ImageSource, max_pixels: int) -> Image.Image:
    """The opened and fully decoded picture, as stored."""
    data = None if isinstance(source, Image.Image) else source if isinstance(source, bytes) else _read_bytes(source)
    if data is not None and not data:
        raise ImageError("The picture is empty (zero bytes): choose another file.")
    try:
        image = source if isinstance(source, Image.Image) else Image.open(io.BytesIO(data or b""), formats=IMAGE_FORMATS)
        _check_size(image.size, max_pixels)
        image.load()
    except ImageError:
        raise
    except Image.DecompressionBombError as error:  # Pillow's own limit, also judged from the header
        raise ImageError(f"The picture is too large: at most {max_pixels / 1e6:.0f} million pixels are read. Make it smaller.") from error
    except UnidentifiedImageError as error:
        raise ImageError("This file is not a picture that can be read: use PNG, JPEG, WebP, BMP, TIFF or GIF.") from error
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, ... on damaged files
        raise ImageError("The picture is damaged or cut off: save or download it again.") from error
    return image


def _read_bytes(path: str | Path) -> bytes:
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_IMAGE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ImageError(f"The picture '{Path(path).name}' cannot be opened: check that the file exists and can be read.") from error
    if len(data) > MAX_IMAGE_BYTES:
        raise ImageError(f"The picture '{Path(path).name}' is too large: files of up to {MAX_IMAGE_BYTES // 1_000_000} MB are read.")
    return data


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise ImageError("The picture has no pixels: choose another file.")
    if width * height > max_pixels or max(size) > MAX_SIDE:
        raise ImageError(
            f"The picture is too large ({width} × {height}): at most {max_pixels / 1e6:.0f} million pixels are read. Make it smaller."
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow mode → RGB in a fresh picture that carries no metadata."""
    try:
        if image.mode.startswith(("I", "F")):
            return _grey_to_rgb(image)
        if image.has_transparency_data:
            rgba = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255, 255)), rgba)
        rgb = image.convert("RGB")
    except ValueError as error:
        raise ImageError(f"Pictures of the colour mode {image.mode} cannot be read: save it as RGB.") from error
    return Image.frombytes("RGB", rgb.size, rgb.tobytes())


def _grey_to_rgb(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits, scaled (`convert` would clip it). 32-bit files do not say whether they hold 0..1, 0..255 or 0..65535."""
    values = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ImageError("The picture holds values that are not numbers: save it as 8-bit PNG or JPEG.")
    highest = values.max(initial=0)
    top = 65535 if image.mode.startswith("I;16") or highest > 255 else 1 if image.mode == "F" and highest <= 1 else 255
    return Image.fromarray(np.clip(values * (255 / top), 0, 255).round().astype(np.uint8)).convert("RGB")


def to_tensor(image: Image.Image) -> Tensor:
    """RGB picture → float32 `[1,3,H,W]` in [-1, 1]."""
    values = np.asarray(image.convert("RGB"), dtype=np.float32)
    return torch.from_numpy(values / 127.5 - 1).permute(2, 0, 1)[None].contiguous()


def to_image(tensor: Tensor) -> Image.Image:
    """`[3,H,W]` in [-1, 1] (clamped) → RGB picture."""
    values = ((tensor.detach().float().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return Image.fromarray(np.ascontiguousarray(values.permute(1, 2, 0).numpy()))


def read_tensors(path: str | Path, shapes: Mapping[str, tuple[int, ...]] | None = None) -> dict[str, Tensor]:
    """All tensors of a safetensors file, on the CPU; every value finite.

    With `shapes`, keys and shapes must be exactly these; that is checked from the header, before any value is read. Raises `ModelError`.
    """
    name = Path(path).name
    try:
        _check_header_length(Path(path))
        with safe_open(path, framework="pt", device="cpu") as file:
            keys = list(file.keys())
            if shapes is not None:
                check_shapes({key: tuple(file.get_slice(key).get_shape()) for key in keys}, shapes, name)
            for key in keys:
                if file.get_slice(key).get_dtype() not in TENSOR_TYPES:
                    raise ModelError(
                        f"The tensor {key[:80]!r} in '{name}' has a number type that is not supported: save it as float16 or float32."
                    )
            tensors = {key: file.get_tensor(key) for key in keys}
    except ModelError:
        raise
    except FileNotFoundError as error:
        raise ModelError(f"There is no file '{name}': check the path.") from error
    except (OSError, SafetensorError, ValueError, RuntimeError, OverflowError) as error:
        raise ModelError(f"'{name}' is not a whole safetensors file: download or save it again.") from error
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not _is_finite(tensor):
            raise ModelError(f"The tensor {key[:80]!r} in '{name}' holds values that are not finite numbers: the file cannot be used.")
    return tensors


def _check_header_length(path: Path) -> None:
    """`ValueError` if the first eight bytes announce a header that no model of ours has."""
    with path.open("rb") as file:
        if int.from_bytes(file.read(8), "little") > MAX_HEADER_BYTES:
            raise ValueError(f"a header of more than {MAX_HEADER_BYTES} bytes")


def _is_finite(tensor: Tensor) -> bool:
    """Whether all values are finite, looked at in parts: the whole test at once would take twice the tensor's memory."""
    return all(bool(part.isfinite().all()) for part in tensor.flatten().split(VALUES_AT_ONCE))


def check_shapes(found: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]], name: str) -> None:
    """`ModelError` unless the weights `found` in the file `name` are those that are `wanted`, by their keys and shapes."""
    if missing := sorted(set(wanted) - set(found)):
        raise ModelError(
            f"'{name}' lacks {len(missing)} of {len(wanted)} weights, the first being {missing[0]!r}: it does not belong to its config."
        )
    if extra := sorted(set(found) - set(wanted)):
        raise ModelError(f"'{name}' holds {len(extra)} weights that its config has no place for, the first being {extra[0][:80]!r}.")
    for key, shape in wanted.items():
        if found[key] != tuple(shape):
            raise ModelError(
                f"The weight {key!r} in '{name}' has the shape {str(list(found[key]))[:60]}, and its config asks for {list(shape)}."
            )


def read_json(path: str | Path, max_bytes: int = 1_000_000) -> Any:
    """Strict JSON from a UTF-8 file: no NaN or infinity, no key twice, at most 12 levels deep. Raises `ModelError`."""
    name = Path(path).name
    try:
        with Path(path).open("rb") as file:
            data = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        raise ModelError(f"The file '{name}' cannot be opened: check that it exists and can be read.") from error
    if len(data) > max_bytes:
        raise ModelError(f"The file '{name}' is too large: at most {max_bytes:,} bytes are read.")
    return parse_json(data, f"The file '{name}'")


def parse_json(data: bytes | str, what: str = "The text") -> Any:
    """Strict JSON from bytes (UTF-8) or text, as in `read_json`; `what` begins the error's sentence."""
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        value = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_short_int)
        _check_depth(value, MAX_JSON_DEPTH)
    except RecursionError as error:
        raise ModelError(f"{what} is nested too deeply.") from error
    except ValueError as error:
        raise ModelError(f"{what} is not valid JSON: {str(error)[:120]}.") from error
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return result


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number is too large")
    return value


def _short_int(text: str) -> int:
    if len(text) > 19:  # beyond 64 bits; also keeps Python from slow conversions of endless digits
        raise ValueError("a whole number is too large")
    return int(text)


def _check_depth(value: Any, levels: int) -> None:
    if levels < 0:
        raise ValueError(f"it is nested more than {MAX_JSON_DEPTH} levels deep")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(item, levels - 1)


def read_label_map(source: ImageSource, layout: Layout, size: tuple[int, int] | None = None) -> Tensor:
    """A painted label map as class ids, int64 `[h,w]`. `size` is the (h, w) it must have.

    Classes are found by exact colour, for palette pictures too: where the palette is the layout's, indices and ids are the same, and where
    it is in another order the colours still say what was meant. Raises `LayoutError` for another size, colours that the layout does not
    have and transparent pixels, `ImageError` for what is not a picture.
    """
    colors = read_label_colors(source, size)
    labels = match_colors(colors, layout)
    unknown = labels < 0
    if unknown.any():
        row, column = (int(i) for i in np.argwhere(unknown)[0])
        raise LayoutError(
            f"The label map has {int(unknown.sum())} pixels in colours that the layout '{layout.name}' does not have, the first at "
            f"column {column}, row {row} with {tuple(colors[row, column].tolist())}: use the layout's exact colours, without smoothing, "
            "and save as PNG."
        )
    return torch.from_numpy(labels)


def read_label_colors(source: ImageSource, size: tuple[int, int] | None = None) -> np.ndarray:
    """The exact colours of a painted label map, uint8 `[h,w,3]`, of whatever kind of 8-bit picture; arguments and errors as there."""
    image = _upright(_decode(source, MAX_PIXELS))
    if size is not None and image.size != (size[1], size[0]):
        raise LayoutError(
            f"The label map is {image.size[0]} × {image.size[1]} pixels, and {size[1]} × {size[0]} are needed: paint on the map as given."
        )
    if image.mode not in ("1", "L", "P", "LA", "PA", "RGB", "RGBA"):
        raise LayoutError("The label map must be a palette or RGB picture with 8 bits per colour: save it as PNG.")
    rgba = np.asarray(image.convert("RGBA"))
    if transparent := int((rgba[..., 3] != 255).sum()):
        raise LayoutError(f"The label map has {transparent} transparent pixels: paint every pixel with a class colour.")
    return rgba[..., :3]


def match_colors(colors: np.ndarray, layout: Layout) -> np.ndarray:
    """Class ids int64 `[...]` of uint8 `colors [...,3]`; −1 where the layout has no such colour."""
    codes = _color_codes(colors.astype(np.int64))
    known = _color_codes(layout.colors.numpy().astype(np.int64))
    order = np.argsort(known)
    nearest = order[np.searchsorted(known, codes, sorter=order).clip(max=len(known) - 1)]
    return np.where(known[nearest] == codes, nearest, -1).astype(np.int64)


def _color_codes(colors: np.ndarray) -> np.ndarray:
    """RGB int64 `[...,3]` → one number per colour."""
    return colors[..., 0] * 65536 + colors[..., 1] * 256 + colors[..., 2]


def save_label_map(labels: Tensor, layout: Layout, path_or_file: str | Path | IO[bytes]) -> None:
    """Write class ids `[h,w]` as an 8-bit palette PNG: indices are the ids, the palette is the layout's colours.

    Raises `LayoutError` for ids outside the layout.
    """
    ids = labels.detach().cpu()
    if ids.ndim != 2 or ids.numel() == 0 or int(ids.min()) < 0 or int(ids.max()) >= len(layout):
        raise LayoutError(f"A label map of layout '{layout.name}' must be [h,w] with class ids from 0 to {len(layout) - 1}.")
    image = Image.fromarray(np.ascontiguousarray(ids.to(torch.uint8).numpy()))
    image.putpalette(layout.colors.numpy().tobytes())
    image.save(path_or_file, format="PNG", bits=8, optimize=False)
