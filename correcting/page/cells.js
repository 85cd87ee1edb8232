// The cells of one field as an array of labels, and every act on them. No page, no server.
//
// `now` holds the labels (0 nothing, 1… cells, 65535 ignored); acts change it. `before` is the state after the last act
// that was finished: `finish()` compares the two and makes patches of what differs, `cancel()` puts `before` back.
// A patch is a rectangle with runs of its labels before and after: [value, count, value, count, …] row by row.
// Of a cell whose parts lie far apart, the pieces are looked at, not all that lies between them.

import {appendRun, eachSpan, emptyMask, grown, holesOf, intersection, linePixels, partsOf, putInto, spread, union}
  from "./geometry.js?token=__TOKEN__";

export const IGNORED = 65535;
const CRUMB = 5; // px: parts smaller than this are no cells of their own
const GAP = 3; // px between cells that are joined: as much is filled
const MOST_PIECES = 32; // of a cell; the pieces of one that is scattered more are one rectangle

/** Whether two steps go into opposite directions, by more than 120 degrees. */
const opposite = (one, two) => one.r * two.r + one.c * two.c < -.5 * one.distance * two.distance;

/** Where the run of equal labels ends that begins at an index. pairs: the same labels, two in each number. */
function runEnd(labels, pairs, at, end) {
  const value = labels[at], pair = value | value << 16;
  do {
    if (!(at & 1)) while (at + 2 <= end && pairs[at >> 1] === pair) at += 2;
    if (at === end || labels[at] !== value) return at;
  } while (++at < end);
  return at;
}

const pairsOf = labels => new Int32Array(labels.buffer, labels.byteOffset, labels.length >> 1);

export class Cells {
  constructor(labels, height, width) {
    const before = labels.slice();
    Object.assign(this, {now: labels, before, height, width});
    Object.assign(this, {pairsOfNow: pairsOf(labels), pairsOfBefore: pairsOf(before)});
    this.bounds = {row: 0, column: 0, height, width};
    this.sizes = new Uint32Array(IGNORED + 1);
    this.pieces = new Map(); // of each cell: rectangles more than GAP apart, so that every part lies in one of them
    this.acts = new Uint16Array(IGNORED + 1); // how many acts that are not undone changed the cell
    this.highest = 0;
    this.eachRun(this.bounds, (value, row, column, count) => {
      this.sizes[value] += count;
      this.enlarge(value, row, column, count);
    });
    for (const number of this.pieces.keys()) this.highest = Math.max(this.highest, number);
  }

  /** Calls visit(value, row, column, length) for the runs of a rectangle that are not 0. */
  eachRun(box, visit) {
    const {now, width} = this;
    for (let r = box.row; r < box.row + box.height; r++) {
      const start = r * width, end = start + box.column + box.width;
      for (let i = start + box.column; i < end;) {
        const value = now[i], first = i;
        i = runEnd(now, this.pairsOfNow, i, end);
        if (value) visit(value, r, first - start, i - first);
      }
    }
  }

  /** Notes that a run of pixels is a cell's. */
  enlarge(number, row, column, width) {
    if (!number || number === IGNORED) return;
    const pieces = this.pieces.get(number);
    if (!pieces) return this.pieces.set(number, [{row, column, height: 1, width}]);
    putInto(pieces, {row, column, height: 1, width}, GAP);
    if (pieces.length > MOST_PIECES) this.pieces.set(number, [pieces.reduce(union)]);
  }

  /** The rectangle around a cell, undefined where there is none. */
  boxOf(number) { return this.pieces.get(number)?.reduce(union); }

  /** A rectangle, with the pieces of a cell that reach into it. */
  around(number, box) { return putInto([...this.pieces.get(number) ?? []], box, GAP); }

  get count() { return this.pieces.size; }

  at(row, column) {
    const inside = row >= 0 && column >= 0 && row < this.height && column < this.width;
    return inside ? this.now[row * this.width + column] : 0;
  }

  fresh() {
    if (this.highest < IGNORED - 1) return ++this.highest;
    for (let number = 1; number < IGNORED; number++) if (!this.sizes[number]) return number;
    throw new Error("There are 65,534 cells in this field, and a label image has no number for another.");
  }

  /** All cells in reading order. */
  ordered() {
    const boxes = [...this.pieces.keys()].map(number => {
      const box = this.boxOf(number);
      return {number, y: box.row + box.height / 2, x: box.column + box.width / 2};
    });
    const band = Math.max(1, this.typicalDiameter() * 2);
    return boxes.sort((a, b) => Math.floor(a.y / band) - Math.floor(b.y / band) || a.x - b.x).map(({number}) => number);
  }

  /** Diameter in pixels of a circle as large as the median cell; a fortieth of the field where there are none. */
  typicalDiameter() {
    const sizes = [...this.pieces.keys()].map(number => this.sizes[number]).sort((a, b) => a - b);
    return sizes.length ? 2 * Math.sqrt(sizes[sizes.length >> 1] / Math.PI) : Math.min(this.height, this.width) / 40;
  }

  /** What is a cell's in a rectangle, as a mask with a rim of one pixel, from the labels of now or of before. */
  maskOf(number, box, labels = this.now) {
    const mask = emptyMask(intersection(grown(box, 1), this.bounds));
    for (let r = 0, i = 0; r < mask.height; r++) {
      let at = (mask.row + r) * this.width + mask.column;
      for (const end = at + mask.width; at < end; i++, at++) if (labels[at] === number) mask.data[i] = 1;
    }
    return mask;
  }

  /** Calls visit(index in the rectangle, index in the field) for every pixel of a rectangle. */
  each(box, visit) {
    for (let r = 0, i = 0; r < box.height; r++) {
      for (let at = (box.row + r) * this.width + box.column, c = 0; c < box.width; c++) visit(i++, at++);
    }
  }

  // ------------------------------------------------------------------------------------------------- finishing an act

  /** Makes patches of what changed inside of rectangles, and takes it as the state to go on from. */
  finish(rectangles) {
    const disjoint = [];
    for (const box of rectangles) putInto(disjoint, box, 0);
    return disjoint.map(box => this.finishOne(box)).filter(Boolean);
  }

  finishOne(rectangle) {
    const box = this.changedIn(rectangle), patch = {...box, before: [], after: []}, {before, now} = this;
    const lost = new Set(), numbers = new Set();
    if (!box) return null;
    for (let r = 0; r < box.height; r++) {
      const start = (box.row + r) * this.width + box.column, end = start + box.width;
      for (let at = start, endOfWas = at, endOfIs = at; at < end;) { // by runs of pixels that changed alike
        const was = before[at], is = now[at], first = at;
        if (endOfWas === at) endOfWas = runEnd(before, this.pairsOfBefore, at, end);
        if (endOfIs === at) endOfIs = runEnd(now, this.pairsOfNow, at, end);
        at = Math.min(endOfWas, endOfIs);
        appendRun(patch.before, was, at - first);
        appendRun(patch.after, is, at - first);
        if (was === is) continue;
        this.sizes[was] -= at - first;
        this.sizes[is] += at - first;
        lost.add(was);
        numbers.add(was).add(is);
        this.enlarge(is, box.row + r, first % this.width, at - first);
        before.fill(is, first, at);
      }
    }
    for (const number of lost) if (this.pieces.has(number)) this.shrink(number);
    numbers.delete(0);
    numbers.delete(IGNORED);
    return {...patch, numbers: [...numbers]};
  }

  changedIn(rectangle) {
    let top = Infinity, left = Infinity, bottom = -1, right = -1;
    const {now, before} = this;
    for (let r = rectangle.row; r < rectangle.row + rectangle.height; r++) {
      const start = r * this.width;
      let first = rectangle.column, last = first + rectangle.width - 1;
      while (first <= last && now[start + first] === before[start + first]) first++;
      if (first > last) continue;
      while (now[start + last] === before[start + last]) last--;
      top = Math.min(top, r);
      bottom = r;
      left = Math.min(left, first);
      right = Math.max(right, last);
    }
    return bottom < 0 ? null : {row: top, column: left, height: bottom - top + 1, width: right - left + 1};
  }

  shrink(number) {
    const pieces = this.pieces.get(number);
    this.pieces.delete(number);
    if (!this.sizes[number]) return;
    for (const box of pieces) {
      this.eachRun(box, (value, ...run) => { if (value === number) this.enlarge(number, ...run); });
    }
  }

  cancel(box) {
    this.each(box, (_, at) => { this.now[at] = this.before[at]; });
  }

  /** Writes runs into the rectangle of a patch: undo with its `before`, redo with its `after`. */
  write(patch, runs) {
    for (let k = 0, i = 0; k < runs.length; k += 2) {
      for (const end = i + runs[k + 1]; i < end;) { // row by row
        const c = i % patch.width, some = Math.min(end - i, patch.width - c);
        const at = (patch.row + (i - c) / patch.width) * this.width + patch.column + c;
        this.now.fill(runs[k], at, at + some);
        i += some;
      }
    }
    this.finishOne(patch);
  }

  // ------------------------------------------------------------------------------------------------------------- acts

  remove(numbers) {
    return this.finish(numbers.flatMap(number => this.become(number, 0)));
  }

  /** Gives all pixels of a cell another value; the rectangles to finish. */
  become(number, value) {
    const {now} = this, boxes = this.pieces.get(number);
    for (const box of boxes) this.each(box, (_, at) => { if (now[at] === number) now[at] = value; });
    return boxes;
  }

  /** Takes away the ignored area around a pixel. */
  unignore(row, column) {
    const stack = [row * this.width + column], last = this.now.length;
    let box = null;
    while (stack.length) {
      const seed = stack.pop();
      if (this.now[seed] !== IGNORED) continue;
      const start = seed - seed % this.width;
      let left = seed, right = seed;
      while (left > start && this.now[left - 1] === IGNORED) left--;
      while (right + 1 < start + this.width && this.now[right + 1] === IGNORED) right++;
      this.now.fill(0, left, right + 1);
      for (const shift of [-this.width, this.width]) {
        for (let i = left + shift, inside = false; i <= right + shift && i >= 0 && i < last; i++) {
          if (this.now[i] === IGNORED && !inside) stack.push(i);
          inside = this.now[i] === IGNORED;
        }
      }
      box = union(box, {row: start / this.width, column: left - start, height: 1, width: right - left + 1});
    }
    return this.finish(box ? [box] : []);
  }

  /** Puts the pixels of a mask into a cell: free ones alone, or others' too. A stroke calls it again and again. */
  paint(mask, number, over) {
    const {now} = this;
    this.eachSpan(mask, (at, end) => {
      if (over) now.fill(number, at, end);
      else for (; at < end; at++) if (!now[at]) now[at] = number;
    });
  }

  /** Calls visit(first, end) for every run of pixels of a mask within a row, as indices in the field. */
  eachSpan(mask, visit) {
    eachSpan(mask, (i, length) => {
      const c = i % mask.width, at = (mask.row + (i - c) / mask.width) * this.width + mask.column + c;
      visit(at, at + length);
    });
  }

  /** Takes the pixels of a mask from a cell; from all of them where number is null. */
  rub(mask, number) {
    this.each(mask, (i, at) => {
      if (mask.data[i] && (number === null || this.now[at] === number)) this.now[at] = 0;
    });
  }

  /** The end of what `paint` put into a cell inside of a rectangle: rings of the brush are filled, what others cut off
   *  is left out (unless `apart` may be), and cells that lost their middle come apart. */
  settle(rectangle, number, {apart, rings}) {
    const box = this.around(number, rectangle);
    if (number !== IGNORED) {
      if (rings) this.fillRings(box, number);
      if (!apart) this.dropOffcuts(box, number, this.pieces.has(number));
    }
    return this.finish(this.partAll(box, number));
  }

  fillRings(box, number) {
    const after = this.maskOf(number, box), isHole = holesOf(after);
    if (!isHole.includes(1)) return;
    const before = this.maskOf(number, box, this.before), wasHole = holesOf(before);
    this.each(after, (i, at) => {
      if (isHole[i] && !wasHole[i] && !before.data[i] && !this.now[at]) this.now[at] = number;
    });
  }

  dropOffcuts(box, number, old) {
    const mask = this.maskOf(number, box), {numbers, sizes} = partsOf(mask);
    const keep = new Set();
    if (sizes.length < 3) return;
    if (old) this.each(mask, (i, at) => { if (numbers[i] && this.before[at] === number) keep.add(numbers[i]); });
    else keep.add(sizes.indexOf(sizes.reduce((a, b) => Math.max(a, b))));
    if (keep.size === sizes.length - 1) return;
    this.each(mask, (i, at) => { if (numbers[i] && !keep.has(numbers[i])) this.now[at] = this.before[at]; });
  }

  /** Cells that lost pixels inside of a rectangle, all but one: each part that was cut off becomes a cell.
   *  Returns the rectangles to finish. */
  partAll(box, except = null) {
    const losers = new Set();
    const {now, before} = this;
    for (let r = 0, last = 0; r < box.height; r++) {
      let at = (box.row + r) * this.width + box.column;
      for (const end = at + box.width; at < end; at++) {
        if (before[at] !== last && now[at] !== before[at]) losers.add(last = before[at]);
      }
    }
    const rectangles = [box];
    for (const number of losers) {
      if (!number || number === IGNORED || number === except) continue;
      const around = this.around(number, box);
      rectangles.push(around);
      this.part(number, around);
    }
    return rectangles;
  }

  part(number, box) {
    const before = this.maskOf(number, box, this.before), after = this.maskOf(number, box);
    const was = partsOf(before).numbers, is = partsOf(after), largest = new Map();
    const origin = new Int32Array(is.sizes.length);
    after.data.forEach((inside, i) => { if (inside) origin[is.numbers[i]] = was[i]; });
    is.sizes.forEach((size, p) => {
      if (p && size > (is.sizes[largest.get(origin[p])] ?? 0)) largest.set(origin[p], p);
    });
    const first = [...largest.values()].sort((a, b) => is.sizes[b] - is.sizes[a]);
    const value = is.sizes.map((size, p) => !p ? 0 : first.includes(p) ? number : size < CRUMB ? 0 : this.fresh());
    this.each(after, (i, at) => { if (after.data[i]) this.now[at] = value[is.numbers[i]]; });
  }

  /** Cuts cells along a path of points: those of `chosen` that it meets, else all that it meets. Where it goes through
   *  none, its ends are lengthened inside the cell that it meets most. Returns {patches, cells}. */
  split(points, chosen) {
    const pixels = this.path(points), met = new Map();
    for (const [row, column] of pixels) {
      const number = this.at(row, column);
      if (number && number !== IGNORED) met.set(number, (met.get(number) ?? 0) + 1);
    }
    const some = [...met.keys()].filter(number => chosen.has(number));
    const wanted = some.length ? some : [...met.keys()];
    let cut = wanted.filter(number => this.cut(number, pixels));
    if (!cut.length && wanted.length && pixels.length > 1) {
      const most = wanted.reduce((a, b) => met.get(b) > met.get(a) ? b : a);
      cut = [most].filter(number => this.cut(number, this.lengthened(points, number)));
    }
    const boxes = cut.flatMap(number => this.pieces.get(number)), cells = new Set(cut);
    for (const box of boxes)
      this.each(box, (_, at) => { if (this.now[at] !== this.before[at]) cells.add(this.now[at]); });
    return {patches: this.finish(boxes), cells: [...cells]};
  }

  path(points) {
    const pixels = points.map(({x, y}) => [Math.floor(y), Math.floor(x)]);
    return pixels.flatMap((pixel, i) => i ? linePixels(...pixels[i - 1], ...pixel) : [pixel]);
  }

  /** The path, with both ends carried on straight to the border of a cell. */
  lengthened(points, number) {
    const box = this.boxOf(number), far = box.height + box.width;
    const end = line => {
      const last = line[line.length - 1];
      const back = line.findLast(({x, y}) => Math.hypot(x - last.x, y - last.y) >= 3) ?? line[0];
      const length = Math.hypot(last.x - back.x, last.y - back.y) || 1;
      const ahead = {x: last.x + (last.x - back.x) / length * far, y: last.y + (last.y - back.y) / length * far};
      const pixels = this.path([last, ahead]), out = pixels.findIndex(pixel => this.at(...pixel) !== number);
      return pixels.slice(0, out);
    };
    return [...end([...points].reverse()), ...this.path(points), ...end(points)];
  }

  cut(number, pixels) {
    const mine = pixels.filter(pixel => this.at(...pixel) === number);
    if (!mine.length) return false;
    const met = mine.reduce((box, [row, column]) => union(box, {row, column, height: 1, width: 1}), null);
    const mask = this.maskOf(number, this.around(number, met)), whole = mask.data.slice();
    for (const [row, column] of mine) {
      const r = row - mask.row, c = column - mask.column;
      mask.data[r * mask.width + c] = 0;
    }
    const {numbers, sizes} = partsOf(mask), before = partsOf({...mask, data: whole}).numbers;
    const origin = new Int32Array(sizes.length), pieces = new Map(); // part of before → its parts that are large enough
    for (let i = 0; i < numbers.length; i++) origin[numbers[i]] = before[i];
    sizes.forEach((size, p) => {
      if (p && size >= CRUMB) pieces.set(origin[p], [...pieces.get(origin[p]) ?? [], p]);
    });
    const divided = [...pieces.values()].filter(parts => parts.length > 1);
    if (!divided.length) return false;
    const owner = sizes.map((size, p) => p && size >= CRUMB ? number : 0);
    for (const parts of divided) {
      const [, ...others] = parts.sort((a, b) => sizes[b] - sizes[a]);
      for (const part of others) owner[part] = this.fresh();
    }
    const values = numbers.map(p => owner[p]);
    spread(values, {width: mask.width, data: whole});
    this.each(mask, (i, at) => { if (whole[i] && values[i]) this.now[at] = values[i]; });
    return true;
  }

  /** Makes one cell of several, which keeps the first one's number.
   *  Returns {patches, parts}: in how many parts it is. */
  join(numbers) {
    const [first, ...others] = numbers, gaps = this.gapsBetween(numbers);
    const boxes = others.flatMap(number => this.become(number, first));
    for (const at of gaps) this.now[at] = first;
    const patches = this.finish(boxes.map(box => intersection(grown(box, GAP), this.bounds)));
    const parts = box => partsOf(this.maskOf(first, box)).sizes.length - 1;
    return {patches, parts: this.pieces.get(first).reduce((sum, box) => sum + parts(box), 0)};
  }

  gapsBetween(numbers) {
    const boxes = numbers.flatMap(number => this.pieces.get(number).map(box => ({number, ...box})));
    const wanted = new Set(numbers), near = [], gaps = [];
    for (let r = -GAP; r <= GAP; r++) {
      for (let c = -GAP; c <= GAP; c++) near.push({r, c, distance: Math.hypot(r, c)});
    }
    boxes.forEach((a, k) => boxes.slice(0, k).forEach(b => {
      const between = a.number !== b.number && intersection(grown(a, GAP), grown(b, GAP));
      if (between) this.each(intersection(between, this.bounds), (_, at) => {
        if (this.now[at]) return;
        const row = Math.floor(at / this.width), column = at % this.width, nearest = new Map();
        for (const {r, c, distance} of near) {
          const number = this.at(row + r, column + c);
          if (wanted.has(number) && !(distance >= nearest.get(number)?.distance)) nearest.set(number, {r, c, distance});
        }
        const [one, two] = [...nearest.values()].sort((x, y) => x.distance - y.distance);
        if (two && one.distance + two.distance <= GAP + 1 && opposite(one, two)) gaps.push(at);
      });
    }));
    return gaps;
  }

  /** Ignores an area: cells at least half inside go with it, others stay whole;
   *  `exactly`: these pixels and no others. */
  ignore(mask, exactly) {
    if (exactly) {
      this.paint(mask, IGNORED, true);
      return this.finish(this.partAll(mask));
    }
    const inside = new Uint32Array(IGNORED + 1), {now} = this;
    this.eachSpan(mask, (at, end) => {
      while (at < end) {
        const value = now[at], first = at;
        at = runEnd(now, this.pairsOfNow, at, end);
        inside[value] += at - first;
        if (!value) now.fill(IGNORED, first, at);
      }
    });
    const gone = [...this.pieces.keys()].filter(number => inside[number] && 2 * inside[number] >= this.sizes[number]);
    return this.finish([mask, ...gone.flatMap(number => this.become(number, IGNORED))]);
  }
}
