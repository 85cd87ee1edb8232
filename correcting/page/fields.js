// The list of fields at the side: which there are, which is open, what is done.

import {json, loadLabels, pause, request} from "./server.js?token=__TOKEN__";
import {levelsOf} from "./view.js?token=__TOKEN__";

const $ = id => document.getElementById(id);
const DOUBLE_MS = 600; // after a press of "done": another one is the second of a double click
const FOLLOW_MS = 300; // between two questions whether training fields are written
const STATES = {untouched: "untouched", begun: "begun", done: "done"};
const PARTS = {train: "for training", test: "held out for testing", new: "new"};

export class Fields {
  constructor({editor, queue, view, input, say}) {
    Object.assign(this, {editor, queue, view, input, say});
    this.all = [];
    this.opening = null; // AbortController of the field that is being opened
    this.coming = null; // that field
    this.marking = null; // {id, done}: what the program has been asked to mark, and has not answered yet
    this.following = false; // the writing of training fields
    this.answers = 0; // of the program to what was changed
    this.fresh = null; // {id, until}: no "done" for this field before that moment
    $("previous").addEventListener("click", () => this.go(-1));
    $("next").addEventListener("click", () => this.go(1));
    $("done").addEventListener("click", () => this.toggleDone());
    $("fields").addEventListener("click", ({target}) => {
      const id = target.closest("button")?.dataset.id;
      if (id !== undefined) this.open(this.all.find(field => String(field.id) === id));
    });
  }

  get current() { return this.editor.field; }

  async load() {
    const {fields} = await json("fields"), id = this.current?.id;
    this.all = fields;
    if (id !== undefined) this.editor.field = fields.find(field => field.id === id) ?? this.current;
    this.show();
    this.follow();
  }

  /** The first field that is not done, or the first of all. */
  async openFirst() {
    const field = this.all.find(({state}) => state !== "done") ?? this.all[0];
    if (field) return this.open(field);
    this.notice("There are no pictures here. End the program, and name some: python main.py correct PICTURES");
  }

  notice(text) {
    $("notice").textContent = text;
    $("notice").hidden = !text;
  }

  /** Opens a field; the one before stays open where that fails. `again`: its labels alone are loaded anew. */
  async open(field, again = false) {
    this.opening?.abort();
    const {signal} = this.opening = new AbortController();
    this.coming = field;
    this.input.reset();
    $("stage").ariaBusy = "true";
    const late = setTimeout(() => this.notice(`Opening ${field.name} …`), 300);
    try {
      await this.queue.empty(signal);
      const waiting = () => {
        clearTimeout(late);
        this.notice(`The network is looking for the cells in ${field.name} …`);
      };
      const [levels, loaded] = await Promise.all([
        again ? null : request(`fields/${field.id}/picture`, {signal}).then(response => response.blob()).then(levelsOf),
        loadLabels(field.id, {signal, waiting}),
      ]);
      if (signal.aborted) return;
      this.editor.open(field, levels, loaded);
      if (!again) this.view.fit();
      field.cells = this.editor.cells.count;
      if (!again) this.say(this.welcome(field));
      this.show();
      if (!again) $("stage").focus({preventScroll: true});
    } catch (error) {
      if (signal.aborted) return;
      const why = error instanceof TypeError ? "The program does not answer." : error.message;
      this.say(`${field.name} cannot be opened. ${why}`);
      if (!this.current) this.notice(`${field.name} cannot be opened. ${why}`);
      return;
    } finally {
      clearTimeout(late);
      if (this.opening.signal === signal) {
        $("stage").ariaBusy = "false";
        this.coming = null;
      }
    }
    this.notice("");
  }

  welcome({name, cells, state}) {
    const found = cells === 1 ? "1 cell" : `${cells} cells`;
    return `${name}: ${found}, ${STATES[state]}.`;
  }

  go(steps) {
    const field = this.all[this.place + steps];
    if (field) this.open(field);
    else this.say(steps > 0 ? "This is the last field." : "This is the first field.");
  }

  get place() { return this.all.findIndex(({id}) => id === this.current?.id); }

  /** Marks the open field as done, or takes that back. What came of it is said when the program has answered. */
  toggleDone() {
    const field = this.current, {fresh} = this;
    if (!field || this.marking || this.coming || fresh?.id === field.id && performance.now() < fresh.until) return;
    this.input.reset();
    this.marking = {id: field.id, done: field.state !== "done"};
    this.queue.state(field, this.marking.done);
  }

  /** What the program answered to an edit or a change of state. */
  answered(id, {cells, state, problem, writing}) {
    const field = this.all.find(other => other.id === id);
    this.answers++;
    if (!field) return;
    field.writing = writing ?? field.writing;
    field.cells = cells ?? field.cells;
    if (problem !== undefined) field.problem = problem;
    field.state = state ?? (field.state === "untouched" ? "begun" : field.state);
    this.show();
    if (state !== undefined && this.marking?.id === id) this.marked(field);
    this.follow();
  }

  /** Asks until all training fields are written. The program has answered before, and finishes them whatever ends it. */
  async follow() {
    if (this.following) return;
    this.following = true;
    while (this.all.some(({writing}) => writing)) {
      const {answers} = this;
      await pause(FOLLOW_MS);
      const {fields} = await json("fields").catch(() => ({fields: []}));
      if (answers !== this.answers || this.marking) continue; // it was asked before that was changed
      for (const field of fields) if (!field.writing) this.written(field);
      this.show();
    }
    this.following = false;
  }

  /** A training field is written, or could not be; known only then. */
  written({id, state, part, problem}) {
    const field = this.all.find(other => other.id === id);
    if (!field?.writing) return;
    const said = field.problem ?? "", words = state === field.state ? "is done, but" : "is not done:";
    Object.assign(field, {state, part, problem, writing: false});
    if (problem && problem !== said) this.say(`${field.name} ${words} ${problem}.`);
  }

  /** The field is done, or open again, or it could not become so. */
  async marked(field) {
    const {done} = this.marking, {name, state, problem} = field, is = state === "done";
    this.marking = null;
    if (is !== done) return this.say(`${name} is ${is ? "still" : "not"} done. ${problem ?? ""}`);
    const words = `${name} is ${done ? "done" : "open again"}${problem ? `, but ${problem}` : ""}`;
    const stays = this.coming || this.current?.id !== field.id; // the user has gone to another one meanwhile
    const left = [...this.all.slice(this.place + 1), ...this.all].find(other => other.state !== "done");
    if (done && left && !stays) await this.open(left);
    this.keepFromDouble();
    if (!done || stays) this.say(`${words}.`);
    else if (!left) this.say(`${words}; all fields are done.`);
    else if (this.current?.id === left.id) this.say(`${words}. ${this.welcome(this.current)}`);
  }

  keepFromDouble() { this.fresh = {id: this.current?.id, until: performance.now() + DOUBLE_MS}; }

  /** Of a field that is loaded anew nothing is on its way any more. */
  forget(id) { if (this.marking?.id === id) this.marking = null; }

  show() {
    const {current, all} = this, done = all.filter(({state}) => state === "done").length;
    $("fields-facts").textContent = all.length ? `${done} of ${all.length} done` : "";
    const list = $("fields");
    while (list.children.length > all.length) list.lastChild.remove();
    all.forEach((field, i) => this.showEntry(list.children[i] ?? list.appendChild(this.entry()), field));
    $("field-name").textContent = current?.name ?? "Correct cells";
    $("field-facts").textContent = current
      ? `field ${this.place + 1} of ${all.length} · `
        + `${current.width} × ${current.height} px · ${PARTS[current.part]}` : "";
    $("stage").ariaLabel = current ? `Picture ${current.name} with its cells` : "No picture";
    $("previous").disabled = this.place <= 0;
    $("next").disabled = this.place >= all.length - 1;
    $("done").disabled = !current;
    $("done").ariaPressed = String(current?.state === "done");
    $("done").firstChild.textContent = current?.state === "done" ? "Done. Open it again " : "This field is done ";
  }

  entry() {
    const item = document.createElement("li"), button = document.createElement("button");
    button.type = "button";
    for (const kind of ["name", "facts", "problem"])
      button.appendChild(document.createElement("span")).className = kind;
    item.append(button);
    return item;
  }

  showEntry(item, field) {
    const button = item.firstChild, [name, facts, problem] = button.children, open = field.id === this.current?.id;
    button.dataset.id = field.id;
    button.dataset.state = field.state;
    button.title = field.name;
    name.textContent = field.name;
    const cells = open ? this.editor.cells.count : field.cells;
    const count = cells == null ? [] : [cells === 1 ? "1 cell" : `${cells} cells`];
    const part = field.part === "test" ? ["test"] : [];
    const writing = field.writing ? ["writing …"] : [];
    facts.textContent = [STATES[field.state], ...count, ...part, ...writing].join(" · ");
    problem.textContent = field.problem ?? "";
    if (open && button.ariaCurrent !== "true") item.scrollIntoView({block: "nearest"});
    button.ariaCurrent = String(open);
  }
}
