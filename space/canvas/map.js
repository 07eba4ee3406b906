// The label map that is painted: class ids, never colours; strokes that can be undone; and how maps travel to and from the server.

const KEPT_STROKES = 500; // the oldest are forgotten, not the paint

/** One finished stroke: the pixels that it changed, and their class before and after. */
class Stroke {
  constructor(pixels, before, after) {
    this.pixels = pixels;
    this.before = before;
    this.after = after;
  }
}

/** A map of size × size class ids over an `original`, painted stroke by stroke. */
class LabelMap {
  constructor(size, original) {
    this.size = size;
    this.original = original;
    this.ids = original.slice();
    this.done = [];
    this.undone = [];
    this.open = null; // pixel -> class before, of the stroke that is being drawn
  }

  /** Begin a stroke; what `put` does belongs to it until `end` or `cancel`. */
  begin() {
    this.open = new Map();
  }

  /** Give `pixels` the class `id`, or their original class if it is null. */
  put(pixels, id) {
    for (const pixel of pixels) {
      if (!this.open.has(pixel)) this.open.set(pixel, this.ids[pixel]);
      this.ids[pixel] = id === null ? this.original[pixel] : id;
    }
  }

  /** Finish the stroke; whether it changed anything. One that did not leaves no trace. */
  end() {
    const changed = [...this.open].filter(([pixel, before]) => this.ids[pixel] !== before);
    this.open = null;
    if (!changed.length) return false;
    const pixels = Uint32Array.from(changed, ([pixel]) => pixel);
    this.done.push(new Stroke(pixels, Uint8Array.from(changed, ([, before]) => before), Uint8Array.from(pixels, (p) => this.ids[p])));
    if (this.done.length > KEPT_STROKES) this.done.shift();
    this.undone = [];
    return true;
  }

  /** Take back the stroke that is being drawn; its pixels. */
  cancel() {
    const pixels = [...this.open.keys()];
    this.open.forEach((before, pixel) => (this.ids[pixel] = before));
    this.open = null;
    return pixels;
  }

  /** Take back the last stroke, or redo the last one taken back; its pixels, or null if there is none. */
  undo() {
    return this._move(this.done, this.undone, "before");
  }

  redo() {
    return this._move(this.undone, this.done, "after");
  }

  _move(from, to, side) {
    const stroke = from.pop();
    if (!stroke) return null;
    to.push(stroke);
    stroke.pixels.forEach((pixel, k) => (this.ids[pixel] = stroke[side][k]));
    return stroke.pixels;
  }

  /** Paint on `other`, a map of the same size, what is not as in `base`, as one stroke; `translate` gives the class there, or undefined. */
  carryTo(other, base, translate) {
    other.begin();
    this.ids.forEach((id, pixel) => {
      const target = id === base[pixel] ? undefined : translate(id);
      if (target !== undefined) other.put([pixel], target);
    });
    return other.end();
  }

  isChanged(pixel) {
    return this.ids[pixel] !== this.original[pixel];
  }

  /** How many pixels differ from the original. */
  changed() {
    return this.ids.reduce((sum, id, pixel) => sum + (id !== this.original[pixel]), 0);
  }

  /** How many pixels each of so many classes has. */
  counts(classes) {
    const counts = new Array(classes).fill(0);
    this.ids.forEach((id) => counts[id]++);
    return counts;
  }
}

/** Bytes as base64 (in parts: a call takes only so many arguments). */
function toBase64(bytes) {
  let text = "";
  for (let start = 0; start < bytes.length; start += 8192) text += String.fromCharCode(...bytes.subarray(start, start + 8192));
  return btoa(text);
}

function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
