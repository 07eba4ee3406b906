"""The painting canvas in a browser, without a server: every tool against maps computed by hand, and nothing lost on any way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from space.canvas import FOLDER, SCRIPTS, read
from space.page import build
from tests.browser import needs_chromium
from tests.space.canvas_page import CLASSES, Canvas, encode

pytestmark = needs_chromium
SKIN, NOSE, ODD = 1, 2, 3


@pytest.fixture
def canvas(tab: Any) -> Canvas:
    """An 8 × 8 map of skin, with the nose chosen and a brush of one pixel."""
    canvas = Canvas(tab)
    canvas.give(np.full((8, 8), SKIN))
    canvas.choose("nose")
    canvas.size(1)
    return canvas


def drawn(picture: str) -> np.ndarray:
    """A map from a picture: dots are skin, digits are classes."""
    return np.array([[SKIN if letter == "." else int(letter) for letter in line] for line in picture.split()])


def same(canvas: Canvas, picture: str) -> None:
    assert np.array_equal(canvas.ids, drawn(picture)), f"\n{canvas.ids}"


def test_no_file_of_the_canvas_is_a_template_or_writes_markup() -> None:
    """gradio reads HTML and CSS as templates, in which a doubled brace or `${` would run what a value brings."""
    templates = [*FOLDER.glob("*.html"), *FOLDER.glob("*.css")]
    assert len(templates) > 12
    for path in templates:
        assert not any(sign in path.read_text() for sign in ("{{", "}}", "${", "`", "\\")), path.name
    script = read(*SCRIPTS, "history.js", "viewer.js")
    assert not any(way in script for way in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "Function("))
    assert "getImageData" not in script and "toDataURL" not in script  # ids never come from colours


def test_what_is_told_apart_by_its_name_has_one_of_its_own() -> None:
    names = [str(block.elem_id) for block in build().blocks.values() if getattr(block, "elem_id", None)]
    assert len(names) > 50 and len(set(names)) == len(names), sorted(name for name in set(names) if names.count(name) > 1)


def test_on_a_phone_half_a_row_says_that_more_classes_follow(canvas: Canvas) -> None:
    canvas.page.set_viewport_size({"width": 390, "height": 900})
    canvas.give(np.full((8, 8), SKIN), classes=[{**CLASSES[0], "name": f"class {number}"} for number in range(15)])
    seen = canvas.page.evaluate("""() => {
        const end = document.querySelector(".classes").getBoundingClientRect().bottom;
        const rows = [...document.querySelectorAll(".classes button")].map((row) => row.getBoundingClientRect());
        return rows.map((box) => (end - box.top) / box.height);
    }""")
    canvas.page.set_viewport_size({"width": 900, "height": 900})
    assert sum(0.3 < part < 0.7 for part in seen) == 2  # one in each column


def test_brushes_cover_the_pixels_whose_centres_they_reach(canvas: Canvas) -> None:
    # Radius 1 around the corner (2, 2): centres at .71. Radius 2 around (5, 5): .71 and 1.58, not 2.12.
    canvas.size(2)
    canvas.drag((2.1, 1.9))
    canvas.size(4)
    canvas.drag((4.9, 5.2))
    same(canvas, "........ .22..... .22..... ....22.. ...2222. ...2222. ....22.. ........")


def test_a_stroke_covers_its_way(canvas: Canvas) -> None:
    canvas.drag((0.5, 0.5), (0.5, 4.5), (6.5, 4.5))
    same(canvas, "2....... 2....... 2....... 2....... 2222222. ........ ........ ........")


def test_the_eraser_brings_back_what_was_there(canvas: Canvas) -> None:
    ids = np.arange(64).reshape(8, 8) % 4
    canvas.give(ids)
    canvas.size(64)
    canvas.drag((4, 4))
    assert (canvas.ids == NOSE).all()
    canvas.press("Eraser")
    canvas.size(1)
    canvas.drag((0.5, 3.5), (7.5, 3.5))
    assert np.array_equal(canvas.ids[3], ids[3]) and (np.delete(canvas.ids, 3, axis=0) == NOSE).all()


def test_lasso_fills_what_it_goes_around(canvas: Canvas) -> None:
    canvas.press("Lasso")
    canvas.drag((1, 1), (6, 1), (6, 4), (1, 4))
    same(canvas, "........ .22222.. .22222.. .22222.. ........ ........ ........ ........")
    canvas.press("Undo")
    canvas.drag((0.1, 0.1), (7.9, 7.9), (7.9, 0.1), (0.1, 7.9))  # a bow tie: both halves
    assert (canvas.ids[4, [0, 1, 6, 7]] == NOSE).all()
    assert canvas.ids[0, 4] == canvas.ids[7, 4] == SKIN


def test_sketches_are_closed_and_smoothed(tab: Any) -> None:
    canvas = Canvas(tab)
    canvas.give(np.full((64, 64), SKIN))
    canvas.choose("nose")
    canvas.press("Sketch")
    angles = np.linspace(0, 1.8 * np.pi, 60)  # a circle of radius 20 with a tremor of 1.5, not quite closed
    canvas.drag(*((32 + (20 + 1.5 * (-1) ** k) * np.cos(a), 32 + (20 + 1.5 * (-1) ** k) * np.sin(a)) for k, a in enumerate(angles)))
    rows, columns = np.mgrid[:64, :64] + 0.5
    distance = np.hypot(rows - 32, columns - 32)
    gap = (np.arctan2(rows - 32, columns - 32) % (2 * np.pi)) > 1.7 * np.pi
    assert (canvas.ids[distance < 18.5][~gap[distance < 18.5]] == NOSE).all() and (canvas.ids[distance > 21] == SKIN).all()


def test_fill_takes_a_whole_patch_and_no_more(canvas: Canvas) -> None:
    wall = drawn("...3.... ...3.... ...3.... 3333.... ....3333 ........ ........ ........")
    canvas.give(wall)
    canvas.choose("nose")
    canvas.press("Fill")
    canvas.drag((0.5, 0.5))
    same(canvas, "2223.... 2223.... 2223.... 3333.... ....3333 ........ ........ ........")


def test_the_mirror_paints_on_both_sides(canvas: Canvas) -> None:
    canvas.press("Mirror")
    canvas.drag((0.5, 1.5), (2.5, 1.5))
    canvas.size(2)
    canvas.drag((1, 5))
    same(canvas, "........ 222..222 ........ ........ 22....22 22....22 ........ ........")


def test_alt_picks_and_numbers_choose(canvas: Canvas) -> None:
    canvas.give(drawn("3....... ........ ........ ........ ........ ........ ........ ........"))

    def chosen() -> str:
        return canvas.page.locator("[role=radio][aria-checked=true] span").inner_text()

    canvas.page.keyboard.down("Alt")
    canvas.drag((0.5, 0.5))
    canvas.page.keyboard.up("Alt")
    assert chosen() == "<b>bold</b>" and canvas.page.locator(".classes b").count() == 0
    canvas.page.keyboard.press("1")
    assert chosen() == "skin"
    assert canvas.value["revision"] == 0  # nothing was painted by that


def test_sizes_step_by_brackets(canvas: Canvas) -> None:
    canvas.drag((0.5, 0.5))
    canvas.size(8)
    for key, size in (("]", "10"), ("]", "12"), ("[", "10")):
        canvas.page.keyboard.press(key)
        assert canvas.page.locator("[data-show=diameter]").inner_text() == size


def test_sixty_strokes_are_undone_and_redone_one_by_one(tab: Any) -> None:
    canvas = Canvas(tab)
    start = np.random.default_rng(0).integers(0, 4, (128, 128))
    canvas.give(start)
    states = [canvas.ids]
    for k in range(60):
        canvas.page.keyboard.press(str(k % 4)) if k else canvas.choose("nose")
        canvas.size(1 + k % 30)
        canvas.drag((k * 2, 10), (k * 2 + 5, 90))
        states.append(canvas.ids)
    assert len({state.tobytes() for state in states}) == 61
    for state in reversed(states[:-1]):
        canvas.page.keyboard.press("Control+z")
        assert np.array_equal(canvas.ids, state)
    assert np.array_equal(canvas.ids, start)
    for _ in states[1:]:
        canvas.page.keyboard.press("Control+Shift+Z")
    assert np.array_equal(canvas.ids, states[-1])
    canvas.press("Clear")
    assert np.array_equal(canvas.ids, start)
    canvas.press("Undo")
    assert np.array_equal(canvas.ids, states[-1])


@pytest.mark.parametrize("size", [128, 256, 512])
def test_a_map_comes_back_as_it_went(tab: Any, size: int) -> None:
    canvas = Canvas(tab)
    ids = np.random.default_rng(size).integers(0, 64, (size, size))
    canvas.give(ids, classes=[{"name": f"class {k}", "color": [k, k, 255 - k]} for k in range(64)])
    for name in ("Patterns", "Changes only"):
        canvas.press(name)
    assert (canvas.ids != ids).sum() == 0


def test_zoomed_in_strokes_land_where_the_pointer_is(canvas: Canvas) -> None:
    """At 1.5² times, the map's middle stays in the middle, and everything is 2.25 times as far from it."""
    canvas.page.get_by_label("Zoom in").click()
    canvas.page.get_by_label("Zoom in").click()
    canvas.drag((4 + 2.25 * 1.5, 4 + 2.25 * 0.5))  # is the point (5.5, 4.5)
    same(canvas, "........ ........ ........ ........ .....2.. ........ ........ ........")
    canvas.page.keyboard.down(" ")
    canvas.drag((4, 4), (4 - 2.25, 4))  # moves the map by one pixel to the left
    canvas.page.keyboard.up(" ")
    canvas.drag((4 + 2.25 * 0.5, 4 + 2.25 * 0.5))  # is (4.5 + 1, 4.5) now
    assert canvas.value["revision"] == 1
    canvas.drag((4 + 2.25 * 0.5, 4 - 2.25 * 0.5))
    same(canvas, "........ ........ ........ .....2.. .....2.. ........ ........ ........")


def test_the_wheel_zooms_and_the_page_scrolls_when_it_cannot(canvas: Canvas) -> None:
    canvas.page.mouse.move(*canvas.place(4, 4))
    canvas.wheel(-200)
    canvas.wheel(-200)
    canvas.drag((4 + 2.6 * 0.5, 4 + 2.6 * 0.5))
    same(canvas, "........ ........ ........ ........ ....2... ........ ........ ........")
    canvas.drag((7.9, 7.9))  # would be (7.5, 7.5), were it not zoomed in
    assert canvas.ids[7, 7] == SKIN


def test_everything_can_be_done_by_keys(canvas: Canvas) -> None:
    board = canvas.page.locator(".board")
    board.focus()
    board.press("ArrowRight")  # to the middle
    board.press("Enter")
    board.press("ArrowLeft")
    board.press("ArrowUp")
    board.press("Enter")
    same(canvas, "........ ........ ........ ...2.... ...22... ........ ........ ........")
    board.press("Enter")
    board.press("Shift+ArrowRight")
    board.press("Escape")
    assert (canvas.ids == NOSE).sum() == 3 and canvas.value["revision"] == 1
    unnamed = canvas.page.evaluate(
        """() => [...document.querySelectorAll("button, input, canvas[tabindex]")]
            .filter(part => !(part.getAttribute("aria-label") || part.innerText.trim() || part.closest("label"))).length"""
    )
    assert unnamed == 0


def test_patterns_tell_two_dozen_classes_apart_without_their_colours(canvas: Canvas) -> None:
    alike = [{"name": f"c{id}", "color": [128] * 3, "within": [f"c{id}"]} for id in range(22)]
    canvas.give(np.full((8, 8), SKIN), id="grey", classes=alike)
    looks = "[...document.querySelectorAll('.classes canvas')].map(chip => chip.getContext('2d').getImageData(0, 0, 32, 32).data.join())"
    assert len(set(canvas.page.evaluate(looks))) == 1
    canvas.page.keyboard.press("p")
    assert len(set(canvas.page.evaluate(looks))) == 22


def test_comparing_shows_the_original_and_changes_nothing(canvas: Canvas) -> None:
    canvas.drag((0.5, 0.5))
    before = canvas.value
    shown = canvas.page.locator(".board").screenshot()
    canvas.page.keyboard.down("c")
    canvas.page.wait_for_timeout(100)
    assert canvas.page.locator(".board").screenshot() != shown
    canvas.page.keyboard.up("c")
    assert canvas.value == before


def test_two_fingers_zoom_and_paint_nothing(canvas: Canvas) -> None:
    (x, y), (far_x, far_y) = canvas.place(4, 4), canvas.place(6, 6)
    session = canvas.page.context.new_cdp_session(canvas.page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        places = [{"x": px, "y": py, "id": number} for number, (px, py) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    touch("touchStart", (x, y))
    touch("touchMove", (x + 3, y))
    touch("touchStart", (x + 3, y), (far_x, far_y))
    touch("touchMove", (x - 60, y - 60), (far_x + 60, far_y + 60))
    touch("touchEnd")
    assert canvas.value["revision"] == 0 and (canvas.ids == SKIN).all()
    touch("touchStart", (x, y))
    touch("touchEnd")
    assert (canvas.ids == NOSE).sum() == 1


def test_the_server_hears_of_a_stroke_a_moment_later_and_once(canvas: Canvas) -> None:
    canvas.page.evaluate(
        """places => {
            const board = document.querySelector(".board");
            board.setPointerCapture = () => {};
            for (const [clientX, clientY] of places)  // three strokes at once
                for (const name of ["pointerdown", "pointerup"]) board.dispatchEvent(new PointerEvent(name, { clientX, clientY }));
        }""",
        [canvas.place(k + 0.5, 0.5) for k in range(3)],
    )
    assert canvas.value["revision"] == 3 and canvas.page.evaluate("events") == []
    canvas.page.wait_for_function("events.length > 0")
    canvas.page.wait_for_timeout(500)
    assert canvas.page.evaluate("events") == ["input"]


def test_strokes_made_while_an_edit_runs_are_on_the_new_face(canvas: Canvas) -> None:
    canvas.drag((0.5, 0.5))
    sent = canvas.value["revision"]
    canvas.drag((7.5, 7.5))
    edited = np.full((8, 8), SKIN)
    edited[0, :2] = NOSE
    canvas.give(edited, id="second", keep=sent)
    expected = edited.copy()
    expected[7, 7] = NOSE
    assert np.array_equal(canvas.ids, expected) and canvas.value["id"] == "second"
    canvas.press("Undo")
    assert np.array_equal(canvas.ids, edited)
    canvas.give(np.full((8, 8), ODD), id="third")  # another face: nothing stays
    assert (canvas.ids == ODD).all()


def test_a_sheet_that_comes_twice_changes_nothing_the_second_time(canvas: Canvas) -> None:
    """As gradio delivers the last one of a stream."""
    canvas.drag((0.5, 0.5))
    sent = canvas.value["revision"]
    canvas.drag((7.5, 7.5))
    for _ in range(2):
        canvas.give(np.full((8, 8), SKIN), id="second", serial="same", keep=sent)
        assert canvas.ids[7, 7] == NOSE and (canvas.ids == NOSE).sum() == 1 and canvas.value["id"] == "second"
    canvas.drag((4.5, 4.5))
    canvas.give(np.full((8, 8), SKIN), id="second", serial="same", keep=sent)
    assert canvas.value["revision"] == 2 and (canvas.ids == NOSE).sum() == 2
    canvas.press("Undo")
    canvas.press("Undo")
    assert (canvas.ids == SKIN).all()


def test_strokes_stay_in_another_layout_where_it_has_their_class(canvas: Canvas) -> None:
    canvas.drag((0.5, 0.5))
    canvas.choose("bold")
    canvas.drag((7.5, 7.5))
    canvas.give(np.zeros((8, 8), int), id="other", keep=0, classes=[CLASSES[0], CLASSES[2]])
    expected = np.zeros((8, 8), int)
    expected[0, 0] = 1  # the nose
    assert np.array_equal(canvas.ids, expected)


def test_strokes_go_to_what_their_class_is_a_part_of(canvas: Canvas) -> None:
    parts = [*CLASSES[:3], {"name": "wing", "color": [9, 9, 9], "within": ["wing", "ala", "nose", "skin"]}]
    canvas.give(np.zeros((8, 8), int), id="parts", classes=parts)
    canvas.choose("wing")
    canvas.drag((0.5, 0.5))
    canvas.page.wait_for_function("events.length === 1")
    canvas.give(np.zeros((8, 8), int), id="whole", keep=0, classes=CLASSES)
    assert canvas.ids[0, 0] == NOSE and canvas.ids.sum() == NOSE
    canvas.page.wait_for_function("events.length === 2")  # the server hears of what became of them


def test_many_strokes_stay_in_another_layout(canvas: Canvas) -> None:
    for number in range(70):
        canvas.drag((number % 8 + 0.5, number // 8 % 8 + 0.5))
    assert canvas.value["revision"] == 64
    canvas.press("Undo")
    painted = canvas.ids.copy()
    canvas.give(np.full((8, 8), SKIN), id="other", keep=0)
    assert np.array_equal(canvas.ids, painted) and (painted == NOSE).sum() == 63


def test_undo_works_while_a_box_has_the_focus(canvas: Canvas) -> None:
    canvas.drag((0.5, 0.5))
    canvas.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<input type=checkbox id=box><input id=text>')")
    canvas.page.locator("#text").press("Control+z")
    assert (canvas.ids == NOSE).any()
    canvas.page.locator("#box").press("Control+z")
    assert not (canvas.ids == NOSE).any()


def test_what_was_painted_before_can_be_given_back(canvas: Canvas) -> None:
    before, target = np.full((8, 8), SKIN), np.full((8, 8), SKIN)
    target[2:4] = NOSE
    canvas.give(before, id="again", painted=encode(target))
    assert np.array_equal(canvas.ids, target) and "16 of 64 pixels" in canvas.page.locator(".told").inner_text()
    canvas.press("Undo")
    assert np.array_equal(canvas.ids, before)
