"""What the page grants each visitor, in one table: sizes, seconds, how many at once, and how long anything is remembered.

Modules read these when they need them, so that a host (or a test) can set others before the page is built.
"""

from __future__ import annotations

# ── sizes ──
UPLOAD = "25mb"
"""The largest file that is taken; gradio says so to who sends a larger one. What a picture may unpack to is for `fface_hub.doors`."""
EDITS = 100
"""Edits of one face that can be gone back to; the oldest goes for a newer one."""
LAYOUTS = 12
"""Layouts of a visitor's own that the picker holds; the oldest goes for a newer one."""
LAYOUT_BYTES = 20_000_000
"""The largest file in the zip of a layout, unpacked."""
LOOKED = 12
"""Layouts on the Hub that a search of the gallery looks into: two small files of each are downloaded."""
FACE_SIDE = 512
"""Pixels of a side of the pictures and label maps in a file of painted faces."""
FEWEST_FACES, FACES, MOST_FACES = 3, 10, 30
"""Faces that are proposed for a layout."""
EARLIER = 6
"""Earlier faces of a visit that can be gone back to, each with its edits; the oldest goes for a newer one."""
SESSION_BYTES = 5_000_000
SESSION_UNPACKED = 40_000_000
"""A session file, and all in it together once it is unpacked."""
SCENES = 48
"""Scenes of all visitors' faces together that are kept for the next view, about 20 MB each: a face has one, and one more for each of up to
eight edits. Others are computed anew when looked at."""

# ── how many at once, of all visitors together ──
AT_ONCE = 2
"""Works of each kind: long ones (inversion, edit, video), short ones (drawing, views), previews, and views of a face that is turned. Others
wait, told their place."""
QUEUE = 32
"""Visitors' wishes that may wait; who comes then is asked to try again."""

# ── seconds of a GPU that is lent for a call (ZeroGPU; nothing is counted elsewhere) ──
GPU_START, GPU_STEP, GPU_PICTURE, GPU_MESH, GPU_FIT = 20.0, 0.3, 1.5, 20.0, 60.0
"""What work asks for: for its beginning, a step of an inversion or an edit, a picture of a film, a mesh, and the fits of a layout."""

# ── how long anything is remembered, in seconds ──
STATE_LIFETIME = 3600
"""A visitor's face and photo in memory, after their last click."""
GRACE = 300.0
"""The same after they closed the page: a connection that broke, or a computer that slept, comes back."""
CACHE_EVERY, CACHE_AGE = 600, 3600
"""How often gradio deletes files, and how old those are."""
FILE_LIFETIME = 5400.0
"""A file on the disk after it was last handed out: longer than `CACHE_AGE`, since gradio loses count of files that others remove."""
SWEEP_EVERY = 60.0
"""Between two looks for older files."""
