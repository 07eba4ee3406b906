// The face that is turned by dragging. The browser asks for a view by `props.value` = { number, yaw, pitch, side } and the event "input";
// the server answers through the same value with { number, yaw, pitch, picture (data URL, or null if it was stopped) }. While the face
// moves there is one small view (of `side` pixels) on its way at a time, always of the newest angles; when it rests, one of full size
// (`side` 0). { anew } from the server says that there is another face to ask for.

const LIMITS = { yaw: 36, pitch: 20 }; // degrees; the server keeps to them, too (turning.py)
const PER_WIDTH = 110; // degrees for a drag across the whole picture
const SIDES = [32, 40, 48, 56, 64]; // pixels of moving views: larger ones where answers are quick
const QUICK = 110, SLOW = 220; // milliseconds
const REST = 160; // milliseconds without a movement until the full view is asked for
const LOST = 8000; // milliseconds after which an answer does not come any more

const face = element.querySelector(".face"), picture = element.querySelector("img"), told = element.querySelector("output");
const angles = { yaw: 0, pitch: 0 };
const sent = { number: 0, yaw: 0, pitch: 0, side: 0, at: 0, waits: false };
let size = 2; // which of SIDES
let wanted = false, onScreen = false, timer = 0;
let drag = null; // the pointer that turns the face, and where it was

/** Ask for the view from the angles of now: a small one, or with side 0 the full one. */
function ask(side) {
  clearTimeout(timer);
  face.setAttribute("aria-busy", true);
  Object.assign(sent, angles, { number: sent.number + 1, side, at: performance.now(), waits: true });
  props.value = { number: sent.number, yaw: angles.yaw, pitch: angles.pitch, side };
  trigger("input");
}

const moved = () => angles.yaw !== sent.yaw || angles.pitch !== sent.pitch;

/** Ask for what is wanted next, unless a small view is on its way: it answers soon, and then the newest angles are asked for. */
function go() {
  clearTimeout(timer);
  const busy = sent.waits && sent.side > 0 && performance.now() - sent.at < LOST;
  if (moved() && !busy) return ask(SIDES[size]);
  timer = setTimeout(() => (moved() || sent.side > 0) && ask(0), busy ? LOST : REST);
}

function turn(yaw, pitch) {
  face.dataset.known = "";
  for (const [name, value] of [["yaw", yaw], ["pitch", pitch]]) {
    angles[name] = Math.round(10 * Math.max(-LIMITS[name], Math.min(LIMITS[name], value))) / 10;
  }
  const across = Math.round(Math.abs(angles.yaw)), up = Math.round(Math.abs(angles.pitch));
  const parts = [across && `${across}° from the ${angles.yaw > 0 ? "right" : "left"}`, up && `${up}° from ${angles.pitch > 0 ? "above" : "below"}`];
  told.textContent = parts.filter(Boolean).join(", ") || "From the front";
  if (props.value) go();
}

/** What the server says: there is another face, or here is a view. */
function answered(value) {
  if (!value) return;
  if (value.anew) {
    wanted = true;
    face.setAttribute("aria-busy", true);
    return onScreen && begin();
  }
  if (value.number !== sent.number || !("picture" in value)) return; // of an older wish, or what we have sent ourselves
  const took = performance.now() - sent.at;
  if (sent.side && sent.waits) size = Math.max(0, Math.min(SIDES.length - 1, size + (took < QUICK) - (took > SLOW)));
  sent.waits = false;
  if (moved() || sent.side > 0) go();
  if (value.picture) show(value.picture);
}

/** The full view of a face that was not seen yet. */
function begin() {
  wanted = false;
  ask(0);
}

async function show(source) {
  const next = new Image();
  next.src = source;
  await next.decode(); // or the old view would make way for nothing
  picture.src = source;
  if (!sent.waits && !wanted && sent.side === 0) face.setAttribute("aria-busy", false);
}

// ── hands and keys ──

face.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || drag) return;
  face.setPointerCapture(event.pointerId);
  face.dataset.turning = "";
  drag = { id: event.pointerId, x: event.clientX, y: event.clientY, ...angles };
});
face.addEventListener("pointermove", (event) => {
  if (!drag || event.pointerId !== drag.id) return;
  const scale = PER_WIDTH / face.clientWidth; // the face follows the hand: to the right shows it from its other side
  turn(drag.yaw - (event.clientX - drag.x) * scale, drag.pitch + (event.clientY - drag.y) * scale);
});
for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
  face.addEventListener(end, () => {
    drag = null;
    delete face.dataset.turning;
  });
}
const KEYS = { ArrowLeft: [4, 0], ArrowRight: [-4, 0], ArrowUp: [0, -4], ArrowDown: [0, 4] };
face.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Home") turn(0, 0);
  else if (event.key in KEYS) turn(angles.yaw + KEYS[event.key][0], angles.pitch + KEYS[event.key][1]);
  else return;
  event.preventDefault();
});
face.addEventListener("dblclick", () => turn(0, 0));
element.querySelector("button").addEventListener("click", () => turn(0, 0));

new IntersectionObserver(([entry]) => {
  onScreen = entry.isIntersecting;
  if (onScreen && wanted) begin();
}, { rootMargin: "200px" }).observe(face);
watch("value", () => answered(props.value));
answered(props.value);
