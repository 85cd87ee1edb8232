// Labels → the outlines of the cells at the screen's resolution. Pure arithmetic on typed arrays.

import {IGNORED} from "./cells.js?token=__TOKEN__";

export const PLAIN = 0, CHANGED = 1, AIMED = 2, SELECTED = 3; // marks of cells; a higher one wins where two cells touch

// Little-endian RGBA, as in the data of an ImageData. Yellow, light blue, vermilion and white are told apart by
// colour-blind readers too, and each has a dark rim, so that it stands out on light and on dark pictures.
const rgba = (red, green, blue, alpha = 255) => (alpha << 24 | blue << 16 | green << 8 | red) >>> 0;
const LINES = [rgba(255, 221, 0), rgba(86, 222, 255), rgba(255, 84, 0), rgba(255, 255, 255)];
const AREA = 4, LINE_OF_AREA = rgba(200, 200, 200); // the border of an ignored area
const TINTS = [0, 0, rgba(255, 84, 0, 90), rgba(255, 255, 255, 60)];
const RIM = rgba(0, 0, 0, 190), HATCH = rgba(255, 255, 255, 170), HATCH_RIM = rgba(0, 0, 0, 130);

/** Where the pixels of the screen lie in the picture: for each of `length` the row or column, or -1 outside. */
function places(length, start, scale, limit) {
  return Int32Array.from({length}, (_, i) => {
    const place = Math.floor(start + (i + .5) / scale);
    return place >= 0 && place < limit ? place : -1;
  });
}

/** Draws outlines into `out`, a Uint32Array of width × height pixels of RGBA.
 *  cells: {now, width, height}; left, top: the picture's place at the upper left corner; scale: pixels of the screen
 *  for one of the picture; marks: Uint8Array with one of the marks above for each cell. */
export function drawOutlines(out, width, height, {cells, left, top, scale, marks}) {
  const columns = places(width + 1, left, scale, cells.width), rows = places(height + 1, top, scale, cells.height);
  const edges = [], kinds = [];
  const labelsOf = row => {
    const labels = new Uint16Array(width + 1), start = row * cells.width;
    if (row >= 0) for (let x = 0; x <= width; x++) if (columns[x] >= 0) labels[x] = cells.now[start + columns[x]];
    return labels;
  };
  const rank = label => label === IGNORED ? -1 : label ? marks[label] : -2;
  const shift = Math.round((left + top) * scale);
  out.fill(0);
  for (let y = 0, current = labelsOf(rows[0]); y < height; y++) {
    const next = rows[y + 1] === rows[y] ? current : labelsOf(rows[y + 1]);
    for (let x = 0, i = y * width; x < width; x++, i++) {
      const here = current[x], right = current[x + 1], below = next[x];
      if (!(here | right | below)) continue;
      if (here === IGNORED) {
        const phase = (x + y + shift & 15);
        if (phase < 2) out[i] = HATCH;
        else if (phase < 4) out[i] = HATCH_RIM;
      } else if (here && marks[here] > CHANGED) out[i] = TINTS[marks[here]];
      if (here === right && here === below) continue;
      const kind = Math.max(rank(here), rank(right), rank(below));
      edges.push(i);
      kinds.push(kind < 0 ? AREA : kind);
    }
    current = next;
  }
  stroke(out, width, height, edges, kinds, scale >= .5);
}

/** Lines of two pixels with a dark rim of one, or of one pixel with a shadow. */
function stroke(out, width, height, edges, kinds, thick) {
  const block = (i, from, to, colour) => {
    const x = i % width, y = (i - x) / width;
    for (let r = Math.max(0, y + from); r <= Math.min(height - 1, y + to); r++) {
      for (let c = Math.max(0, x + from); c <= Math.min(width - 1, x + to); c++) out[r * width + c] = colour;
    }
  };
  const colours = [...LINES, LINE_OF_AREA];
  for (const i of edges) block(i, thick ? -1 : 1, thick ? 2 : 1, RIM);
  for (const mark of [AREA, PLAIN, CHANGED, AIMED, SELECTED]) { // what matters most is drawn last
    for (let k = 0; k < edges.length; k++) {
      if (kinds[k] === mark) block(edges[k], 0, thick || mark > CHANGED && mark !== AREA ? 1 : 0, colours[mark]);
    }
  }
}
