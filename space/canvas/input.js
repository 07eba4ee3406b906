// Pointers, wheel and keys. Everything here only calls the painter, the view and the actions of canvas.js.

const places = new Map(); // where each pointer that is down is
let panning = false; // by the space bar's or the middle button's drag
let space = false;
let cursor = null; // the point that the arrow keys move
let drawing = false; // a stroke by the keyboard
let wheelElsewhere = -Infinity; // when the wheel last scrolled the page
let digits = "", digitsAt = 0;

const point = (event) => view.toMap(event.clientX, event.clientY);
const place = (event) => [event.clientX, event.clientY];

board.addEventListener("pointerdown", (event) => {
  if (!sheet) return;
  event.preventDefault();
  board.focus({ preventScroll: true });
  board.setPointerCapture(event.pointerId);
  places.set(event.pointerId, place(event));
  if (places.size > 1) return painter.cancel(); // two fingers move and zoom
  panning = space || event.button === 1;
  if (panning) return (board.dataset.panning = "");
  if (event.button === 5) painter.press(point(event), "eraser"); // the other end of a pen
  if (event.button === 0) painter.press(point(event), event.altKey ? "pick" : painter.tool);
});

board.addEventListener("pointermove", (event) => {
  const before = places.get(event.pointerId);
  if (places.size > 1 && before) return pinch(event, before);
  places.has(event.pointerId) && places.set(event.pointerId, place(event));
  if (panning && before) return view.pan(event.clientX - before[0], event.clientY - before[1]);
  const between = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
  for (const part of between.length ? between : [event]) view.map && painter.move(point(part));
});

for (const [name, end] of [["pointerup", () => painter.release()], ["pointercancel", () => painter.cancel()]]) {
  board.addEventListener(name, (event) => {
    places.delete(event.pointerId);
    if (!panning) end();
    panning = false;
    delete board.dataset.panning;
  });
}
board.addEventListener("pointerleave", () => view.map && painter.hover(null));

/** Two fingers: zoom by how their distance changes, move by how their middle does. */
function pinch(event, before) {
  const [other] = [...places].filter(([id]) => id !== event.pointerId).map(([, at]) => at), now = place(event);
  const distance = (at) => Math.hypot(at[0] - other[0], at[1] - other[1]) || 1;
  places.set(event.pointerId, now);
  view.zoomAt(distance(now) / distance(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  view.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
}

// A turn of the wheel that began beside the canvas, or that cannot zoom out further, scrolls the page.
document.addEventListener("wheel", (event) => (wheelElsewhere = event.defaultPrevented ? -Infinity : event.timeStamp), { passive: true });
board.addEventListener("wheel", (event) => {
  const passes = event.timeStamp - wheelElsewhere < WHEEL_PAUSE || (event.deltaY > 0 && view.zoom <= 1);
  if (!sheet || (passes && !event.ctrlKey)) return;
  event.preventDefault();
  view.zoomAt(Math.exp(-Math.max(-200, Math.min(200, event.deltaY)) / 400), event.clientX, event.clientY);
}, { passive: false });

// ── keys ──

const KEYS = {
  b: () => setTool("brush"), e: () => setTool("eraser"), l: () => setTool("lasso"), s: () => setTool("sketch"), f: () => setTool("fill"),
  i: () => setTool("pick"), m: () => toggle("mirror"), d: () => toggle("onlyChanged"), p: () => toggle("patterns"), c: () => compare(true),
  z: () => view.fit(), "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5),
  "[": () => sized(-1), "]": () => sized(1),
};
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function sized(by) {
  painter.resize(by);
  setDiameter(painter.diameter);
  say(`Size ${painter.diameter}`);
}

/** Choose a class by its number; two digits in quick succession are one number. */
function digit(key, time) {
  const both = digits + key;
  digits = time - digitsAt < 700 && Number(both) < sheet.classes.length ? both : key;
  digitsAt = time;
  choose(Number(digits), true);
}

element.addEventListener("keydown", (event) => {
  if (!sheet || event.ctrlKey || event.metaKey) return;
  if (event.target.closest(".classes") && event.key in ARROWS) return nextClass(event);
  if (event.target === board && boardKey(event)) return event.preventDefault();
  if (event.altKey) return;
  if (/^\d$/.test(event.key)) digit(event.key, event.timeStamp);
  else if (Object.hasOwn(KEYS, event.key.toLowerCase())) KEYS[event.key.toLowerCase()]();
  else if (event.target === compareButton && event.key === " ") compare(true);
});
element.addEventListener("keyup", (event) => {
  if (event.key === " ") space = false;
  if (event.key.toLowerCase() === "c" || event.key === " ") compare(false);
  if (event.key === "Alt") board.dataset.cursor = painter.tool;
});
board.addEventListener("blur", () => (space = false));
document.addEventListener("keydown", (event) => {
  const editable = event.target.closest?.("input:is([type=text], [type=number], [type=password], [type=search], :not([type])), textarea, [contenteditable=true]");
  if (!sheet || editable || !element.checkVisibility() || !(event.ctrlKey || event.metaKey)) return;
  const key = event.key.toLowerCase();
  if (key !== "z" && key !== "y") return;
  event.preventDefault();
  step(key === "z" && !event.shiftKey);
});

/** Keys that only the board itself knows: arrows move, Enter begins and ends a stroke, Escape gives it up, the space bar moves the view. */
function boardKey(event) {
  if (event.key in ARROWS) moveCursor(ARROWS[event.key], event.shiftKey ? 8 : 1);
  else if (event.key === "Enter" && !event.repeat) keyStroke();
  else if (event.key === "Escape") giveUp();
  else if (event.key === " ") space = true;
  else if (event.key === "Alt") board.dataset.cursor = "pick";
  else return false;
  return true;
}

function giveUp() {
  painter.cancel();
  drawing = false;
}

function moveCursor([dx, dy], by) {
  const size = sheet.size;
  cursor = cursor ? [cursor[0] + dx * by, cursor[1] + dy * by].map((v) => Math.min(size - 0.5, Math.max(0.5, v))) : [size / 2, size / 2];
  view.reveal(cursor);
  painter.move(cursor);
  const id = view.map.ids[Math.floor(cursor[1]) * size + Math.floor(cursor[0])];
  say(`Column ${Math.floor(cursor[0])}, row ${Math.floor(cursor[1])}: ${sheet.classes[id].name}`);
}

function keyStroke() {
  if (!cursor) return moveCursor([0, 0], 0);
  if (drawing) painter.release();
  else painter.press(cursor);
  drawing = painter.busy && !drawing;
}

function nextClass(event) {
  const by = event.key === "ArrowDown" || event.key === "ArrowRight" ? 1 : -1;
  choose((painter.chosen + by + sheet.classes.length) % sheet.classes.length, true);
  palette.children[painter.chosen].focus();
  event.preventDefault();
}

// ── begin ──

setTool("brush");
say("");
new ResizeObserver(() => view.resize()).observe(board);
watch("value", () => load(props.value));
load(props.value);
