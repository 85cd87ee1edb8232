// Pixels and shapes, without a page: rectangles, runs, masks, lines, polygons, connected parts.
//
// A pixel in row r and column c is the square from x = c to c + 1 and y = r to r + 1; its centre decides.
// A rectangle is {row, column, height, width}; a mask is a rectangle with data, a Uint8Array, row by row.

export function union(a, b) {
  if (!a) return b;
  if (!b) return a;
  const row = Math.min(a.row, b.row), column = Math.min(a.column, b.column);
  const bottom = Math.max(a.row + a.height, b.row + b.height);
  const right = Math.max(a.column + a.width, b.column + b.width);
  return {row, column, height: bottom - row, width: right - column};
}

export function intersection(a, b) {
  const row = Math.max(a.row, b.row), column = Math.max(a.column, b.column);
  const height = Math.min(a.row + a.height, b.row + b.height) - row;
  const width = Math.min(a.column + a.width, b.column + b.width) - column;
  return height > 0 && width > 0 ? {row, column, height, width} : null;
}

export function grown(box, pixels) {
  return {row: box.row - pixels, column: box.column - pixels, height: box.height + 2 * pixels,
    width: box.width + 2 * pixels};
}

/** Puts a rectangle into a list of disjoint ones, in place: those nearer than `gap` become one with it, which is
 *  returned. */
export function putInto(list, box, gap) {
  let near;
  do {
    const {row, column, height, width} = box;
    near = list.findIndex(other => other.row < row + height + gap && row < other.row + other.height + gap
      && other.column < column + width + gap && column < other.column + other.width + gap);
    if (near >= 0) [box] = [union(box, list[near]), list.splice(near, 1)];
  } while (near >= 0);
  list.push(box);
  return box;
}

export function emptyMask({row, column, height, width}) {
  return {row, column, height, width, data: new Uint8Array(height * width)};
}

/** Calls visit(first index in the mask, length) for every run of pixels of a mask within a row. */
export function eachSpan({height, width, data}, visit) {
  for (let r = 0; r < height; r++) {
    const row = data.subarray(r * width, (r + 1) * width);
    for (let first = row.indexOf(1), end; first >= 0; first = row.indexOf(1, end)) {
      end = row.indexOf(0, first);
      if (end < 0) end = width;
      visit(r * width + first, end - first);
    }
  }
}

/** Appends a run to runs, to the last one where that has the same value. */
export function appendRun(runs, value, count) {
  if (runs.length && runs[runs.length - 2] === value) runs[runs.length - 1] += count;
  else runs.push(value, count);
}

/** The pixels (row, column) of a line from pixel to pixel, both included; neighbours touch by a side or a corner. */
export function linePixels(row, column, toRow, toColumn) {
  const rows = Math.abs(toRow - row), columns = Math.abs(toColumn - column), pixels = [];
  const stepRow = Math.sign(toRow - row), stepColumn = Math.sign(toColumn - column);
  for (let error = columns - rows; ;) {
    pixels.push([row, column]);
    if (row === toRow && column === toColumn) return pixels;
    const twice = 2 * error;
    if (twice > -rows) { error -= rows; column += stepColumn; }
    if (twice < columns) { error += columns; row += stepRow; }
  }
}

/** The pixels that a round brush covers on its way between two points: a mask, or null outside of the bounds. */
export function sweep(from, to, diameter, bounds) {
  const radius = diameter / 2, reach = Math.ceil(radius) + 1;
  const box = intersection(bounds, {
    row: Math.floor(Math.min(from.y, to.y)) - reach, column: Math.floor(Math.min(from.x, to.x)) - reach,
    height: Math.ceil(Math.abs(from.y - to.y)) + 2 * reach + 1,
      width: Math.ceil(Math.abs(from.x - to.x)) + 2 * reach + 1,
  });
  if (!box) return null;
  const mask = emptyMask(box), dx = to.x - from.x, dy = to.y - from.y, length = dx * dx + dy * dy;
  for (let r = 0, i = 0; r < box.height; r++) {
    for (let c = 0; c < box.width && diameter > 1; c++, i++) {
      const px = box.column + c + .5 - from.x, py = box.row + r + .5 - from.y;
      const along = length ? Math.max(0, Math.min(1, (px * dx + py * dy) / length)) : 0;
      const x = px - along * dx, y = py - along * dy;
      if (x * x + y * y <= radius * radius) mask.data[i] = 1;
    }
  }
  for (const [row, column] of linePixels(...[from.y, from.x, to.y, to.x].map(Math.floor))) {
    const r = row - box.row, c = column - box.column; // the pixels under the pointer itself
    if (r >= 0 && c >= 0 && r < box.height && c < box.width) mask.data[r * box.width + c] = 1;
  }
  return mask;
}

/** The pixels with their centre inside a closed line through points {x, y}: a mask, or null where there are none.
 *  Where the line crosses itself, what it goes round is inside (winding number other than 0). */
export function fillPolygon(points, bounds) {
  const xs = points.map(({x}) => x), ys = points.map(({y}) => y);
  const row = Math.floor(Math.min(...ys)), column = Math.floor(Math.min(...xs));
  const box = points.length > 2 && intersection(bounds, {
    row, column, height: Math.ceil(Math.max(...ys)) - row, width: Math.ceil(Math.max(...xs)) - column,
  });
  if (!box) return null;
  const mask = emptyMask(box);
  for (let r = 0; r < box.height; r++) {
    const y = box.row + r + .5, crossings = [];
    points.forEach((a, i) => {
      const b = points[(i + 1) % points.length];
      if ((a.y <= y) === (b.y <= y)) return;
      crossings.push({x: a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x), turn: a.y < b.y ? 1 : -1});
    });
    crossings.sort((a, b) => a.x - b.x);
    for (let i = 0, winding = 0; i + 1 < crossings.length; i++) {
      winding += crossings[i].turn;
      if (!winding) continue;
      const start = Math.max(0, Math.ceil(crossings[i].x - .5) - box.column);
      const end = Math.min(box.width, Math.ceil(crossings[i + 1].x - .5) - box.column);
      if (start < end) mask.data.fill(1, r * box.width + start, r * box.width + end);
    }
  }
  return mask;
}

/** The connected parts of a mask, joined by sides: {numbers: Int32Array of 1… on the mask, sizes: [0, pixels of 1, …]}.
 *  Run by run: a run takes the number of the first it touches in the row above, and the others become the same part. */
export function partsOf({height, width, data}) {
  const numbers = new Int32Array(height * width), parents = [0];
  const rootOf = number => {
    while (parents[number] !== number) number = parents[number] = parents[parents[number]];
    return number;
  };
  for (let r = 0; r < height; r++) {
    const start = r * width, end = start + width;
    for (let i = start; i < end; i++) {
      if (!data[i]) continue;
      const first = i;
      let number = 0;
      for (; i < end && data[i]; i++) {
        const above = r ? numbers[i - width] : 0;
        if (!above || above === number) continue;
        if (!number) number = rootOf(above);
        else if (rootOf(above) !== number) parents[rootOf(above)] = number;
      }
      numbers.fill(number || parents.push(parents.length) - 1, first, i);
    }
  }
  const finals = new Int32Array(parents.length), sizes = [0];
  for (let number = 1; number < parents.length; number++)
    if (parents[number] === number) finals[number] = sizes.push(0) - 1;
  for (let number = 1; number < parents.length; number++) finals[number] = finals[rootOf(number)];
  for (let i = 0; i < numbers.length; i++) if (numbers[i]) sizes[numbers[i] = finals[numbers[i]]]++;
  return {numbers, sizes};
}

/** What a mask encloses: 1 where the background has no way to the rectangle's border (joined by sides). */
export function holesOf({height, width, data}) {
  const {numbers, sizes} = partsOf({height, width, data: data.map(value => value ? 0 : 1)}),
    open = new Uint8Array(sizes.length);
  for (let c = 0; c < width; c++) open[numbers[c]] = open[numbers[(height - 1) * width + c]] = 1;
  for (let r = 0; r < height; r++) open[numbers[r * width]] = open[numbers[r * width + width - 1]] = 1;
  return data.map((value, i) => value || open[numbers[i]] ? 0 : 1);
}

/** Gives every pixel of the mask without a number (0) the number nearest to it, step by step over sides, in place. */
export function spread(numbers, {width, data}) {
  let edge = [];
  for (let i = 0; i < data.length; i++) if (numbers[i]) edge.push(i);
  while (edge.length) {
    const next = [];
    for (const i of edge) {
      const c = i % width;
      for (const j of [c > 0 ? i - 1 : -1, c + 1 < width ? i + 1 : -1, i - width, i + width]) {
        if (j < 0 || j >= data.length || !data[j] || numbers[j]) continue;
        numbers[j] = numbers[i];
        next.push(j);
      }
    }
    edge = next;
  }
  return numbers;
}
