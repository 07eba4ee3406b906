// Which pixels a tool covers: pure arithmetic, without a document to draw in.
//
// A map has size × size pixels. Points are [x, y] in pixels from its upper left corner, so that pixel (i, j) has its centre at
// [i + ½, j + ½]. Pixels are given by their indices y · size + x. A pixel is covered when its centre is.

const TINY = 1e-9; // what rounding may cost at an edge

/** The point where a brush of `diameter` pixels is symmetric: a pixel's centre for odd diameters, a corner for even ones. */
function snap([x, y], diameter) {
  return diameter % 2 ? [Math.floor(x) + 0.5, Math.floor(y) + 0.5] : [Math.round(x), Math.round(y)];
}

/** Distance of the point (x, y) from the segment from `a` to `b`. */
function distanceToSegment(x, y, a, b) {
  const dx = b[0] - a[0], dy = b[1] - a[1];
  const length = dx * dx + dy * dy;
  const t = length ? Math.min(1, Math.max(0, ((x - a[0]) * dx + (y - a[1]) * dy) / length)) : 0;
  return Math.hypot(x - a[0] - t * dx, y - a[1] - t * dy);
}

/** Pixels within diameter / 2 of the segment from `a` to `b`: what a round brush covers on its way. */
function capsule(size, a, b, diameter) {
  const reach = diameter / 2 + TINY, found = [];
  const first = (axis) => Math.max(0, Math.floor(Math.min(a[axis], b[axis]) - reach));
  const last = (axis) => Math.min(size - 1, Math.ceil(Math.max(a[axis], b[axis]) + reach));
  for (let y = first(1); y <= last(1); y++) {
    for (let x = first(0); x <= last(0); x++) {
      if (distanceToSegment(x + 0.5, y + 0.5, a, b) <= reach) found.push(y * size + x);
    }
  }
  return found;
}

/** Pixels that the closed outline through `points` goes around at least once (non-zero winding, so loops that cross leave no holes). */
function polygon(size, points) {
  const found = [];
  for (let y = 0; y < size; y++) {
    const crossings = rowCrossings(points, y + 0.5);
    for (let k = 0, turns = 0; k + 1 < crossings.length; k++) {
      turns += crossings[k].turn;
      if (turns === 0) continue;
      const end = Math.min(size, Math.ceil(crossings[k + 1].x - 0.5));
      for (let x = Math.max(0, Math.ceil(crossings[k].x - 0.5)); x < end; x++) found.push(y * size + x);
    }
  }
  return found;
}

/** Where the edges of a closed outline cross the horizontal line at `y`, from left to right; `turn` is +1 downwards and −1 upwards. */
function rowCrossings(points, y) {
  const crossings = [];
  points.forEach((p, k) => {
    const q = points[(k + 1) % points.length];
    if ((p[1] <= y) === (q[1] <= y)) return;
    crossings.push({ x: p[0] + ((y - p[1]) / (q[1] - p[1])) * (q[0] - p[0]), turn: q[1] > p[1] ? 1 : -1 });
  });
  return crossings.sort((left, right) => left.x - right.x);
}

/** Pixels of the class at [x, y] that can be reached from there over edges of pixels of that class. */
function flood(ids, size, [x, y]) {
  const start = Math.floor(y) * size + Math.floor(x), wanted = ids[start];
  const seen = new Uint8Array(ids.length), found = [start];
  seen[start] = 1;
  for (let next = 0; next < found.length; next++) {
    const pixel = found[next], column = pixel % size;
    const around = [column > 0 ? pixel - 1 : -1, column < size - 1 ? pixel + 1 : -1, pixel - size, pixel + size];
    for (const other of around) {
      if (other < 0 || other >= ids.length || seen[other] || ids[other] !== wanted) continue;
      seen[other] = 1;
      found.push(other);
    }
  }
  return found;
}

/** Points at equal distances of about `step` on the closed outline through `points`. */
function resample(points, step) {
  const closed = [...points, points[0]], along = [0];
  for (let k = 1; k < closed.length; k++) {
    along.push(along[k - 1] + Math.hypot(closed[k][0] - closed[k - 1][0], closed[k][1] - closed[k - 1][1]));
  }
  const length = along[along.length - 1], count = Math.max(3, Math.round(length / step));
  if (length === 0) return [points[0]];
  const even = [];
  for (let k = 0, edge = 1; k < count; k++) {
    const at = (k * length) / count;
    while (along[edge] < at) edge++;
    const t = (at - along[edge - 1]) / (along[edge] - along[edge - 1] || 1);
    even.push([0, 1].map((axis) => closed[edge - 1][axis] + t * (closed[edge][axis] - closed[edge - 1][axis])));
  }
  return even;
}

/** A hand-drawn outline without its tremor: three running means around the closed outline, each a fortieth of it wide. */
function smoothOutline(points) {
  let outline = resample(points, 0.5);
  const reach = Math.floor(outline.length / 80);
  for (let round = 0; round < 3; round++) {
    outline = outline.map((_, k) => {
      let x = 0, y = 0;
      for (let j = k - reach; j <= k + reach; j++) {
        const point = outline[(j + outline.length) % outline.length];
        x += point[0];
        y += point[1];
      }
      return [x / (2 * reach + 1), y / (2 * reach + 1)];
    });
  }
  return outline;
}

/** `points` on the other side of the map's vertical middle. */
function mirrored(points, size) {
  return points.map(([x, y]) => [size - x, y]);
}
