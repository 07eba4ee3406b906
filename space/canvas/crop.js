// The square that is cut from a photo. From the server: { picture (data URL), width, height (of the photo), box: [left, top, size] in its
// pixels, smallest, largest }, or null; what is chosen goes back as { box }. The window shows the square; the photo moves under it.

const view = element.querySelector(".window"), photo = element.querySelector("img");
const [more, less, back] = element.querySelectorAll("button");
let given = null; // what came from the server
let box = null;
let drag = null;

function load(value) {
  if (value && !value.picture) return; // what we have sent ourselves
  given = value;
  if (!value) return photo.removeAttribute("src");
  photo.src = value.picture;
  photo.style.width = `${value.width}px`;
  photo.style.height = `${value.height}px`;
  place(...value.box);
}

/** Cut this square, if it still holds the face. */
function place(left, top, size) {
  const [foundLeft, foundTop, found] = given.box;
  size = Math.round(Math.max(given.smallest, Math.min(given.largest, size)));
  // The middle stays in the square that was found.
  const inside = (at, from) => Math.max(Math.ceil(from - size / 2), Math.min(Math.floor(from + found - size / 2), Math.round(at)));
  box = [inside(left, foundLeft), inside(top, foundTop), size];
  draw();
}

function draw() {
  if (!given) return;
  const scale = view.clientWidth / box[2];
  photo.style.transform = `scale(${scale}) translate(${-box[0]}px, ${-box[1]}px)`;
  props.value = { box };
}

/** Make the square larger or smaller around its middle. */
function zoom(factor) {
  if (!given) return;
  const size = Math.max(given.smallest, Math.min(given.largest, box[2] * factor)), grown = (size - box[2]) / 2;
  place(box[0] - grown, box[1] - grown, size);
}

const move = (right, down) => given && place(box[0] + right, box[1] + down, box[2]);
const reset = () => given && place(...given.box);

view.addEventListener("pointerdown", (event) => {
  if (!given || event.button !== 0) return;
  view.setPointerCapture(event.pointerId);
  drag = { x: event.clientX, y: event.clientY, box };
});
view.addEventListener("pointermove", (event) => {
  if (!drag) return;
  const scale = drag.box[2] / view.clientWidth;
  place(drag.box[0] - (event.clientX - drag.x) * scale, drag.box[1] - (event.clientY - drag.y) * scale, drag.box[2]);
});
for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) view.addEventListener(end, () => (drag = null));
view.addEventListener("wheel", (event) => {
  if (!given || !view.matches(":focus")) return; // or who only scrolls past would change it
  event.preventDefault();
  zoom(event.deltaY > 0 ? 1.05 : 1 / 1.05);
}, { passive: false });

const step = () => Math.max(1, Math.round(box[2] / 50));
const KEYS = {
  ArrowLeft: () => move(-step(), 0), ArrowRight: () => move(step(), 0), ArrowUp: () => move(0, -step()), ArrowDown: () => move(0, step()),
  "+": () => zoom(1 / 1.05), "=": () => zoom(1 / 1.05), "-": () => zoom(1.05), Home: reset,
};
view.addEventListener("keydown", (event) => {
  if (!given || !Object.hasOwn(KEYS, event.key)) return;
  KEYS[event.key]();
  event.preventDefault();
});
more.addEventListener("click", () => zoom(1.05));
less.addEventListener("click", () => zoom(1 / 1.05));
back.addEventListener("click", reset);

new ResizeObserver(draw).observe(view);
watch("value", () => load(props.value));
load(props.value);
