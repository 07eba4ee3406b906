// Drawing: the face, the classes over it in colours or patterns, and what hovers above: cursor ring, outline, mirror line.
//
// The classes lie on a canvas of their own, the ink, some pixels for each pixel of the map, so that patterns have room. Only what changed
// is drawn anew. Nothing is ever read back from a canvas: colours are for eyes.

const MAX_ZOOM = 16;

// What a pattern is at the ink's pixel (x, y). None repeats later than after 8 pixels, so that a pupil of a few of the map's pixels shows it.
// Classes take them in turn, the first one being plain.
const PATTERNS = [
  () => false,
  (x, y) => (x + y) % 8 < 2,
  (x, y) => x % 4 === 1 && y % 4 === 1,
  (x, y) => y % 8 < 2,
  (x, y) => (x - y + 4096) % 8 < 2,
  (x, y) => x % 8 < 2,
  (x, y) => (x % 8 < 4) !== (y % 8 < 4),
  (x, y) => x % 8 === 0 || y % 8 === 0,
  (x, y) => (x + y) % 4 < 1, // the stripes again, finer
  (x, y) => y % 4 < 1,
  (x, y) => (x - y + 4096) % 4 < 1,
  (x, y) => x % 4 < 1,
  (x, y) => (x % 4 < 2) !== (y % 4 < 2),
  (x, y) => x % 4 === 0 || y % 4 === 0,
  (x, y) => x % 8 < 4 && y % 8 < 4,
  (x, y) => (x + y) % 8 > 1, // the stripes again, wide
  (x, y) => y % 8 > 1,
  (x, y) => (x - y + 4096) % 8 > 1,
  (x, y) => x % 8 > 1,
  (x, y) => (x + y) % 8 === 0 || (x - y + 4096) % 8 === 0,
  (x, y) => y % 4 === 0 || (x + (y % 8 < 4 ? 0 : 4)) % 8 === 0, // bricks
  (x, y) => (y + Math.abs(4 - (x % 8))) % 8 < 3, // zigzags
];

/** Colour of a class where its pattern is: darker, or lighter if it is dark. */
function shade([red, green, blue]) {
  const toward = 0.3 * red + 0.6 * green + 0.1 * blue > 110 ? 0 : 255;
  return [red, green, blue].map((value) => Math.round(value * 0.45 + toward * 0.55));
}

class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.ink = document.createElement("canvas");
    this.face = null;
    this.map = null;
    this.colors = [];
    this.opacity = 0.5;
    this.patterns = this.onlyChanged = this.comparing = this.mirror = false;
    this.zoom = 1;
    this.middle = [0.5, 0.5]; // of what is seen, as a part of the map
    this.hover = { ring: null, diameter: 1, outline: null };
    this.wanted = false;
  }

  /** Show another map and face (an Image, which may still be loading). */
  show(map, colors, face) {
    const other = !this.map || this.map.size !== map.size;
    this.map = map;
    this.colors = colors;
    this.face = face;
    this.scale = Math.max(1, Math.ceil(512 / map.size));
    this.ink.width = this.ink.height = map.size * this.scale;
    if (other) this.fit();
    this.repaint();
  }

  // ── where things are ──

  /** Screen pixels for each pixel of the map. */
  unit() {
    return (this.canvas.width / this.map.size) * this.zoom;
  }

  /** The point of the map under a place in the window. */
  toMap(clientX, clientY) {
    const box = this.canvas.getBoundingClientRect();
    const part = [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
    return part.map((p, axis) => ((p - 0.5) / this.zoom + this.middle[axis]) * this.map.size);
  }

  /** Zoom by a factor, so that the point of the map under a place in the window stays there. */
  zoomAt(factor, clientX, clientY) {
    const before = this.toMap(clientX, clientY);
    this.zoom = Math.min(MAX_ZOOM, Math.max(1, this.zoom * factor));
    const after = this.toMap(clientX, clientY);
    this.middle = this.middle.map((m, axis) => m + (before[axis] - after[axis]) / this.map.size);
    this._stay();
  }

  /** Move what is seen by so many pixels of the window. */
  pan(dx, dy) {
    const width = this.canvas.getBoundingClientRect().width * this.zoom;
    this.middle = [this.middle[0] - dx / width, this.middle[1] - dy / width];
    this._stay();
  }

  /** Bring a point of the map into sight. */
  reveal(point) {
    const reach = 0.45 / this.zoom;
    this.middle = this.middle.map((m, axis) => Math.min(point[axis] / this.map.size + reach, Math.max(point[axis] / this.map.size - reach, m)));
    this._stay();
  }

  fit() {
    this.zoom = 1;
    this._stay();
  }

  _stay() {
    const edge = 0.5 / this.zoom;
    this.middle = this.middle.map((m) => Math.min(1 - edge, Math.max(edge, m)));
    this.request();
  }

  /** Fit the drawing to its place on the page; call it when that has changed. */
  resize() {
    const side = Math.round(this.canvas.getBoundingClientRect().width * (window.devicePixelRatio || 1));
    if (!side || side === this.canvas.width) return;
    this.canvas.width = this.canvas.height = side; // which clears it: without waiting for a frame, so that it does not flicker
    if (this.map) this._draw();
  }

  // ── the ink ──

  /** Draw the classes anew, all of them. */
  repaint() {
    if (!this.map) return;
    this._paint(0, 0, this.map.size - 1, this.map.size - 1);
  }

  /** Draw the classes of these pixels anew (and of those between). */
  update(pixels) {
    if (!pixels.length) return;
    const size = this.map.size;
    let [left, top, right, bottom] = [size, size, 0, 0];
    for (const pixel of pixels) {
      const x = pixel % size, y = (pixel - x) / size;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
    }
    this._paint(left, top, right, bottom);
  }

  _paint(left, top, right, bottom) {
    const { map, scale } = this, width = (right - left + 1) * scale, height = (bottom - top + 1) * scale;
    const ids = this.comparing ? map.original : map.ids;
    const image = new ImageData(width, height), shades = this.colors.map(shade);
    for (let y = 0, at = 0; y < height; y++) {
      for (let x = 0; x < width; x++, at += 4) {
        const inkX = left * scale + x, inkY = top * scale + y;
        const pixel = Math.floor(inkY / scale) * map.size + Math.floor(inkX / scale), id = ids[pixel];
        if (this.onlyChanged && !map.isChanged(pixel)) continue; // stays clear
        const dark = this.patterns && PATTERNS[id % PATTERNS.length](inkX, inkY);
        image.data.set(dark ? shades[id] : this.colors[id], at);
        image.data[at + 3] = 255;
      }
    }
    this.ink.getContext("2d").putImageData(image, left * scale, top * scale);
    this.request();
  }

  // ── the picture ──

  /** Draw at the next frame. */
  request() {
    if (this.wanted) return;
    this.wanted = true;
    requestAnimationFrame(() => {
      this.wanted = false;
      if (this.map) this._draw();
    });
  }

  _draw() {
    const { context, canvas, map } = this, unit = this.unit(), side = unit * map.size;
    const corner = this.middle.map((m) => canvas.width / 2 - m * side);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    if (this.face && this.face.complete && this.face.naturalWidth) context.drawImage(this.face, ...corner, side, side);
    context.globalAlpha = this.opacity;
    context.imageSmoothingEnabled = false;
    context.drawImage(this.ink, ...corner, side, side);
    context.globalAlpha = 1;
    context.setTransform(unit, 0, 0, unit, ...corner); // from here on in pixels of the map
    if (this.mirror) this._line([[map.size / 2, 0], [map.size / 2, map.size]], unit, [4, 4]);
    if (this.hover.outline) this._line(this.hover.outline, unit, []);
    if (this.hover.ring) this._ring(this.hover.ring, unit);
  }

  /** A line that is seen on light and dark. */
  _line(points, unit, dash) {
    this.context.beginPath();
    points.forEach((point) => this.context.lineTo(...point));
    this._stroke(unit, dash);
  }

  _ring([x, y], unit) {
    this.context.beginPath();
    this.context.arc(x, y, Math.max(this.hover.diameter / 2, 2 / unit), 0, 2 * Math.PI);
    this._stroke(unit, []);
  }

  _stroke(unit, dash) {
    const { context } = this, fine = (window.devicePixelRatio || 1) / unit;
    context.setLineDash(dash.map((part) => part * fine));
    for (const [color, width] of [["rgba(0, 0, 0, 0.75)", 3], ["white", 1.25]]) {
      context.strokeStyle = color;
      context.lineWidth = width * fine;
      context.stroke();
    }
  }
}
