"""How the page looks: warm greys, one teal, a font that comes with gradio (a font service would be an outside request), light and dark."""

from __future__ import annotations

from gradio.themes import Base
from gradio.themes.utils import colors, sizes
from gradio.themes.utils.fonts import LocalFont

FONT = LocalFont("IBM Plex Sans", weights=(400, 700))  # gradio's files of weight 600 lack most letters
# Asked for at once, not when the styles are read: text that is set in another font first would jump.
HEAD = "".join(
    f'<link rel="preload" href="static/fonts/IBMPlexSans/IBMPlexSans-{weight}.woff2" as="font" type="font/woff2" crossorigin>'
    for weight in ("Regular", "Bold")
)
ACCENT = {"light": "#0f766e", "dark": "#2dd4bf"}
"""Both stand 4.5 : 1 and more against the surfaces that they lie on, with white and with dark text."""


def theme() -> Base:
    """The theme for `launch`."""
    look = Base(
        primary_hue=colors.teal,
        neutral_hue=colors.stone,
        radius_size=sizes.radius_md,
        spacing_size=sizes.spacing_md,
        text_size=sizes.text_md,
        font=[FONT, "system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    return look.set(
        body_background_fill="#f5f4f1",
        body_background_fill_dark="#171614",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#211f1d",
        background_fill_secondary="#eceae5",
        background_fill_secondary_dark="#2b2926",
        block_background_fill="#ffffff",
        block_background_fill_dark="#211f1d",
        block_border_width="0px",
        block_shadow="none",
        block_label_background_fill="#ffffff",
        block_label_background_fill_dark="#211f1d",
        block_label_text_color="#57534e",
        block_label_text_color_dark="#d6d3d1",
        block_title_text_color="#44403c",
        block_title_text_color_dark="#e7e5e4",
        border_color_primary="#dcd8d0",
        border_color_primary_dark="#45413c",
        body_text_color="#1c1917",
        body_text_color_dark="#f0eeeb",
        body_text_color_subdued="#57534e",
        body_text_color_subdued_dark="#b8b3ad",
        color_accent=ACCENT["light"],
        color_accent_soft="#d5efeb",
        color_accent_soft_dark="#143f3b",
        button_primary_background_fill=ACCENT["light"],
        button_primary_background_fill_hover="#115e59",
        button_primary_text_color="#ffffff",
        button_primary_background_fill_dark=ACCENT["dark"],
        button_primary_background_fill_hover_dark="#5eead4",
        button_primary_text_color_dark="#0b2b28",
        button_secondary_background_fill="#ffffff",
        button_secondary_background_fill_dark="#2b2926",
        button_secondary_border_color="#dcd8d0",
        button_secondary_border_color_dark="#45413c",
        button_border_width="1px",
        button_secondary_border_color_hover=ACCENT["light"],
        button_secondary_border_color_hover_dark=ACCENT["dark"],
        input_border_width="1px",
        input_border_color="#dcd8d0",
        input_border_color_dark="#45413c",
        input_background_fill="#ffffff",
        input_background_fill_dark="#2b2926",
        slider_color=ACCENT["light"],
        slider_color_dark=ACCENT["dark"],
    )
