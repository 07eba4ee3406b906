"""The one place that imports the ray caster: it is part of the extra `heads`, and the library imports without it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from fface_hub.errors import ModelError
from fface_hub.heads.surface import Surface

if TYPE_CHECKING:
    from embreex.rtcore_scene import EmbreeScene


def embree_scene(surfaces: Iterable[Surface]) -> EmbreeScene:
    """An Embree scene whose geometry number `i` is surface `i`; `ModelError` if the package is missing."""
    try:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene
    except ImportError as error:
        message = "Rendered heads need the package 'embreex': install the 'heads' extra (pip install fface-hub[heads])."
        raise ModelError(message) from error
    scene = EmbreeScene()
    for surface in surfaces:
        TriangleMesh(scene, np.ascontiguousarray(surface.vertices, np.float32), np.ascontiguousarray(surface.faces, np.int32))
    return scene
