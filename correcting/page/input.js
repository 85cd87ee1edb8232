// Mouse, pen, touch and keyboard on the picture → the tools' press, move and release, zoom and pan.

const DRAG = 4; // CSS px that the pointer may tremble in a click
const PAUSE = 200; // ms without a turn of the wheel, after which another may be turned
const NOTCH = 40; // CSS px: the least step of a wheel
const STEP = 10; // CSS px that an arrow key moves the crosshair

export class Input {
  /** keys: from a key to what it does, outside of the picture too. */
  constructor({stage, view, tools, editor, keys}) {
    Object.assign(this, {stage, view, tools, editor, keys});
    this.pointers = new Map(); // of a touch screen: where each finger is
    this.drag = null; // {x, y, far, moves, button}: the press that is going on
    this.wheeled = -Infinity; // when the wheel was last turned
    this.space = false; // held, to move the picture
    this.crosshair = null; // {x, y} of the picture, while the keyboard is in use
    this.penDown = false; // the keyboard's mouse button
    view.overlay = context => tools.draw(context, this.crosshair);
    const on = (target, name, method, options) => target.addEventListener(name, event => {
      if (editor.cells || target === document) method.call(this, event);
    }, options);
    on(stage, "pointerdown", this.down);
    on(stage, "pointermove", this.moved);
    on(stage, "pointerup", this.up);
    on(stage, "pointercancel", this.lost);
    on(stage, "pointerleave", () => { tools.point = null; editor.aim(0); view.redrawPointer(); });
    on(stage, "dblclick", event => tools.shape && tools.close(this.modifiers(event)));
    on(stage, "wheel", this.wheel, {passive: false});
    on(stage, "contextmenu", event => event.preventDefault());
    on(document, "keydown", this.key);
    document.addEventListener("keyup", event => { if (event.key === " ") this.holdSpace(false); });
    window.addEventListener("blur", () => this.holdSpace(false));
  }

  modifiers(event) { return {shift: event.shiftKey, alt: event.altKey}; }

  place(event) {
    const {left, top} = this.stage.getBoundingClientRect();
    return {x: event.clientX - left, y: event.clientY - top};
  }

  /** Forgets what is going on: another field comes, or another tool. */
  reset() {
    this.drag = this.crosshair = null;
    this.penDown = false;
    this.tools.cancel();
  }

  // ----------------------------------------------------------------------------------------------------------- pointer

  down(event) {
    this.stage.focus({preventScroll: true});
    this.stage.setPointerCapture(event.pointerId);
    const {x, y} = this.place(event);
    if (event.pointerType === "touch") this.pointers.set(event.pointerId, {x, y});
    if (this.pointers.size > 1) return this.lost();
    if (this.drag || event.button > 1) return;
    this.crosshair = null;
    this.penDown = false;
    const moves = event.button === 1 || this.space || this.tools.clicks;
    this.drag = {x, y, far: false, moves, click: event.button === 0 && !this.space};
    if (!moves) this.tools.press(this.view.toPicture(x, y), this.modifiers(event));
    event.preventDefault();
  }

  moved(event) {
    const {x, y} = this.place(event), {drag, view, tools} = this;
    if (this.pointers.has(event.pointerId)) {
      if (this.pointers.size > 1) return this.pinch(event.pointerId, x, y);
      this.pointers.set(event.pointerId, {x, y});
    }
    this.crosshair &&= this.penDown ? this.crosshair : null;
    if (this.penDown) return; // the keyboard draws
    if (!drag?.moves) {
      for (const part of event.getCoalescedEvents?.() ?? []) tools.move(this.pictureOf(part));
      return tools.move(view.toPicture(x, y));
    }
    drag.far ||= Math.hypot(x - drag.x, y - drag.y) > DRAG;
    if (!drag.far) return;
    view.pan(x - drag.x, y - drag.y);
    Object.assign(drag, {x, y});
    this.stage.classList.add("moving");
  }

  pictureOf(event) {
    const {x, y} = this.place(event);
    return this.view.toPicture(x, y);
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    const {drag} = this;
    this.drag = null;
    this.stage.classList.remove("moving");
    if (!drag) return;
    const point = this.pictureOf(event);
    if (!drag.moves) this.tools.release(point, this.modifiers(event));
    else if (drag.click && !drag.far) this.tools.click(point, this.modifiers(event));
  }

  lost() {
    this.drag = null;
    this.stage.classList.remove("moving");
    this.tools.gesture?.cancel?.();
    this.tools.gesture = null;
    this.view.redraw();
  }

  /** Two fingers: the picture goes with them. */
  pinch(id, x, y) {
    const was = [...this.pointers.values()];
    this.pointers.set(id, {x, y});
    const is = [...this.pointers.values()];
    const middle = ([a, b]) => ({x: (a.x + b.x) / 2, y: (a.y + b.y) / 2});
    const apart = ([a, b]) => Math.hypot(a.x - b.x, a.y - b.y) || 1;
    this.view.pan(middle(is).x - middle(was).x, middle(is).y - middle(was).y);
    this.view.zoom(apart(is) / apart(was), middle(is).x, middle(is).y);
  }

  /** The wheel of a mouse zooms; a touchpad moves the picture with two fingers and zooms by pinching (Ctrl + wheel).
   *  Browsers do not say which of the two it is; a wheel starts with a large step
   *  straight up or down, fingers slowly. */
  wheel(event) {
    event.preventDefault();
    const {x, y} = this.place(event), {deltaX, deltaY, deltaMode, timeStamp} = event;
    if (timeStamp - this.wheeled > PAUSE) {
      const step = Math.abs(deltaY) >= NOTCH || event.wheelDeltaY && event.wheelDeltaY % 120 === 0;
      this.isWheel = deltaMode !== 0 || deltaX === 0 && Boolean(step);
    }
    this.wheeled = timeStamp;
    if (event.ctrlKey) this.view.zoom(Math.min(1.25, Math.max(.8, Math.exp(-deltaY / 100))), x, y);
    else if (this.isWheel && deltaY && !event.shiftKey) this.view.zoom(deltaY < 0 ? 1.25 : .8, x, y);
    else this.view.pan(-deltaX, -deltaY);
    this.tools.move(this.view.toPicture(x, y));
  }

  // ---------------------------------------------------------------------------------------------------------- keyboard

  key(event) {
    const {target} = event;
    if (document.querySelector("dialog[open]")
      || target.closest("select, textarea, input:not([type=range], [type=checkbox])")) {
      return;
    }
    if (target.type === "range" && /^Page|^Arrow/.test(event.key)) return; // move the slider
    const typed = event.getModifierState("AltGraph"); // such as [ on many keyboards
    const control = (event.ctrlKey || event.metaKey) && !typed;
    const name = `${control ? "Ctrl+" : ""}${event.shiftKey && event.key.length > 1 ? "Shift+" : ""}`
      + (event.key.length === 1 ? event.key.toLowerCase() : event.key);
    const onPicture = target === this.stage && this.editor.cells;
    const act = this.keys[event.shiftKey && /^[a-z]$/i.test(event.key) ? `${name} with Shift` : name]
      ?? (onPicture && (event.altKey ? null : this.onPicture(event, name)));
    if (!act || event.altKey && !typed) return;
    event.preventDefault();
    act(event);
  }

  onPicture(event, name) {
    const [dx, dy] = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key] ?? [];
    if (dx === undefined) {
      if (event.key === " ") return () => this.spaceDown(event);
      return name === "Enter" && this.tools.shape ? () => this.tools.close(this.modifiers(event)) : null;
    }
    if (event.shiftKey) return () => this.view.pan(-dx * this.view.width / 4, -dy * this.view.height / 4);
    return () => this.moveCrosshair(dx, dy, event.ctrlKey || event.metaKey);
  }

  /** By ten pixels of the screen, at least one of the picture; finely by one of the picture. */
  moveCrosshair(dx, dy, finely) {
    const {view, editor} = this, size = finely ? 1 : Math.max(1, Math.round(STEP / view.scale));
    const {height, width} = editor.cells, start = this.crosshair ?? this.startOfCrosshair();
    const within = (place, limit) => Math.min(limit - .5, Math.max(.5, Math.floor(place) + .5));
    this.crosshair = {x: within(start.x + dx * size, width), y: within(start.y + dy * size, height)};
    view.reveal({row: this.crosshair.y - .5, column: this.crosshair.x - .5, height: 1, width: 1}, 40);
    this.tools.move(this.crosshair);
  }

  /** On the selected cell where one is, else in the middle of what is seen. */
  startOfCrosshair() {
    const box = this.editor.cells.boxOf(this.editor.onlySelected);
    if (!box) return this.view.toPicture(this.view.width / 2, this.view.height / 2);
    return {x: box.column + box.width / 2, y: box.row + box.height / 2};
  }

  /** With the crosshair Space is the mouse button: once a click; of a tool that drags,
   *  down and at the next press up. */
  spaceDown(event) {
    if (!this.crosshair) return this.holdSpace(true);
    if (event.repeat) return;
    const {tools, crosshair} = this, keys = this.modifiers(event);
    if (tools.clicks) return tools.click(crosshair, keys);
    if (tools.name === "outline" || tools.name === "ignore") {
      tools.press(crosshair, keys);
      return tools.release(crosshair, keys);
    }
    if (this.penDown) tools.release(crosshair, keys);
    else tools.press(crosshair, keys);
    this.penDown = !this.penDown && Boolean(tools.gesture);
  }

  holdSpace(held) {
    this.space = held;
    this.stage.classList.toggle("hand", held);
  }
}
