"""Face parsing: the labels of a picture, by a SegFormer from the Hub. Optional: `pip install 'fface-hub[parse]'`. And by our own."""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from fface_hub.errors import ModelError
from fface_hub.layouts import BASE_15
from fface_hub.sources import is_bundled_name
from fface_hub.trunks import PARSER as PARSER_OF_HEADS
from fface_hub.trunks import TRAINED_SIDE, ParserNet

PARSER = "jonathandinu/face-parsing"
NAMES = {
    "background": ("background",),
    "skin": ("skin",),
    "brow": ("l_brow", "r_brow"),
    "eye": ("l_eye", "r_eye"),
    "glasses": ("eye_g",),
    "ear": ("l_ear", "r_ear"),
    "earring": ("ear_r",),
    "nose": ("nose",),
    "mouth": ("mouth",),
    "lips": ("u_lip", "l_lip"),
    "neck": ("neck",),
    "necklace": ("neck_l",),
    "cloth": ("cloth",),
    "hair": ("hair",),
    "hat": ("hat",),
}
"""CelebAMask-HQ's names of what the classes of base-15 are made of. The order of a parser's classes has changed before; names have not."""
SIDE = 512
"""Pictures are parsed at this size, which CelebAMask-HQ's parsers were trained at."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, of colours in [0, 1]."""


class Parser(Protocol):
    """Pictures `[B,3,H,W]` in [-1, 1] → labels `[B,H,W]` in base-15."""

    def __call__(self, image: Tensor) -> Tensor: ...


def load_parser(id: str = PARSER, device: torch.device | str = "cpu") -> Parser:
    """The SegFormer `id` from the Hub (`org/name` or `org/name@revision`), its weights as safetensors, without code of its own; or the
    bundled `heads-parser`, which needs no network and no extra, but learnt from rendered heads only.

    Raises `ModelError` if the extra is not installed, the model cannot be had, or its classes are not those of CelebAMask-HQ.
    """
    if is_bundled_name(id):
        return _HeadsParser(ParserNet.from_pretrained(id, device=device))
    try:
        from transformers import SegformerForSemanticSegmentation  # pyright: ignore[reportMissingImports]  # an optional extra
    except ImportError as error:
        raise ModelError(
            f"Face parsing needs a package that is not installed: pip install 'fface-hub[parse]', or choose {PARSER_OF_HEADS}."
        ) from error
    name, _, revision = id.partition("@")
    try:
        network = SegformerForSemanticSegmentation.from_pretrained(name, revision=revision or "main", use_safetensors=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"The face parser '{id[:80]}' cannot be loaded: check the name and the network, or give another.") from error
    return _SegFormer(network.to(device).eval().requires_grad_(False), class_table(network.config.id2label))


def class_table(names: dict[int, str]) -> Tensor:
    """Lookup table int64 `[N]`, by the parser's names of its classes: id there → id in base-15. `ModelError` for a name that is unknown."""
    ids = {part: number for number, name in enumerate(BASE_15.names) for part in NAMES[name]}
    unknown = [name for name in names.values() if name not in ids]
    if unknown or sorted(names) != list(range(len(names))):
        raise ModelError(f"The face parser has classes that are not CelebAMask-HQ's ('{str((unknown or names)[0])[:40]}'): choose another.")
    return torch.tensor([ids[names[number]] for number in range(len(names))])


class _HeadsParser:
    """Our own network, which looks at the size that it was trained at, and at the mirror image, too."""

    def __init__(self, network: ParserNet) -> None:
        self.network = network
        self.merge = F.one_hot(network.layout.table_to(BASE_15), len(BASE_15)).float()

    @torch.no_grad()
    def __call__(self, image: Tensor) -> Tensor:
        device = next(self.network.parameters()).device
        small = F.interpolate(image.to(device), (TRAINED_SIDE, TRAINED_SIDE), mode="bilinear", antialias=True, align_corners=False)
        logits = self.network(small) + self.network(small.flip(3)).flip(3)
        chances = torch.einsum("bkhw,kc->bchw", logits.softmax(1), self.merge.to(device))
        return F.interpolate(chances, image.shape[2:], mode="bilinear", align_corners=False).argmax(1).cpu()


class _SegFormer:
    """A network of the Hub, on pictures of this program."""

    def __init__(self, network: Any, table: Tensor) -> None:
        self.network, self.table = network, table

    @torch.no_grad()
    def __call__(self, image: Tensor) -> Tensor:
        height, width = image.shape[2:]
        device = next(self.network.parameters()).device
        mean, deviation = (torch.tensor(x, device=device)[:, None, None] for x in (MEAN, DEVIATION))
        large = F.interpolate(image.to(device), (SIDE, SIDE), mode="bicubic", antialias=True, align_corners=False)
        logits = self.network(pixel_values=((large.clamp(-1, 1) + 1) / 2 - mean) / deviation).logits
        classes = F.interpolate(logits, (height, width), mode="bilinear", align_corners=False).argmax(1)
        return self.table[classes.cpu()]
