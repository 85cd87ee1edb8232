// The page as a whole: makes its parts, and gives every button and key its act.

import {DRAWS, TOOLS, Tools} from "./tools.js?token=__TOKEN__";
import {Editor} from "./editor.js?token=__TOKEN__";
import {Fields} from "./fields.js?token=__TOKEN__";
import {Input} from "./input.js?token=__TOKEN__";
import {Queue} from "./server.js?token=__TOKEN__";
import {Training} from "./training.js?token=__TOKEN__";
import {View} from "./view.js?token=__TOKEN__";

const $ = id => document.getElementById(id);
const stage = $("stage"), toolButtons = [...document.querySelectorAll("[data-tool]")];
const SAVED = {
  saved: () => "All saved",
  saving: () => "Saving …",
  lost: count => `Not saved: the program has ended. `
    + `Start it again with the same command, and leave this page open: ${count} `
    + `${count === 1 ? "change waits" : "changes wait"} here to be sent.`,
  refused: (_, why) => `Not saved: ${why}. It is tried again.`,
  moved: () => "Not saved: the program was started anew under another address. Open the address that it printed.",
};

function say(text) { $("message").textContent = $("message").title = text; }

/** What of the user's is given up: of the queue, edits by the act that they belong to. */
function inWords(dropped) {
  const acts = new Set(dropped.filter(({path}) => path === "edits").map(({act}) => act)).size;
  const marks = dropped.some(({path}) => path === "state");
  const changes = acts === 1 ? "Your last change is not in it" : `Your last ${acts} changes are not in it`;
  if (!acts) return marks ? "Whether it is done was not changed. " : "";
  return `${changes}${marks ? ", and whether it is done was not changed" : ""}. `;
}

// ----------------------------------------------------------------------------------------------------------- the parts

let fields; // the queue and the fields know each other
const queue = new Queue({
  changed: (state, why) => {
    const saved = $("saved"), was = saved.dataset.state, text = SAVED[state](queue.unsent, why);
    saved.textContent = saved.title = text;
    saved.dataset.state = state;
    if (queue.stuck && was !== state) say(text); // read aloud, as what goes well is not
  },
  answered: (id, answer) => fields.answered(id, answer),
  conflict: async (id, error, dropped) => {
    editor.histories.delete(id);
    fields.forget(id);
    const why = error.status === 409 ? "This field was changed elsewhere, perhaps in another tab, so it is loaded anew."
      : `${error.message} The field is loaded anew.`;
    await fields.load().catch(() => {}); // its state may be another one too
    const told = () => say(`${why} ${inWords(dropped)}`
      + fields.welcome(fields.all.find(field => field.id === id) ?? editor.field));
    if (editor.field?.id === id) fields.open(editor.field, true).then(told);
    else told();
  },
});
const view = new View(stage);
view.drawn = () => { $("zoom").textContent = `${Math.round(100 * view.scale)} %`; };
const editor = new Editor({view, queue, say, changed: showEditor});
const tools = new Tools(editor, view);
const keys = {
  Escape: () => tools.cancel() || editor.cells && editor.select([]),
  Delete: deleteOrDropPoint, Backspace: deleteOrDropPoint,
  "Ctrl+z": () => undoOr("undo"), "Ctrl+z with Shift": () => undoOr("redo"), "Ctrl+y": () => undoOr("redo"),
  n: () => selectNext(1), "n with Shift": () => selectNext(-1),
  j: () => editor.joinSelected() || choose("join"), x: () => setOver(!editor.over),
  "[": () => setBrush(-1), ",": () => setBrush(-1), "]": () => setBrush(1), ".": () => setBrush(1),
  "+": () => view.zoom(1.5), "=": () => view.zoom(1.5), "-": () => view.zoom(1 / 1.5),
    0: () => view.fit(), 1: () => view.zoomTo(1),
  h: () => showOutlines(!view.outlines),
  PageDown: () => fields.go(1), PageUp: () => fields.go(-1), f: ({repeat}) => repeat || fields.toggleDone(),
  t: () => training.ask(), "?": () => $("help").showModal(), F1: () => $("help").showModal(),
};
for (const [name, {key}] of Object.entries(TOOLS)) {
  keys[key] ??= () => choose(name);
  keys[`${key} with Shift`] ??= keys[key];
}
const input = new Input({stage, view, tools, editor, keys});
fields = new Fields({editor, queue, view, input, say});
const training = new Training({queue, fields, say});

// ------------------------------------------------------------------------------------------------------ what keys do

function undoOr(what) {
  if (!tools.cancel()) editor[what]();
}

function deleteOrDropPoint() {
  if (tools.shape) tools.dropPoint();
  else if (editor.cells) editor.remove([...editor.selected]);
}

/** The crosshair goes with the selected cell, so that Space acts on it. */
function selectNext(steps) {
  if (!editor.cells) return;
  editor.selectNext(steps);
  input.crosshair &&= input.startOfCrosshair();
}

function choose(name) {
  input.penDown = false;
  tools.choose(name);
  for (const button of toolButtons) {
    const chosen = button.dataset.tool === name;
    button.ariaPressed = String(chosen);
    button.tabIndex = chosen ? 0 : -1;
  }
  $("hint").textContent = TOOLS[name].hint;
  $("size-option").hidden = !DRAWS.has(name);
  $("over-option").hidden = !(DRAWS.has(name) || name === "outline" || name === "ignore");
  $("over-option").children[1].textContent = name === "erase" ? "From all cells" : "Over other cells";
  stage.dataset.tool = name;
}

function setOver(over) {
  editor.over = $("over").checked = over;
  say(over ? "Drawing now takes pixels from other cells." : "Drawing now leaves other cells as they are.");
}

function setBrush(steps) {
  const size = editor.brush + steps * Math.max(1, Math.round(editor.brush / 8));
  editor.chooseBrush(Math.min(Number($("size").max), Math.max(1, size)));
  showEditor();
  view.redrawPointer();
}

function showOutlines(shown) {
  view.outlines = $("outlines").checked = shown;
  view.redraw();
  say(shown ? "Outlines are shown." : "Outlines are hidden. H shows them.");
}

function showEditor() {
  $("size").value = editor.brush;
  $("size-text").textContent = `${editor.brush} px`;
  $("undo").disabled = !editor.history.done.length;
  $("redo").disabled = !editor.history.undone.length;
}

function showDisplay() {
  view.below.style.filter = `brightness(${$("brightness").value}%) contrast(${$("contrast").value}%)`;
}

// -------------------------------------------------------------------------------------------------------- the controls

const on = (id, name, act) => $(id).addEventListener(name, act);
/** A click with the mouse gives the keys back to the picture; one by Enter or Space leaves them where they are. */
const press = (id, act) => on(id, "click", event => {
  act();
  if (event.detail) stage.focus({preventScroll: true});
});
for (const [id, act] of Object.entries({
  undo: keys["Ctrl+z"], redo: keys["Ctrl+y"], "zoom-in": keys["+"],
    "zoom-out": keys["-"], "zoom-one": keys[1], "zoom-fit": keys[0],
})) press(id, act);
on("help-open", "click", keys["?"]);
on("size", "input", ({target}) => { editor.chooseBrush(Number(target.value)); showEditor(); });
on("over", "change", ({target}) => setOver(target.checked));
on("outlines", "change", ({target}) => showOutlines(target.checked));
on("brightness", "input", showDisplay);
on("contrast", "input", showDisplay);
on("display-reset", "click", () => {
  $("brightness").value = $("contrast").value = 100;
  showDisplay();
});
on("tools", "click", event => {
  const name = event.target.closest("button")?.dataset.tool;
  if (!name) return;
  if (name === "join") keys.j();
  else choose(name);
  if (event.detail) stage.focus({preventScroll: true});
});
on("tools", "keydown", event => {
  const steps = {ArrowDown: 1, ArrowUp: -1}[event.key];
  if (!steps) return;
  event.preventDefault();
  const at = toolButtons.indexOf(document.activeElement);
  toolButtons[(at + steps + toolButtons.length) % toolButtons.length].focus();
});
window.addEventListener("beforeunload", event => {
  if (queue.unsent) event.preventDefault();
});

choose("select");
queue.changed("saved");
try {
  await fields.load();
  await fields.openFirst();
  await training.follow();
} catch (error) {
  fields.notice(error.name === "TypeError"
    ? "The program does not answer. Start it again: python main.py correct" : error.message);
}
