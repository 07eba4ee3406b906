"""Pictures that are larger than they look, and what reading them costs this process: `python -m tests.security.pictures`.

Memory is measured as in fuzz.py: decoders are C, so only the process's own high-water mark sees them.
"""

from __future__ import annotations

import io
import json
import struct
import time
import zlib
from collections.abc import Iterator

from PIL import Image

from fface_hub.doors import IMAGE_FORMATS, read_image
from fface_hub.errors import ImageError
from tests.security.fuzz import memory, start_mark

SIDE = 30_000


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(side: int, *chunks: bytes) -> bytes:
    """An RGB PNG of side² pixels by its header, with `chunks` behind it."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def whole_bomb() -> bytes:
    """All the pixels of a PNG of 30,000², 2.7 GB of zeros in 3 MB: one deflated block again and again."""
    rows = 100
    deflate = zlib.compressobj(9)
    first = deflate.compress(bytes(rows * (3 * SIDE + 1))) + deflate.flush(zlib.Z_FULL_FLUSH)
    block = deflate.compress(bytes(rows * (3 * SIDE + 1))) + deflate.flush(zlib.Z_FULL_FLUSH)
    return png(SIDE, chunk(b"IDAT", first + block * (SIDE // rows - 1) + deflate.flush()))


def bombs() -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each."""
    yield "png header", png(SIDE, chunk(b"IDAT", b""))
    yield "png whole", whole_bomb()
    much = zlib.compress(bytes(300_000_000), 9)
    row = chunk(b"IDAT", zlib.compress(bytes(4)))
    yield "png text", png(1, chunk(b"zTXt", b"a\0\0" + much), row)
    yield "png profile", png(1, chunk(b"iCCP", b"a\0\0" + much), row)
    yield (
        "gif",
        b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x00;",
    )
    yield "bmp", b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, SIDE, SIDE, 1, 24, 0, 0, 0, 0, 0, 0)
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, 65500, 65500, 3) + bytes((1, 17, 0, 2, 17, 0, 3, 17, 0))
    yield "jpeg", b"\xff\xd8" + frame + b"\xff\xda" + struct.pack(">HB", 12, 3) + bytes((1, 0, 2, 0, 3, 0, 0, 63, 0)) + b"\xff\xd9"
    size = (16383 - 1) | (16383 - 1) << 14
    yield "webp", b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8L" + struct.pack("<I", 10) + b"\x2f" + struct.pack("<I", size) + bytes(5)
    tags = ((256, SIDE), (257, SIDE), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, SIDE), (279, 10))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    yield "tiff", b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def cost(data: bytes) -> tuple[str, float, int]:
    """What `read_image` said, its seconds of work, and its peak in bytes."""
    base, start, said = start_mark(), time.process_time(), "read"
    try:
        read_image(data)
    except ImageError as error:
        said = str(error)
    return said, time.process_time() - start, memory("VmHWM") - base


if __name__ == "__main__":
    for format in IMAGE_FORMATS:  # decoders are loaded when first needed
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8)).save(buffer, format=format)
        read_image(buffer.getvalue())
    print(json.dumps({name: cost(data) for name, data in bombs()}))
