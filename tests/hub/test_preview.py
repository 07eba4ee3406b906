"""The preview picture: faces, labels in the layout's colours, and a legend of the classes."""

from __future__ import annotations

import numpy as np
import pytest

from fface_hub.adapters.adapter import Adapter
from fface_hub.generators.triplane import TriplaneGenerator
from fface_hub.hub import preview as module
from fface_hub.hub.preview import LINE, MARGIN, SIDE, preview
from fface_hub.layouts import BASE_15, LabelClass, Layout

TWO = Layout("two", (LabelClass("left", (255, 0, 0)), LabelClass("ö" * 40, (0, 0, 255))))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SIDE", 16)


def test_a_generator_shows_faces_labels_and_classes(tiny_generator: TriplaneGenerator) -> None:
    picture = preview(tiny_generator)
    assert picture is not None and picture.size == (48, 32 + 8 * LINE + 2 * MARGIN)  # 15 classes in two columns: 8 lines
    labels = np.asarray(picture)[16:32]
    assert {tuple(color) for color in labels.reshape(-1, 3).tolist()} <= {item.color for item in BASE_15.classes}
    again = preview(tiny_generator)
    assert again is not None and again.tobytes() == picture.tobytes()


def test_an_adapter_shows_its_own_labels_where_its_generator_is_at_hand(
    tiny_generator: TriplaneGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels = {"feature_channels": tiny_generator.config["plane_channels"], "geometry_channels": 1 + len(tiny_generator.layout)}
    adapter = Adapter(TWO.to_dict(), "heads-triplane", tiny_generator.fingerprint, **channels)
    monkeypatch.setattr(module.Generator, "from_pretrained", lambda id, **options: tiny_generator)
    picture = preview(adapter)
    assert picture is not None and picture.size == (48, 32 + LINE + 2 * MARGIN)
    colors = {tuple(color) for color in np.asarray(picture)[16:32].reshape(-1, 3).tolist()}
    assert colors <= {(255, 0, 0), (0, 0, 255)}

    stranger = Adapter(TWO.to_dict(), "heads-triplane", "ab" * 32, **channels)  # fitted on other weights
    legend = preview(stranger)
    assert legend is not None and legend.size == (48, LINE + 2 * MARGIN)


def test_the_legend_has_every_color_and_bears_any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SIDE", SIDE)
    odd = ("نقاب", "鼻の翼", "<b>", "x" * 40, "🎭")
    classes = tuple(LabelClass(odd[n] if n < len(odd) else f"class {n}", (n, 255 - n, 7)) for n in range(64))
    picture = preview(Adapter(Layout("many", classes).to_dict(), "nowhere", "0" * 64))
    assert picture is not None and picture.size == (3 * SIDE, 32 * LINE + 2 * MARGIN)
    colors = {tuple(color) for color in np.asarray(picture).reshape(-1, 3).tolist()}
    assert {item.color for item in classes} <= colors
