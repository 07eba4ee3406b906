"""The New layout tab, read from top to bottom: classes, faces to paint, the fit, and what to do with the layout."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import gradio as gr

from space import layout_results, layouts, limits, models, painted_faces
from space.canvas import class_list, face_strip, painting_canvas
from space.wiring import LONG, SHORT, Wiring, click

HOW = (
    "Start from a layout that is there and split its classes, or name your own. Paint a few faces: every one begins with the labels that "
    "are known, from the third on with what the first ones have taught."
)


def build() -> SimpleNamespace:
    """All controls of the tab."""
    with gr.Column(elem_classes="card"):
        naming = _class_controls()
    with gr.Row(equal_height=False):
        with gr.Column(scale=8, min_width=320, elem_classes="card"):
            painting = _paint_controls()
        with gr.Column(scale=5, min_width=300, elem_classes="card"):
            fitting = _fit_controls()
    with gr.Column(elem_classes="card"):
        sharing = _share_controls()
    return SimpleNamespace(**vars(naming), **vars(painting), **vars(fitting), **vars(sharing))


def _class_controls() -> SimpleNamespace:
    """What is to be told apart."""
    gr.Markdown(f"### 1 · Name the classes\n{HOW}", elem_id="how")
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=280):
            name = gr.Textbox("my layout", label="Name of the layout", max_lines=1, max_length=40, elem_id="layout-name")
            start = gr.Dropdown(
                layout_results.starts(None),
                value=models.OWN_LAYOUT,
                allow_custom_value=True,
                label="Start from",
                info="A layout whose labels are the start, or org/name from the Hub",
                elem_id="start",
            )
            count = gr.Slider(
                limits.FEWEST_FACES, limits.MOST_FACES, limits.FACES, step=1, label="Faces to paint at most", elem_id="face-count"
            )
            propose = gr.Button("Propose faces", variant="primary", elem_id="propose")
            opening = gr.UploadButton("Open painted faces", size="sm", elem_id="open-faces")
        with gr.Column(scale=7, min_width=300):
            rows = class_list()
    return SimpleNamespace(name=name, start=start, count=count, propose=propose, opening=opening, rows=rows)


def _paint_controls() -> SimpleNamespace:
    """The faces, and the canvas for one of them."""
    gr.Markdown("### 2 · Paint faces")
    faces = face_strip()
    status = gr.Markdown("Name the classes, then press Propose faces.", elem_id="making")
    board = painting_canvas("board")
    with gr.Row(elem_id="face-actions"):
        done = gr.Button("Done, next face", variant="primary", elem_id="done", scale=3)
        suggest = gr.Button("Suggest", elem_id="suggest", scale=1)
        stop = gr.Button("Cancel", elem_id="stop-making", scale=1)
    with gr.Row():
        keep = gr.Button("Save painted faces", size="sm", elem_id="save-faces")
        faces_file = gr.DownloadButton("Painted faces ZIP", elem_id="get-faces", elem_classes="unseen")
    return SimpleNamespace(faces=faces, status=status, board=board, done=done, suggest=suggest, stop=stop, keep=keep, faces_file=faces_file)


def _fit_controls() -> SimpleNamespace:
    """The fit, watched while it runs, and its scores."""
    gr.Markdown("### 3 · Fit")
    with gr.Row(elem_id="fit-actions"):
        fit = gr.Button("Fit", variant="primary", elem_id="fit", scale=3)
        stop_fit = gr.Button("Cancel", elem_id="stop-fit", scale=1)
    told = gr.Markdown("Two painted faces are enough to try, ten make a good layout.", elem_id="fitting")
    curve = gr.LinePlot(
        layout_results.Curve().value(),  # pyright: ignore[reportArgumentType]  (gradio takes a table as it sends it, too)
        x="step",
        y="loss",
        color="fit",
        color_map=dict(zip(layout_results.Curve.NAMES, ("#d97706", "#8b5cf6", "#3b82f6", "#14b8a6"), strict=True)),
        y_lim=[0, None],
        show_label=False,
        height=190,
        buttons=[],
        visible=False,  # empty axes tell nothing
        elem_id="curve",
    )
    look = gr.Image(show_label=False, format="png", interactive=False, height=260, buttons=[], visible=False, elem_id="look")
    scores = gr.HTML(elem_id="scores")
    return SimpleNamespace(fit=fit, stop_fit=stop_fit, told=told, curve=curve, look=look, scores=scores)


def _share_controls() -> SimpleNamespace:
    """Where the layout goes."""
    gr.Markdown("### 4 · Use it")
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=300):
            use = gr.Button("Use in the Edit tab", variant="primary", elem_id="use-layout")
            layout_file = gr.DownloadButton("Layout ZIP", size="sm", interactive=False, elem_id="get-layout")
        with gr.Column(scale=8, min_width=300):
            with gr.Row(equal_height=True):
                repository = gr.Textbox(
                    label="Share on the Hub as", placeholder="org/name", max_lines=1, max_length=96, elem_id="repository"
                )
                token = gr.Textbox(label="Access token", type="password", max_lines=1, max_length=1000, elem_id="token")
            with gr.Row():
                push = gr.Button("Push to the Hub", size="sm", elem_id="push")
                if "SPACE_ID" in os.environ:  # elsewhere the button asks the Hub for leave while the page is built
                    gr.LoginButton(size="sm", elem_id="login")
            shared = gr.Markdown(
                "Nothing leaves this page before you press Push. The token is used once, and kept nowhere.", elem_id="shared"
            )
    return SimpleNamespace(use=use, layout_file=layout_file, repository=repository, token=token, push=push, shared=shared)


def connect(on: SimpleNamespace, wires: Wiring, own: gr.State, tabs: gr.Tabs, tab: gr.Tab) -> None:
    """Which control calls which handler; `tab` is this one of the `tabs`."""
    here, there = {"show_progress_on": on.status}, {"show_progress_on": on.told}
    # Not when the page is loaded: of two events that begin then, gradio gives one up when the other is done.
    tab.select(layouts.tab_opened, [on.start, on.rows], on.rows, show_progress="hidden", **SHORT)
    on.start.change(layouts.start_chosen, on.start, on.rows, **here, **SHORT)
    outputs = [own, on.faces, on.board, on.status]
    on.propose.click(layouts.propose, [own, on.rows, on.name, on.start, on.count, on.board], outputs, **here, **LONG)
    on.board.input(layouts.keep_strokes, [own, on.board], [own, on.faces], trigger_mode="multiple", show_progress="hidden", queue=False)
    suggested: dict[str, Any] = {"inputs": [own, on.board], "outputs": [own, on.board, on.status], **here, **LONG}
    on.faces.select(layouts.open_face, [own, on.faces, on.board], outputs, **here, **SHORT).success(layouts.suggest_next, **suggested)
    on.done.click(layouts.next_face, [own, on.board], outputs, **here, **SHORT).success(layouts.suggest_next, **suggested)
    on.suggest.click(layouts.suggest_here, **suggested)
    wires.cancel(on.stop, on.status, "faces", "suggestion")
    opened = [own, on.rows, on.name, on.faces, on.board, on.status]
    on.opening.upload(painted_faces.open_faces, [own, on.opening, on.start, on.board], opened, **here, **SHORT)
    keeping = on.keep.click(painted_faces.save_faces, [own, on.board], [own, on.faces_file, on.status], **here, **SHORT)
    keeping.success(None, js=click("get-faces"))
    fitted = [own, on.faces, on.told, on.curve, on.look, on.scores, on.layout_file]
    on.fit.click(layout_results.fit_layout, [own, on.rows, on.name, on.board], fitted, **there, **LONG)
    wires.cancel(on.stop_fit, on.told, "fit")
    on.use.click(layout_results.use_it, own, [wires.layout, on.start, tabs], show_progress_on=on.shared, **SHORT)
    on.push.click(layout_results.push, [own, on.repository, on.token], [on.shared, on.token], show_progress_on=on.shared, **LONG)
