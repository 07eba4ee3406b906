// The canvas on the page: its buttons, keys and palette, and what goes to and from the server.
//
// The server gives a sheet through `props.value`: { id, serial, size, labels (base64 of class ids), classes: [{ name, color, within (its name, and
// those of what it is a part of) }], picture (data URL), keep (null, or the revision after which strokes stay), painted (base64, or null) }.
// What is painted goes back through the same value as { id, size, revision, labels }, with the event "input" a moment after each stroke.
// Names of classes are a stranger's text: they are set as text, never as markup.

const PREVIEW_AFTER = 300; // milliseconds without a stroke, until the server is told that something was painted
const WHEEL_PAUSE = 250; // milliseconds between two turns of the wheel that are not one

const find = (selector) => element.querySelector(selector);
const all = (selector) => [...element.querySelectorAll(selector)];
const board = find(".board"), palette = find(".classes");
const view = new View(board);
const painter = new Painter(view, strokeEnded, (id) => choose(id, true));

let sheet = null;
let revision = 0; // counts what was done to this map
let moments = new Map(); // the ids as they were at each of the last revisions
let timer = 0;

// ── to and from the server ──

function load(next) {
  if (!next || !next.classes) return; // nothing yet, or what we have sent ourselves
  if (sheet && next.serial === sheet.serial) return report(false); // it came before, and may have been painted on since
  if (painter.busy) painter.release();
  const before = sheet, old = view.map;
  const map = new LabelMap(next.size, fromBase64(next.labels));
  if (next.painted) new LabelMap(next.size, fromBase64(next.painted)).carryTo(map, map.original, (id) => id);
  const base = moments.get(next.keep);
  const carries = next.keep !== null && base && old.size === map.size;
  const carried = carries && old.carryTo(map, base, (id) => nearestClass(before.classes[id], next.classes));
  sheet = next;
  revision = 0;
  moments = new Map([[0, map.original]]);
  const face = new Image();
  face.onload = () => view.request();
  face.src = next.picture;
  buildPalette(before ? before.classes[painter.chosen].name : "nose");
  view.show(map, sheet.classes.map((item) => item.color), face);
  if (painted()) revision++;
  report(carried); // the server does not know what became of strokes on another face
}

const painted = () => view.map !== null && view.map.changed() > 0;

function sameClass(name, classes) {
  const id = classes.findIndex((item) => item.name === name);
  return id < 0 ? undefined : id;
}

/** The class of another layout that is meant by one of ours: that of its name, else the nearest one that it is a part of. */
function nearestClass(item, classes) {
  return item.within.map((name) => sameClass(name, classes)).find((id) => id !== undefined);
}

/** Tell the page what is painted now, and the server a moment later if it is `new` to it. */
function report(isNew) {
  moments.set(revision, view.map.ids.slice());
  if (revision > 64) moments.delete(revision - 64); // never the first, over which a face that comes later is painted
  props.value = { id: sheet.id, size: sheet.size, revision, labels: toBase64(view.map.ids) };
  showCounts();
  if (!isNew) return;
  clearTimeout(timer);
  timer = setTimeout(() => !painter.busy && trigger("input"), PREVIEW_AFTER);
}

function strokeEnded(changed) {
  if (!changed) return;
  revision++;
  report(true);
}

// ── palette ──

function buildPalette(wanted) {
  palette.replaceChildren(...sheet.classes.map((item, id) => {
    const row = document.createElement("button"), chip = document.createElement("canvas");
    const [key, name, count] = ["kbd", "span", "small"].map((tag) => document.createElement(tag));
    row.type = "button";
    row.setAttribute("role", "radio");
    chip.width = chip.height = 32;
    key.textContent = id;
    name.textContent = name.title = item.name;
    row.append(key, chip, name, count);
    row.addEventListener("click", () => choose(id, true));
    return row;
  }));
  drawChips();
  const id = sameClass(wanted, sheet.classes);
  choose(id === undefined ? sheet.classes.length - 1 : id, false);
}

/** Fill the chips with the class's colour, and its pattern when patterns are on. */
function drawChips() {
  all(".classes canvas").forEach((chip, id) => {
    const context = chip.getContext("2d"), color = sheet.classes[id].color;
    for (let y = 0; y < 16; y++) {
      for (let x = 0; x < 16; x++) {
        context.fillStyle = `rgb(${view.patterns && PATTERNS[id % PATTERNS.length](x, y) ? shade(color) : color})`;
        context.fillRect(2 * x, 2 * y, 2, 2);
      }
    }
  });
}

function choose(id, aloud) {
  if (!sheet || id >= sheet.classes.length) return;
  painter.chosen = id;
  [...palette.children].forEach((row, k) => {
    row.setAttribute("aria-checked", k === id);
    row.tabIndex = k === id ? 0 : -1;
  });
  if (aloud) say(sheet.classes[id].name);
}

function showCounts() {
  const counts = view.map.counts(sheet.classes.length), changed = view.map.changed();
  [...palette.children].forEach((row, id) => (row.lastChild.textContent = counts[id].toLocaleString("en")));
  const pixels = view.map.ids.length.toLocaleString("en");
  const painted = `${changed.toLocaleString("en")} of ${pixels} pixels ${changed === 1 ? "is" : "are"} painted.`;
  find("[data-show=changed]").textContent = changed ? painted : "Nothing is painted yet.";
  find("[data-do=undo]").disabled = !view.map.done.length;
  find("[data-do=redo]").disabled = !view.map.undone.length;
  find("[data-do=clear]").disabled = !changed;
}

const say = (text) => (find("[data-show=said]").textContent = text);

// ── what buttons and keys do ──

function setTool(tool) {
  painter.cancel();
  painter.tool = tool;
  all("[data-tool]").forEach((button) => button.setAttribute("aria-pressed", button.dataset.tool === tool));
  board.dataset.cursor = tool;
  say(TOOLS[tool]);
}

function setDiameter(diameter) {
  painter.diameter = view.hover.diameter = diameter;
  find("[data-set=diameter]").value = find("[data-show=diameter]").textContent = diameter;
  view.request();
}

function step(back) {
  painter.cancel();
  const pixels = view.map && (back ? view.map.undo() : view.map.redo());
  if (!pixels) return say(back ? "There is no stroke to undo." : "There is no stroke to redo.");
  view.update(pixels);
  revision++;
  report(true);
  say(back ? `Undone; ${view.map.done.length} strokes are left.` : "Redone.");
}

function clear() {
  painter.cancel();
  view.map.begin();
  view.map.put(view.map.ids.keys(), null);
  strokeEnded(view.map.end());
  view.repaint();
}

function toggle(name) {
  view[name] = !view[name];
  find(`[data-toggle=${name}]`).setAttribute("aria-pressed", view[name]);
  if (sheet && name === "patterns") drawChips();
  view.repaint();
}

function compare(on) {
  if (view.comparing === on) return;
  view.comparing = on;
  find("[data-do=compare]").setAttribute("aria-pressed", on);
  view.repaint();
}

function zoom(factor) {
  const box = board.getBoundingClientRect();
  if (view.map) view.zoomAt(factor, box.left + box.width / 2, box.top + box.height / 2);
}

const ACTIONS = { undo: () => step(true), redo: () => step(false), clear, in: () => zoom(1.5), out: () => zoom(1 / 1.5), fit: () => view.fit() };

all("[data-tool]").forEach((button) => {
  button.title = `${TOOLS[button.dataset.tool]} (${button.dataset.tool === "pick" ? "I, or hold Alt" : button.dataset.tool[0].toUpperCase()})`;
  button.addEventListener("click", () => setTool(button.dataset.tool));
});
all("[data-do]").forEach((button) => button.addEventListener("click", () => sheet && ACTIONS[button.dataset.do]?.()));
all("[data-toggle]").forEach((button) => button.addEventListener("click", () => toggle(button.dataset.toggle)));
find("[data-set=diameter]").addEventListener("input", (event) => setDiameter(Number(event.target.value)));
find("[data-set=opacity]").addEventListener("input", (event) => {
  view.opacity = event.target.value / 100;
  find("[data-show=opacity]").textContent = `${event.target.value} %`;
  view.request();
});
const compareButton = find("[data-do=compare]");
compareButton.addEventListener("pointerdown", () => compare(true));
for (const end of ["pointerup", "pointercancel", "pointerleave", "blur"]) compareButton.addEventListener(end, () => compare(false));
