// The picture on the screen: three canvases (picture, outlines, pointer) under one zoom and place.

import {drawOutlines} from "./outlines.js?token=__TOKEN__";

const MOST_PIXELS = 4e6; // of the canvas of outlines; a larger window has them at half its resolution
const LARGEST = 64; // pixels of the screen for one of the picture

export class View {
  constructor(stage) {
    this.stage = stage;
    [this.below, this.lines, this.above] = stage.querySelectorAll("canvas");
    this.scale = 1; // CSS pixels for one of the picture
    this.left = this.top = 0; // the picture's place at the upper left corner of the stage
    this.marks = new Uint8Array(65536);
    this.outlines = true;
    this.overlay = () => {}; // draws what belongs to the pointer, in CSS pixels
    this.drawn = () => {}; // called when zoom or place may have changed
    this.picture = this.cells = null;
    this.frame = 0;
    new ResizeObserver(() => this.resize()).observe(stage);
    this.resize();
  }

  resize() {
    const {width, height} = this.stage.getBoundingClientRect(), whole = this.whole;
    Object.assign(this, {width, height, ratio: window.devicePixelRatio || 1});
    const large = width * height * this.ratio ** 2 > MOST_PIXELS;
    for (const canvas of [this.below, this.lines, this.above]) {
      canvas.ratio = canvas === this.lines && large ? this.ratio / 2 : this.ratio;
      canvas.width = Math.max(1, Math.round(width * canvas.ratio));
      canvas.height = Math.max(1, Math.round(height * canvas.ratio));
    }
    const context = this.lines.getContext("2d");
    this.data = context.createImageData(this.lines.width, this.lines.height);
    if (whole) this.fit();
    this.redraw();
  }

  /** Shows a picture, a list of bitmaps, each half as large as the one before, with its cells. */
  open(levels, cells) {
    this.levels = levels;
    this.cells = cells;
    this.marks.fill(0);
    this.redraw();
  }

  close() {
    for (const bitmap of this.levels ?? []) bitmap.close?.();
    this.levels = this.cells = null;
    this.redraw();
  }

  /** Whether the picture is shown whole, as large as it goes. */
  get whole() { return this.cells && this.scale === this.fitting; }

  get fitting() { return Math.min(LARGEST, this.width / this.cells.width, this.height / this.cells.height); }

  get smallest() { return Math.min(1, this.width / this.cells.width, this.height / this.cells.height) * .9; }

  fit() {
    if (!this.cells) return;
    this.scale = this.fitting;
    this.left = (this.cells.width - this.width / this.scale) / 2;
    this.top = (this.cells.height - this.height / this.scale) / 2;
    this.redraw();
  }

  /** Zooms around a place of the stage, which stays where it is. */
  zoom(factor, x = this.width / 2, y = this.height / 2) { this.zoomTo(this.scale * factor, x, y); }

  zoomTo(scale, x = this.width / 2, y = this.height / 2) {
    if (!this.cells) return;
    const place = this.toPicture(x, y);
    this.scale = Math.min(LARGEST, Math.max(this.smallest, scale));
    this.left = place.x - x / this.scale;
    this.top = place.y - y / this.scale;
    this.keepInside();
  }

  pan(dx, dy) {
    if (!this.cells) return;
    this.left -= dx / this.scale;
    this.top -= dy / this.scale;
    this.keepInside();
  }

  /** The middle of the stage always shows a part of the picture. */
  keepInside() {
    const halfWidth = this.width / this.scale / 2, halfHeight = this.height / this.scale / 2;
    this.left = Math.min(this.cells.width - halfWidth, Math.max(-halfWidth, this.left));
    this.top = Math.min(this.cells.height - halfHeight, Math.max(-halfHeight, this.top));
    this.redraw();
  }

  /** Where a rectangle of the picture is not seen whole, moves until it is, with a margin in CSS pixels. */
  reveal({row, column, height, width}, margin = 60) {
    const first = this.toPicture(0, 0), last = this.toPicture(this.width, this.height);
    if (row >= first.y && column >= first.x && row + height <= last.y && column + width <= last.x) return;
    const shift = (start, length, from, extent) => {
      const room = extent / this.scale, rim = Math.min(margin / this.scale, Math.max(0, (room - length) / 2));
      return Math.max(start + length + rim - room, Math.min(start - rim, from));
    };
    this.left = shift(column, width, this.left, this.width);
    this.top = shift(row, height, this.top, this.height);
    this.keepInside();
  }

  toPicture(x, y) { return {x: this.left + x / this.scale, y: this.top + y / this.scale}; }

  toStage({x, y}) { return {x: (x - this.left) * this.scale, y: (y - this.top) * this.scale}; }

  redraw() { this.request(true); }

  redrawPointer() { this.request(false); }

  request(all) {
    this.stale ||= all;
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      if (this.stale) this.draw();
      this.drawPointer();
    });
  }

  draw() {
    this.stale = false;
    this.drawn();
    this.drawPicture();
    const context = this.lines.getContext("2d"), {width, height} = this.data;
    if (!this.cells || !this.outlines) return context.clearRect(0, 0, width, height);
    drawOutlines(new Uint32Array(this.data.data.buffer), width, height, {
      cells: this.cells, left: this.left, top: this.top, scale: this.scale * this.lines.ratio, marks: this.marks,
    });
    context.putImageData(this.data, 0, 0);
  }

  drawPicture() {
    const context = this.below.getContext("2d"), scale = this.scale * this.below.ratio;
    context.clearRect(0, 0, this.below.width, this.below.height);
    if (!this.levels) return;
    const level = Math.min(this.levels.length - 1, Math.max(0, Math.floor(Math.log2(1 / scale))));
    const bitmap = this.levels[level];
    context.imageSmoothingEnabled = scale < 2; // above, pixels are squares
    context.drawImage(bitmap, -this.left * scale, -this.top * scale,
      this.cells.width * scale, this.cells.height * scale);
  }

  drawPointer() {
    const context = this.above.getContext("2d");
    context.setTransform(this.above.ratio, 0, 0, this.above.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    if (this.cells) this.overlay(context);
  }
}

/** A picture and its halves, quarters … for drawing it small: fast, and without specks. */
export async function levelsOf(blob) {
  const levels = [await createImageBitmap(blob)];
  for (let {width, height} = levels[0]; Math.max(width, height) > 1024;) {
    width = Math.ceil(width / 2);
    height = Math.ceil(height / 2);
    levels.push(await createImageBitmap(levels.at(-1),
      {resizeWidth: width, resizeHeight: height, resizeQuality: "medium"}));
  }
  return levels;
}
