"""One photo of the face that is sought: the picture in the generator's framing, the camera, and what stands behind the head."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from fface_hub.cameras import Camera
from fface_hub.generators.base import Scene
from fface_hub.inversion.align import FaceCrop
from fface_hub.inversion.backdrop import Backdrop, BackdropScene
from fface_hub.inversion.objective import ParsedLabels


@dataclass(frozen=True)
class Look:
    """`image [1,3,S,S]` in [-1, 1]; `camera` (batch 1), the guess or what became of it; `backdrop`, or None for the generator's own
    background; `found`, where the face was cut out, if it was looked for; `parsed`, the labels that a parser read in it, if one did."""

    image: Tensor
    camera: Camera
    backdrop: Backdrop | None = None
    found: FaceCrop | None = None
    parsed: ParsedLabels | None = None

    def before(self, scene: Scene) -> Scene:
        """`scene` before this photo's backdrop."""
        return scene if self.backdrop is None else BackdropScene(scene, self.backdrop)

    def target(self, resolution: int) -> Tensor:
        """The photo at that resolution, `[1,3,h,w]`."""
        return F.interpolate(self.image, (resolution, resolution), mode="area")
