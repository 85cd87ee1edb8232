// What the tools do between press and release, by the pointer and by the keyboard's crosshair alike.
//
// A gesture is {move(point), end(point)?, cancel()?, draw(context)?}; points are {x, y} in pixels of the picture.

import {IGNORED} from "./cells.js?token=__TOKEN__";
import {fillPolygon, sweep, union} from "./geometry.js?token=__TOKEN__";

export const TOOLS = {
  select: {key: "v", hint: "Click a cell to select it, with Shift several. Drag moves the picture."},
  delete: {key: "d", hint: "Click a cell to delete it, or an ignored area to take it away."},
  brush: {key: "b", hint: "Paint a missing cell. A stroke that starts on a cell makes it larger."},
  outline: {key: "o", hint: "Draw around a missing cell, or click point by point and press Enter."},
  erase: {key: "e", hint: "Rub away a part of a cell: of the selected one, else of the first that you touch."},
  split: {key: "s", hint: "Draw a line through a cell, from one side to the other."},
  join: {key: "j", hint: "Click one cell, then the other: they become one."},
  ignore: {key: "i", hint: "Draw around an area that should count neither as cell nor as background."},
  move: {key: "m", hint: "Drag the picture. The wheel zooms."},
};
const CLICKS = new Set(["select", "delete", "join", "move"]); // in these, dragging moves the picture
export const DRAWS = new Set(["brush", "erase"]);
const NEAR = 8; // CSS px: a click this near to the first point closes an outline

export class Tools {
  constructor(editor, view) {
    Object.assign(this, {editor, view, name: "select", gesture: null, shape: null});
  }

  choose(name) {
    this.cancel();
    this.name = name;
    this.editor.aim(0);
    this.view.redrawPointer();
  }

  get clicks() { return CLICKS.has(this.name); }

  get busy() { return Boolean(this.gesture || this.shape); }

  cancel() {
    const was = this.busy;
    this.gesture?.cancel?.();
    this.gesture = this.shape = null;
    this.view.redraw();
    return was;
  }

  // ---------------------------------------------------------------------------------------------- press, move, release

  press(point, keys) {
    const begin = {brush: this.brushing, erase: this.erasing, split: this.splitting,
      outline: this.shaping, ignore: this.shaping};
    this.gesture = begin[this.name]?.call(this, point, keys) ?? null;
    this.view.redrawPointer();
  }

  move(point) {
    this.point = point;
    this.gesture?.move(point);
    if (this.shape) this.shape.point = point;
    if (this.name === "delete" || this.name === "join") this.editor.aim(this.cellAt(point));
    this.view.redrawPointer();
  }

  release(point, keys) {
    const {gesture} = this;
    this.gesture = null;
    gesture?.end(point, keys);
    this.view.redrawPointer();
  }

  cellAt(point) { return this.editor.cells.at(Math.floor(point.y), Math.floor(point.x)); }

  click(point, keys) {
    const {editor} = this, number = this.cellAt(point);
    if (this.name === "delete") return editor.removeAt(Math.floor(point.y), Math.floor(point.x));
    if (number === IGNORED) return editor.say("This area is ignored. The tool Delete takes it away.");
    if (this.name === "select") this.pick(number, keys.shift);
    if (this.name === "join" && number) {
      if (editor.selected.size && !editor.selected.has(number)) editor.join([...editor.selected, number]);
      else this.pick(number, false);
    }
  }

  pick(number, more) {
    const {editor} = this;
    if (number && more) editor.toggle(number);
    else editor.select(number ? [number] : []);
    if (editor.selected.size > 1)
      editor.say(`${editor.selected.size} cells are selected. J joins them, Delete deletes them.`);
    else if (number) editor.say(`A cell of ${editor.cells.sizes[number]} pixels is selected.`);
  }

  // -------------------------------------------------------------------------------------------------- brush and eraser

  stroke(start, touch, end) {
    const {editor, view} = this, {cells} = editor;
    let last = start, box = null;
    const move = point => {
      const mask = sweep(last, point, editor.brush, cells.bounds);
      last = point;
      if (!mask) return;
      touch(mask, point);
      box = union(box, mask);
      view.redraw();
    };
    move(start);
    return {move, end: () => end(box), cancel: () => box && cells.cancel(box)};
  }

  brushing(point, keys) {
    const {editor} = this, {cells} = editor, under = this.cellAt(point);
    const apart = keys.shift && editor.onlySelected > 0, old = apart ? editor.onlySelected : under;
    const number = old || cells.fresh(), over = editor.over || keys.alt;
    return this.stroke(point, mask => cells.paint(mask, number, over),
      box => editor.drawn(box, number, {old: Boolean(old), apart, rings: true}));
  }

  erasing(point, keys) {
    const {editor} = this, {cells} = editor, all = editor.over || keys.alt;
    let number = null;
    return this.stroke(point, (mask, at) => {
      number ||= all ? null : this.firstTouched(mask, at);
      if (number || all) cells.rub(mask, number);
    }, box => editor.erased(box, number));
  }

  firstTouched(mask, point) {
    const {cells, selected} = this.editor, touched = new Set();
    cells.each(mask, (i, at) => { if (mask.data[i] && cells.now[at]) touched.add(cells.now[at]); });
    return [...selected].find(number => touched.has(number)) ?? (this.cellAt(point) || [...touched][0]);
  }

  // -------------------------------------------------------------------------------------------------- lines and shapes

  splitting(start) {
    const points = [start];
    return {
      move: point => points.push(point),
      end: point => this.editor.split([...points, point]),
      draw: context => this.drawLine(context, points, false),
    };
  }

  /** Free hand while the button is down, point by point with clicks, or both. */
  shaping(start) {
    const fresh = !this.shape, first = this.shape?.points[0];
    this.shape ??= {points: [], point: start};
    const {shape} = this, from = this.view.toStage(start), before = shape.points.length;
    if (first && before > 2 && this.distance(from, first) <= NEAR)
      return {move() {}, end: (_, keys) => this.close(keys)};
    shape.points.push(start);
    let far = false;
    return {
      move: point => {
        far ||= this.distance(from, point) > NEAR;
        shape.points.push(point);
      },
      end: (point, keys) => {
        if (far && fresh) this.close(keys);
        else if (!far) shape.points.length = before + 1; // a click, and not a tremble of the hand
      },
    };
  }

  distance(from, point) {
    const {x, y} = this.view.toStage(point);
    return Math.hypot(x - from.x, y - from.y);
  }

  dropPoint() {
    this.shape.points.pop();
    if (!this.shape.points.length) this.shape = null;
    this.view.redrawPointer();
  }

  /** Closes the shape that is being drawn. */
  close(keys) {
    const {editor, shape} = this;
    this.shape = this.gesture = null;
    const mask = fillPolygon(shape.points, editor.cells.bounds), over = editor.over || keys.alt;
    if (this.name === "ignore") editor.ignore(mask, over);
    else editor.outline(mask, {into: keys.shift ? editor.onlySelected : 0, over});
  }

  // ----------------------------------------------------------------------------------------------------------- drawing

  draw(context, crosshair) {
    this.gesture?.draw?.(context);
    if (this.shape) this.drawLine(context, [...this.shape.points, this.shape.point], true);
    if (this.point && DRAWS.has(this.name)) this.drawBrush(context);
    if (crosshair) this.drawCrosshair(context, this.view.toStage(crosshair));
  }

  /** Every line is drawn twice, dark and broad, then light and thin: seen on any picture. */
  twice(context, path) {
    for (const [colour, width] of [["rgb(0 0 0 / .7)", 4], ["#fff", 1.5]]) {
      context.beginPath();
      path();
      Object.assign(context, {strokeStyle: colour, lineWidth: width, lineJoin: "round"});
      context.stroke();
    }
  }

  drawLine(context, points, corners) {
    const places = points.map(point => this.view.toStage(point));
    this.twice(context, () => places.forEach(({x, y}) => context.lineTo(x, y)));
    const [{x, y}] = places;
    if (corners) this.twice(context, () => context.rect(x - 4, y - 4, 8, 8));
  }

  drawBrush(context) {
    const {x, y} = this.view.toStage(this.point), radius = Math.max(1, this.editor.brush * this.view.scale / 2);
    this.twice(context, () => context.arc(x, y, radius, 0, 2 * Math.PI));
  }

  drawCrosshair(context, {x, y}) {
    this.twice(context, () => {
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + 4 * dx, y + 4 * dy);
        context.lineTo(x + 16 * dx, y + 16 * dy);
      }
    });
  }
}
