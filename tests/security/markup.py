"""Names that are markup: what the page would run or draw if it took text for HTML or Markdown."""

from __future__ import annotations

from fface_hub.layouts import LabelClass, Layout

# Each would change the title of the page. A name has at most forty characters.
CLASSES = (
    "<script>document.title='h4'</script>",
    "<img src=x onerror=document.title='h4'>",
    "<svg onload=document.title='h4'>",
    "</style><b>bold</b>",
    "![x](//h/x) **bold** &lt;b&gt;",
)
LAYOUT = "<img src=x onerror=document.title='h5'>"
ERROR = f"The adapter for layout '{LAYOUT}' does not fit this generator & is refused: choose <b>another</b>."


def hostile_layout() -> Layout:
    """A layout of such names; the rules for names allow it."""
    names = ("background", *CLASSES)
    return Layout(LAYOUT, tuple(LabelClass(name, (40 * number, 9, 9)) for number, name in enumerate(names)))
