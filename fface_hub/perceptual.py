"""How different two pictures look: LPIPS, on either of two trunks.

Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric": features of both pictures at several depths,
each brought to length 1 over its channels; squared differences, weighed per channel, averaged over the picture, summed over depths.

`heads-parser` is the bundled trunk: a network that learnt to label rendered heads, and that no method here was trained with. Its channels
weigh alike. `vgg16` is what the literature reports: weights of ImageNet from the Hub, and channel weights that were fitted to people's
judgements, from the files of the package `lpips`, which need not be importable. Figures on different trunks do not compare: each
`Perceptual` has a `name`, which reports must tell.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import torch
from huggingface_hub import try_to_load_from_cache
from safetensors.torch import load_file
from torch import Tensor, nn

from fface_hub.errors import ModelError
from fface_hub.trunks import PARSER, ParserNet, Vgg16

VGG = "vgg16"
VGG_WEIGHTS = ("timm/vgg16.tv_in1k", "model.safetensors")
CHANNEL_WEIGHTS = Path("weights", "v0.1", "vgg.pth")
"""In the folder of the package `lpips`."""
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""ImageNet's mean and deviation of colours, for pictures in [-1, 1]."""
TINY = 1e-10


class Perceptual(nn.Module):
    """LPIPS on a frozen trunk; call it with two batches for one number, or ask for `distances`."""

    def __init__(self, name: str, trunk: ParserNet | Vgg16, channel_weights: list[Tensor]) -> None:
        super().__init__()
        self.name = name
        self.trunk = trunk.eval().requires_grad_(False)
        self.shift: Tensor
        self.scale: Tensor
        imagenet = isinstance(trunk, Vgg16)
        self.register_buffer("shift", torch.tensor(SHIFT if imagenet else (0.0, 0.0, 0.0))[:, None, None])
        self.register_buffer("scale", torch.tensor(SCALE if imagenet else (1.0, 1.0, 1.0))[:, None, None])
        self.channel_weights = nn.ParameterList([nn.Parameter(w.detach().reshape(-1, 1, 1).float(), False) for w in channel_weights])

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        """Mean of the `distances`."""
        return self.distances(image, target).mean()

    def distances(self, image: Tensor, target: Tensor) -> Tensor:
        """One number `[B]` for each pair of pictures `[B,3,H,W]` in [-1, 1], at least 16 pixels wide; 0 for equal ones. Differentiable."""
        pairs = zip(self._features(image), self._features(target), self.channel_weights, strict=True)
        layers = [(weights * (ours - theirs).square()).sum(1).mean(dim=(1, 2)) for ours, theirs, weights in pairs]
        return torch.stack(layers).sum(0)

    def _features(self, image: Tensor) -> list[Tensor]:
        """Features of length 1 at every place, `[B,C,h,w]` for each depth."""
        x = (image - self.shift) / self.scale
        found = self.trunk.features(x) if isinstance(self.trunk, ParserNet) else self.trunk(x)
        return [f / (f.square().sum(dim=1, keepdim=True).sqrt() + TINY) for f in found]


def load_perceptual(name: str = PARSER, device: torch.device | str = "cpu") -> Perceptual:
    """LPIPS on `vgg16`, or on a parser: `heads-parser` is bundled. Nothing ever stands in for another silently.

    Raises `ModelError` for what is no parser, and for `vgg16` unless its weights are in the local Hub cache (`hf download
    timm/vgg16.tv_in1k`) and the package `lpips` is installed (`pip install --no-deps lpips`; its other requirements are not needed).
    """
    if name != VGG:
        trunk = ParserNet.from_pretrained(name)
        channels = trunk.config["channels"]
        # Between two features of length 1, none negative, the sum of squares is at most 2; so the mean over depths is at most 2, too.
        return Perceptual(name, trunk, [torch.full((count,), 1 / len(channels)) for count in channels]).to(device)
    weights = try_to_load_from_cache(*VGG_WEIGHTS)
    if not isinstance(weights, str):
        raise ModelError(f"The weights of VGG-16 are not here: get them once with 'hf download {VGG_WEIGHTS[0]}', or use {PARSER}.")
    return vgg_perceptual(load_file(weights), _package_folder()).to(device)


def vgg_perceptual(weights: dict[str, Tensor], package: Path) -> Perceptual:
    """LPIPS on VGG-16 with the published `weights` (keys `features.*`) and the channel weights in the folder of the package `lpips`.

    Raises `ModelError` for files that are not those.
    """
    trunk = Vgg16()
    wanted = trunk.state_dict()
    state = {key.replace("features.", "layers.", 1): value for key, value in weights.items() if key.startswith("features.")}
    if {key: value.shape for key, value in state.items()} != {key: value.shape for key, value in wanted.items()}:
        raise ModelError("The file of VGG-16 does not hold its thirteen convolutions: download it again.")
    trunk.load_state_dict(state)
    try:
        # Looked up by name: the hub package, which has the reader of files that torch saved, stands on a higher level than this module.
        saved = importlib.import_module("fface_hub.hub.saved").load_saved(package / CHANNEL_WEIGHTS)
        found = dict(saved.arguments[0])  # an ordered dictionary, of which the reader keeps what it would be made of: its pairs
        vectors = [found[f"lin{index}.model.1.weight"].tensor() for index in range(5)]
    except (ModelError, OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            "The package 'lpips' does not hold its channel weights: install it again (pip install --no-deps lpips)."
        ) from error
    return Perceptual(VGG, trunk, vectors)


def _package_folder() -> Path:
    """Where the package `lpips` lies; it is not imported, since that needs torchvision."""
    found = importlib.util.find_spec("lpips")
    if found is None or not found.submodule_search_locations:
        raise ModelError("The channel weights of LPIPS are not here: install them with 'pip install --no-deps lpips'.")
    return Path(next(iter(found.submodule_search_locations)))
