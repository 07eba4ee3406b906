// The list of classes of a new layout: a name and a colour for each, and which of the classes that are known already its pixels come from.
//
// The server gives { list, rows: [{ key, name, color, part, takes }], known: [names], most }; the same goes back through the same value
// after each change, with `mine` in it, so that it is not built anew under the hands of who types. `takes` are known classes; those that no
// row takes begin as the first class. `part` is the key of the row that a row was split from. Names are set as text, never as markup.

const place = element.querySelector(".rows"), add = element.querySelector("[data-do=add]"), count = element.querySelector("[data-show=count]");
let given = { list: "", rows: [], known: [], most: 64 };

function load(value) {
  if (!value || !value.rows || (value.mine && value.list === given.list)) return; // nothing yet, or what we have sent ourselves
  given = JSON.parse(JSON.stringify(value));
  build();
}

function send() {
  props.value = { ...JSON.parse(JSON.stringify(given)), mine: true };
  trigger("input");
}

const named = (row) => row.name.trim() || `class ${given.rows.indexOf(row)}`;
const make = (tag, set = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), set);
  node.append(...children);
  return node;
};

function build() {
  const open = new Set([...place.querySelectorAll("details[open]")].map((node) => node.dataset.key));
  place.replaceChildren(...given.rows.map((row, number) => line(row, number, open)));
  refresh();
  add.disabled = given.rows.length >= given.most;
  count.textContent = `${given.rows.length} of at most ${given.most}`;
}

/** Say anew what each class begins as, without building what somebody may be about to click. */
function refresh() {
  [...place.children].forEach((node, number) => {
    const row = given.rows[number];
    node.querySelector("summary").textContent = told(row, number);
    node.querySelectorAll("[type=checkbox]").forEach((box, at) => (box.checked = row.takes.includes(given.known[at])));
  });
}

function line(row, number, open) {
  const name = make("input", { type: "text", value: row.name, maxLength: 40, placeholder: "name" });
  const color = make("input", { type: "color", value: hex(row.color) });
  const split = make("button", { type: "button", textContent: "Split", title: "Add a class that is a part of this one" });
  const remove = make("button", { type: "button", textContent: "✕", title: "Remove this class" });
  name.setAttribute("aria-label", `Name of class ${number}`);
  color.setAttribute("aria-label", `Colour of class ${number}`);
  remove.setAttribute("aria-label", `Remove class ${number}`);
  split.setAttribute("aria-label", `Split class ${number}`);
  split.disabled = given.rows.length >= given.most || number === 0;
  remove.disabled = number === 0;
  name.addEventListener("input", () => rename(row, name.value));
  color.addEventListener("input", () => {
    row.color = [1, 3, 5].map((at) => parseInt(color.value.slice(at, at + 2), 16));
    send();
  });
  split.addEventListener("click", () => insert(row));
  remove.addEventListener("click", () => drop(row));
  const id = make("kbd", { textContent: number }), acts = make("div", { className: "acts" }, split, remove);
  const all = make("div", { className: "row" }, id, color, name, sources(row, open), acts);
  all.setAttribute("role", "listitem");
  return all;
}

/** Which known classes a class begins as, in a box that opens. */
function sources(row, open) {
  const boxes = given.known.map((item) => {
    const box = make("input", { type: "checkbox" });
    box.addEventListener("change", () => take(row, item, box.checked));
    return make("label", {}, box, make("span", { textContent: item }));
  });
  const node = make("details", { open: open.has(String(row.key)) }, make("summary"), make("div", { className: "takes" }, ...boxes));
  node.dataset.key = row.key;
  return node;
}

function told(row, number) {
  const [first, second, ...more] = row.takes, whole = given.rows.find((other) => other.key === row.part);
  if (first === undefined && whole) return `part of ${named(whole)}`;
  if (first === undefined) return number === 0 ? "begins as the rest" : "painted by you";
  const some = [first, second].filter((item) => item !== undefined).join(", ") + (more.length ? ` +${more.length}` : "");
  return `begins as ${some}`;
}

/** Give a row another name; one that is known and not taken yet brings its pixels. */
function rename(row, name) {
  row.name = name;
  const known = given.known.find((item) => item.toLowerCase() === name.trim().toLowerCase());
  if (known && !row.takes.length && !given.rows.some((other) => other.takes.includes(known))) row.takes = [known];
  refresh();
  send();
}

/** A known class goes to one row at most. */
function take(row, item, on) {
  for (const other of given.rows) other.takes = other.takes.filter((name) => name !== item);
  if (on) row.takes = given.known.filter((name) => name === item || row.takes.includes(name));
  refresh();
  send();
}

function insert(parent) {
  const key = 1 + Math.max(-1, ...given.rows.map((row) => row.key));
  const at = parent ? given.rows.indexOf(parent) + 1 : given.rows.length;
  given.rows.splice(at, 0, { key, name: "", color: freshColor(), part: parent ? parent.key : null, takes: [] });
  build();
  place.children[at].querySelector("input[type=text]").focus();
  send();
}

function drop(row) {
  given.rows = given.rows.filter((other) => other !== row);
  for (const other of given.rows) if (other.part === row.key) other.part = row.part;
  const whole = given.rows.find((other) => other.key === row.part);
  if (whole) whole.takes.push(...row.takes);
  build();
  send();
}

// ── colours ──

const hex = (color) => "#" + color.map((value) => value.toString(16).padStart(2, "0")).join("");

// What people see who lack one kind of cone, as linear RGB (Machado, Oliveira and Fernandes 2009, severity 1): long, middle, short waves.
const VISIONS = [
  [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
  [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
  [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
];
const XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], WHITE = [0.9505, 1, 1.089]; // of sRGB, D65
const times = (matrix, vector) => matrix.map((row) => row.reduce((sum, value, k) => sum + value * vector[k], 0));

/** A colour in CIELAB, where distances are what eyes tell apart, as each kind of eyes sees it. */
function seen(color) {
  const linear = color.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return VISIONS.map((vision) => {
    const shown = times(vision, linear).map((value) => Math.min(1, Math.max(0, value)));
    const [x, y, z] = times(XYZ, shown).map((value, k) => Math.cbrt(Math.max(value / WHITE[k], 0.008856)));
    return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
  });
}

/** Of many colours, none of them grey, the one that is farthest from all that are taken, for the eyes that tell them apart the least. */
function freshColor() {
  const taken = given.rows.map((row) => seen(row.color)), steps = [0, 60, 120, 180, 240];
  const distance = (a, b) => Math.min(...a.map((lab, eyes) => Math.hypot(...lab.map((value, k) => value - b[eyes][k]))));
  const every = steps.flatMap((red) => steps.flatMap((green) => steps.map((blue) => [red, green, blue])));
  const all = every.filter((color) => Math.max(...color) - Math.min(...color) >= 120);
  const nearest = all.map((color) => Math.min(...taken.map((other) => distance(seen(color), other))));
  return all[nearest.indexOf(Math.max(...nearest))];
}

add.addEventListener("click", () => insert(null));
watch("value", () => load(props.value));
load(props.value);
