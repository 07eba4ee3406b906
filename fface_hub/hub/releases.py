"""The official releases whose weights can be converted: what a card has to say of their origin and licence."""

from __future__ import annotations

from dataclasses import dataclass

NON_COMMERCIAL = "The licence that NVIDIA published EG3D under allows non-commercial use only, and binds everything derived from it."


@dataclass(frozen=True)
class Release:
    """`title` in words; for the Hub, `license_name` and `license_link`; then sentences on the licence, on how the model was `made` and on
    its `limits`."""

    title: str
    license_name: str
    license_link: str | None
    license: str
    made: str
    limits: str


EG3D_LINK = "https://github.com/NVlabs/eg3d/blob/main/LICENSE.txt"
RELEASES = {
    "eg3d": Release(
        "EG3D",
        "nvidia-eg3d-non-commercial",
        EG3D_LINK,
        f"NVIDIA's for EG3D ({EG3D_LINK}), not the one of this library. {NON_COMMERCIAL} Whoever shares these weights must pass that "
        "licence on with them.",
        "Trained by NVIDIA and Stanford University on photographs (EG3D, arXiv:2112.07945), and converted.",
        "- It shows faces as its training photographs do, with their biases.",
    ),
    "nerffaceediting": Release(
        "NeRFFaceEditing",
        "none-stated",
        None,
        f"NeRFFaceEditing's release states no usable licence, and it was trained from EG3D's weights. {NON_COMMERCIAL} Ask the authors "
        "before you share these weights.",
        "Trained by the authors of NeRFFaceEditing (arXiv:2211.07968) from EG3D's weights, and converted.",
        "- It shows faces as its training photographs do, with their biases; its labels come from an automatic face parser.",
    ),
    "ffacenerf": Release(
        "FFaceNeRF",
        "none-stated",
        None,
        f"FFaceNeRF's release states no usable licence, and it builds on NeRFFaceEditing and EG3D. {NON_COMMERCIAL} Ask the authors "
        "before you share these weights.",
        "From a checkpoint of FFaceNeRF (arXiv:2503.17095): NeRFFaceEditing's generator and an adapter that was fitted on it, converted.",
        "- It shows faces as its training photographs do, with their biases; its labels come from an automatic face parser and from a few "
        "painted faces.",
    ),
}
"""By the names that configs use (`fface_hub.schema.RELEASES`)."""
