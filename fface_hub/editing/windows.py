"""The part of a picture that an edit can change where the rest of the face is kept: only it has to be rendered again."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from fface_hub.cameras import Camera
from fface_hub.generators.base import Rendering


@dataclasses.dataclass(frozen=True)
class Window:
    """A square of a picture of `size`² pixels: `side`² of them, the first in row `top` and column `left`."""

    top: int
    left: int
    side: int
    size: int

    @staticmethod
    def around(region: Tensor, margin: int) -> Window:
        """The smallest one around `region [h,h]` (bool, not empty) and `margin` pixels on each side, as far as the picture goes."""
        size = region.shape[-1]
        rows, columns = ((int(found.min()), int(found.max()) + 1) for found in region.nonzero().cpu().unbind(1))
        side = min(size, max(rows[1] - rows[0], columns[1] - columns[0]) + 2 * margin)
        top, left = (min(max(0, first - margin), size - side) for first, _ in (rows, columns))
        return Window(top, left, side, size)

    def camera(self, camera: Camera) -> Camera:
        """The one that sees this part of what `camera` sees."""
        return camera.window(self.left / self.size, self.top / self.size, self.side / self.size)

    def put(self, part: Rendering, whole: Rendering) -> Rendering:
        """`whole` with `part` in its place; both without super-resolution."""
        rows, columns = slice(self.top, self.top + self.side), slice(self.left, self.left + self.side)
        pictures = {}
        for field in dataclasses.fields(Rendering):
            pictures[field.name] = getattr(whole, field.name).clone()
            pictures[field.name][..., rows, columns] = getattr(part, field.name)
        return Rendering(**pictures)
