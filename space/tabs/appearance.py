"""The Appearance tab: another face, and what the face of the Edit tab takes from it."""

from __future__ import annotations

from types import SimpleNamespace

import gradio as gr

from space import appearance, examples, handlers, limits
from space.canvas import photo_crop
from space.tabs.edit import CONSENT, photo_upload
from space.wiring import LONG, SHORT, Wiring


def build() -> SimpleNamespace:
    """All controls of the tab."""
    with gr.Row(elem_id="three-faces", elem_classes="card"):
        own, other, result = (_picture(*named) for named in (("Your face", "own"), ("Other face", "other"), ("Together", "together")))
    status = gr.Markdown("The other face lends its colours or its shape to yours.", elem_id="appearance-status")
    with gr.Row(equal_height=True):
        with gr.Column(scale=1, min_width=300, elem_classes="card"):
            lender = _other_controls()
        with gr.Column(scale=1, min_width=300, elem_classes="card"):
            blending = _blend_controls()
        with gr.Column(scale=1, min_width=300, elem_classes="card"):
            shaping = _shape_controls()
    return SimpleNamespace(own=own, other=other, result=result, status=status, **vars(lender), **vars(blending), **vars(shaping))


def _picture(label: str, name: str) -> gr.Image:
    return gr.Image(label=label, format="png", interactive=False, buttons=[], elem_id=f"{name}-face", min_width=100)


def _other_controls() -> SimpleNamespace:
    """Where the other face comes from."""
    gr.Markdown("### 1 · The other face")
    with gr.Tabs():
        with gr.Tab("From a seed"), gr.Row(elem_classes="with-button"):
            seed = gr.Number(appearance.FIRST_SEED, label="Seed", precision=0, elem_id="other-seed", min_width=120)
            draw = gr.Button("Draw it", variant="primary", elem_id="other-draw", min_width=100)
        with gr.Tab("From a photo"):
            with gr.Row():
                upload = photo_upload("other-photo", 120)
                square = photo_crop("other-square")
            consent = gr.Checkbox(False, label=CONSENT, elem_id="other-consent")
            with gr.Row():
                make = gr.Button("Make it 3-D", variant="primary", elem_id="other-make", scale=3)
                stop = gr.Button("Cancel", elem_id="other-stop", scale=1, min_width=80)
    samples = examples.build("other-examples")
    return SimpleNamespace(seed=seed, draw=draw, upload=upload, square=square, consent=consent, make=make, stop_other=stop, samples=samples)


def _blend_controls() -> SimpleNamespace:
    """How much of its colours and of its shape."""
    gr.Markdown("### 2 · Its colours and its shape")
    colors = gr.Slider(0, 100, 100, step=1, label="Colours (%)", elem_id="colors")
    shape = gr.Slider(0, 100, 0, step=1, label="Shape (%)", elem_id="shape")
    colored = gr.CheckboxGroup(
        [], label="Colours of these parts only", info="None ticked: of the whole face. Parts take longer to draw.", elem_id="colored"
    )
    told = gr.Markdown(elem_id="told")
    use = gr.Button("Use this face", variant="primary", elem_id="use")
    return SimpleNamespace(colors=colors, shape=shape, colored=colored, told=told, use=use)


def _shape_controls() -> SimpleNamespace:
    """Which parts take its outline."""
    gr.Markdown("### 3 · Or the shape of single parts")
    shaped = gr.CheckboxGroup(
        [],
        label="Outline of these parts",
        info="In the layout of the Edit tab. The outline as it is seen from the front; how far a part stands out stays.",
        elem_id="shaped",
    )
    with gr.Row():
        take = gr.Button("Take this shape", variant="primary", elem_id="take", scale=3)
        stop = gr.Button("Cancel", elem_id="stop-shape", scale=1, min_width=80)
    return SimpleNamespace(shaped=shaped, take=take, stop_shape=stop)


def connect(tab: gr.Tab, tabs: gr.Tabs, on: SimpleNamespace, wires: Wiring) -> None:
    """Which control calls which handler. Nothing is drawn before `tab` is chosen; `tabs` lead back to the Edit tab."""
    session, here = wires.session, {"show_progress_on": on.status}
    other, photo, blend = (gr.State(None, time_to_live=limits.STATE_LIFETIME) for _ in range(3))
    lent = [other, on.other, on.status]
    # One wish at a time, and of those that come meanwhile only the last: a slider that is dragged has many.
    newest = {"trigger_mode": "always_last", "show_progress": "hidden", "concurrency_id": "preview"}
    blending = {
        "fn": appearance.blend,
        "inputs": [session, other, on.colored, on.colors, on.shape],
        "outputs": [blend, on.result, on.told],
        **newest,
    }
    entering = [on.own, other, on.other, on.colored, on.shaped, on.status]
    tab.select(appearance.opened, [session, other, on.colored, on.shaped], entering, **here, **SHORT).success(**blending)
    drawing = (appearance.draw_other, on.seed, lent)
    on.draw.click(*drawing, **here, **SHORT).success(**blending)
    choosing = on.samples.select(examples.chosen_seed, on.samples, on.seed, show_progress="hidden", queue=False)
    choosing.success(*drawing, **here, **SHORT).success(**blending)
    on.samples.submit(appearance.invert_example, None, lent, **here, **LONG).success(**blending)
    on.upload.change(handlers.photo_chosen, on.upload, [on.square, photo, on.status], **here, **SHORT)
    on.make.click(appearance.invert_other, [photo, on.consent, on.square], lent, **here, **LONG).success(**blending)
    gr.on([on.colors.change, on.shape.change, on.colored.change], **blending)
    using = on.use.click(appearance.use, [session, blend], wires.outputs, **here, **SHORT)
    using.success(lambda: gr.Tabs(selected="edit"), None, tabs, show_progress="hidden", queue=False).success(**wires.sides)
    shown = [*wires.outputs, on.own, on.status]
    taking = on.take.click(appearance.take_shape, [session, other, on.shaped], shown, **here, **LONG)
    taking.success(**blending).success(**wires.sides)
    wires.cancel(on.stop_other, on.status, "other", "blend")
    wires.cancel(on.stop_shape, on.status, "face")
