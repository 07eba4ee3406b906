// What a hand does on the map: press, move, release. A mouse, a pen, a finger and the arrow keys all come through here.

const TOOLS = {
  brush: "Brush: paint with the chosen class",
  eraser: "Eraser: back to the labels as they were",
  lasso: "Lasso: go around what shall be filled",
  sketch: "Sketch: draw a closed outline by hand; it is smoothed and filled",
  fill: "Fill: give a whole patch of one class the chosen class",
  pick: "Pick: choose the class under the pointer",
};
const DIAMETERS = [1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64];

class Painter {
  /** `finished(changed)` is called after each stroke, `picked(id)` when a class was picked. */
  constructor(view, finished, picked) {
    this.view = view;
    this.finished = finished;
    this.picked = picked;
    this.tool = "brush";
    this.chosen = 0;
    this.diameter = 8;
    this.path = null; // points of the stroke that is being drawn
  }

  get map() {
    return this.view.map;
  }

  get busy() {
    return this.path !== null;
  }

  /** Begin at a point of the map, with the chosen tool or another one for this stroke. */
  press(point, tool = this.tool) {
    if (!this.map || this.busy) return;
    if (tool === "pick") return this._pick(point);
    this.path = [point];
    this.stroke = tool;
    this.map.begin();
    if (tool !== "fill") return this.move(point);
    this._fill(point);
    this.release();
  }

  /** Go on to a point. */
  move(point) {
    this.hover(point);
    if (!this.busy) return;
    const last = this.path[this.path.length - 1];
    if (this.stroke === "brush" || this.stroke === "eraser") this._cover(last, point);
    this.path.push(point);
    if (this._isOutline) this.view.hover.outline = this._outline();
    this.view.request();
  }

  /** End the stroke. */
  release() {
    if (!this.busy) return;
    if (this._isOutline && this.path.length > 2) this._put((points) => polygon(this.map.size, points), this._outline());
    this._rest();
    this.finished(this.map.end());
  }

  /** End the stroke as if it had not been begun. */
  cancel() {
    if (!this.busy) return;
    this._rest();
    this.view.update(this.map.cancel());
  }

  /** Show the brush at a point, or nowhere (null). */
  hover(point) {
    const round = this.tool === "brush" || this.tool === "eraser";
    this.view.hover.ring = point && round ? snap(point, this.diameter) : null;
    this.view.hover.diameter = this.diameter;
    this.view.request();
  }

  /** The next larger (+1) or smaller (−1) brush. */
  resize(step) {
    const others = DIAMETERS.filter((d) => (d - this.diameter) * step > 0);
    if (others.length) this.diameter = step > 0 ? others[0] : others[others.length - 1];
  }

  get _isOutline() {
    return this.stroke === "lasso" || this.stroke === "sketch";
  }

  _outline() {
    const points = this.stroke === "sketch" && this.path.length > 2 ? smoothOutline(this.path) : this.path;
    return [...points, points[0]];
  }

  _rest() {
    this.path = null;
    this.view.hover.outline = null;
    this.view.request();
  }

  _cover(from, to) {
    const ends = [snap(from, this.diameter), snap(to, this.diameter)];
    this._put(([a, b]) => capsule(this.map.size, a, b, this.diameter), ends);
  }

  _fill(point) {
    if (this._outside(point)) return;
    this._put(([seed]) => flood(this.map.ids, this.map.size, seed), [point]);
  }

  _pick(point) {
    if (!this._outside(point)) this.picked(this.map.ids[Math.floor(point[1]) * this.map.size + Math.floor(point[0])]);
  }

  _outside(point) {
    return point.some((value) => value < 0 || value >= this.map.size);
  }

  /** Paint the pixels that `cover` finds for `points`, and for their mirror image if the mirror is on. */
  _put(cover, points) {
    const { map, view } = this;
    const pixels = view.mirror ? [...cover(points), ...cover(mirrored(points, map.size))] : cover(points);
    map.put(pixels, this.stroke === "eraser" ? null : this.chosen);
    view.update(pixels);
  }
}
