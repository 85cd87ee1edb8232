// The field that is worked on: its cells, what is selected, every act with undo and redo. Each act goes to the queue.

import {AIMED, CHANGED, SELECTED} from "./outlines.js?token=__TOKEN__";
import {Cells, IGNORED} from "./cells.js?token=__TOKEN__";
import {union} from "./geometry.js?token=__TOKEN__";

const cellsInWords = count => count === 1 ? "1 cell" : `${count} cells`;

export class Editor {
  /** say(text): tells the user. changed(): something that the page shows outside of the picture is different. */
  constructor({view, queue, say, changed}) {
    Object.assign(this, {view, queue, say, changed});
    this.histories = new Map(); // of each field since the page was opened
    this.field = this.cells = null;
    this.selected = new Set();
    this.aimed = 0; // the cell that a click would delete or join
    this.brush = 12; // diameter in pixels of the picture; fits the field's cells until the user chooses
    this.brushChosen = false;
    this.over = false; // drawing takes pixels from other cells
  }

  open(field, levels, {labels, version}) {
    const {id, height, width} = field;
    if (labels.length !== height * width) throw new Error(`The labels of ${field.name} do not have its size.`);
    if (this.queue.versions.get(id) !== version || !this.histories.has(id))
      this.histories.set(id, {done: [], undone: []});
    this.queue.versions.set(id, version);
    this.field = field;
    this.cells = new Cells(labels, height, width);
    for (const act of this.history.done) this.count(act, 1);
    this.selected.clear();
    this.aimed = 0;
    if (!this.brushChosen) this.brush = Math.max(3, Math.round(this.cells.typicalDiameter() / 2));
    if (levels) this.view.close();
    this.view.open(levels ?? this.view.levels, this.cells);
    this.refresh();
  }

  /** From then on, it stays as it is from field to field. */
  chooseBrush(diameter) {
    this.brush = diameter;
    this.brushChosen = true;
  }

  get history() { return this.histories.get(this.field?.id) ?? {done: [], undone: []}; }

  refresh() {
    const {marks} = this.view;
    marks.fill(0);
    if (this.cells) {
      for (const number of this.cells.pieces.keys()) if (this.cells.acts[number]) marks[number] = CHANGED;
      for (const number of this.selected) marks[number] = SELECTED;
      if (this.aimed) marks[this.aimed] = AIMED;
    }
    this.view.redraw();
    this.changed();
  }

  // ----------------------------------------------------------------------------------------------- acts, undo and redo

  count({patches}, step) {
    for (const {numbers} of patches) for (const number of numbers) this.cells.acts[number] += step;
  }

  /** Takes patches as one act under a name that is said; `selected` are the cells to select then. */
  done(name, patches, selected = []) {
    const chosen = [...this.selected];
    if (!patches.length) return this.refresh();
    const act = {name, patches, selectedBefore: chosen, selectedAfter: selected};
    this.history.done.push(act);
    this.history.undone.length = 0;
    for (const patch of patches) this.queue.edit(this.field, patch, patch.after, act);
    this.count(act, 1);
    this.select(selected);
    this.say(`${name}. ${cellsInWords(this.cells.count)} in this field.`);
  }

  undo() { this.step(this.history.done, this.history.undone, "before", "Undone: ", "There is nothing to undo."); }

  redo() { this.step(this.history.undone, this.history.done, "after",
    "Done again: ", "There is nothing to do again."); }

  step(from, to, state, words, nothing) {
    const act = from.pop();
    if (!act) return this.say(nothing);
    to.push(act);
    this.count(act, state === "after" ? 1 : -1);
    const again = {};
    for (const patch of state === "after" ? act.patches : act.patches.toReversed()) {
      this.cells.write(patch, patch[state]);
      this.queue.edit(this.field, patch, patch[state], again);
    }
    this.view.reveal(act.patches.reduce(union, null));
    this.select(state === "after" ? act.selectedAfter : act.selectedBefore);
    this.say(`${words}${act.name[0].toLowerCase()}${act.name.slice(1)}. `
      + `${cellsInWords(this.cells.count)} in this field.`);
  }

  // --------------------------------------------------------------------------------------------------------- selection

  select(numbers) {
    this.selected = new Set([...numbers].filter(number => this.cells.pieces.has(number)));
    if (!this.cells.pieces.has(this.aimed)) this.aimed = 0;
    this.refresh();
  }

  aim(number) {
    const aimed = number === IGNORED ? 0 : number;
    if (aimed === this.aimed) return;
    this.aimed = aimed;
    this.refresh();
  }

  toggle(number) {
    const selected = new Set(this.selected);
    if (!selected.delete(number)) selected.add(number);
    this.select(selected);
  }

  /** Selects the next cell in reading order, or the one before, and shows it. */
  selectNext(steps) {
    const numbers = this.cells.ordered(), last = [...this.selected].at(-1);
    if (!numbers.length) return this.say("There are no cells in this field.");
    const at = numbers.indexOf(last), first = steps > 0 ? 0 : numbers.length - 1;
    const number = numbers[at < 0 ? first : (at + steps + numbers.length) % numbers.length];
    this.select([number]);
    this.view.reveal(this.cells.boxOf(number));
    this.say(`Cell ${numbers.indexOf(number) + 1} of ${numbers.length}, ${this.cells.sizes[number]} pixels.`);
    return number;
  }

  get onlySelected() { return this.selected.size === 1 ? [...this.selected][0] : 0; }

  // ------------------------------------------------------------------------------------------------- acts of one click

  remove(numbers) {
    if (!numbers.length) return this.say("Select a cell first: click it, or press N for the next one.");
    this.done(`${cellsInWords(numbers.length)} deleted`, this.cells.remove(numbers));
  }

  removeAt(row, column) {
    const number = this.cells.at(row, column);
    if (number === IGNORED) this.done("Ignored area taken away", this.cells.unignore(row, column), this.selected);
    else if (number) this.remove([number]);
    else this.say("There is no cell here.");
  }

  join(numbers) {
    const {patches, parts} = this.cells.join(numbers);
    const apart = parts > 1 ? `: they do not touch, so this cell has ${parts} parts` : "";
    this.done(`${cellsInWords(numbers.length)} joined${apart}`, patches, [numbers[0]]);
  }

  joinSelected() {
    if (this.selected.size < 2) return false;
    this.join([...this.selected]);
    return true;
  }

  split(points) {
    const {patches, cells} = this.cells.split(points, this.selected);
    if (patches.length) this.done(`Split into ${cells.length} cells`, patches, cells);
    else this.say("Nothing is split: draw a line across a cell, from one side to the other.");
  }

  ignore(mask, exactly) {
    const patches = mask ? this.cells.ignore(mask, exactly) : [];
    if (patches.length) this.done("Area ignored", patches);
    else this.say("Nothing is ignored: draw around an area that is larger than a pixel.");
  }

  outline(mask, {into, over}) {
    const number = into || this.cells.fresh();
    if (mask) this.cells.paint(mask, number, over);
    this.drawn(mask, number, {old: Boolean(into), apart: Boolean(into)});
  }

  /** The end of a drawn shape or stroke in a cell. */
  drawn(box, number, {old, apart, rings}) {
    const patches = box ? this.cells.settle(box, number, {apart, rings}) : [];
    const name = number === IGNORED ? "Ignored area enlarged" : old ? "Cell enlarged" : "New cell";
    if (patches.length) this.done(name, patches, [number]);
    else this.say("Nothing is drawn: only other cells are there. Hold Alt to draw over them.");
    this.refresh();
  }

  erased(box, number) {
    const cells = this.cells.count, patches = box ? this.cells.finish(this.cells.partAll(box)) : [];
    const more = this.cells.count - cells;
    const name = more > 0 ? `Erased, cut into ${more + 1} cells` : more < 0 ? "Cell erased" : "Part of a cell erased";
    if (patches.length) this.done(number === IGNORED ? "Ignored area cut back" : name, patches, number ? [number] : []);
    else this.say("Nothing is erased: start at a cell.");
  }
}
