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
    def around(region: Tensor, margin: int, least: int = 0) -> Window:
        """The smallest one around `region [h,h]` (bool, not empty) and `margin` pixels on each side, but `least` pixels wide, as far as the
        picture goes."""
        size = region.shape[-1]
        spans = [(int(line.min()), int(line.max()) + 1) for line in region.nonzero().cpu().unbind(1)]
        side = min(size, max(least, *(last - first + 2 * margin for first, last in spans)))
        top, left = (min(max(0, (first + last - side) // 2), size - side) for first, last in spans)
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
