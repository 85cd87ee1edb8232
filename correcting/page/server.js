// Talking to the program: every request carries the token of the page's address; what is changed waits in one queue,
// goes out in order, and is sent again until the program has answered.

const token = "__TOKEN__"; // the program writes it here
const RETRY_MS = 1000;

export class Refused extends Error { // the program answered, and said no
  constructor(status, answer) {
    super(answer.error ?? `The program refused it (${status}).`);
    Object.assign(this, {status, answer});
  }
}

export async function request(path, {body, signal} = {}) {
  const options = {headers: {"X-Token": token}, cache: "no-store", signal};
  if (body !== undefined) {
    options.method = "POST";
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const response = await fetch(`/api/${path}`, options);
  if (response.ok) return response;
  throw new Refused(response.status, await response.json().catch(() => ({})));
}

export const json = async (path, options) => (await request(path, options)).json();

export const pause = milliseconds => new Promise(resolve => { setTimeout(resolve, milliseconds); });

/** Labels of a field as they are: {labels: Uint16Array, version}. Waits while the network predicts them. */
export async function loadLabels(id, {signal, waiting} = {}) {
  for (;;) {
    const response = await request(`fields/${id}/labels`, {signal});
    if (response.status !== 202) {
      const labels = new Uint16Array(await response.arrayBuffer());
      return {labels, version: Number(response.headers.get("X-Version"))};
    }
    waiting?.();
    await pause(RETRY_MS / 2);
  }
}

export class Queue {
  /** changed(state, why): "saved", "saving", "lost" (nobody answers), "moved" (another token)
   *  or "refused" (such as a full
   *  disk). conflict(id, error, dropped): labels must be loaded anew; what is given up of the queue.
   *  answered(id, answer): after each edit or change of state. */
  constructor({changed, conflict, answered}) {
    Object.assign(this, {conflict, answered});
    this.changed = (state, why) => {
      this.stuck = !["saved", "saving"].includes(state);
      changed(state, why);
    };
    this.items = [];
    this.versions = new Map();
    this.sending = false;
  }

  get unsent() { return this.items.length; }

  /** act: whatever several edits have in common that are one act of the user. */
  edit(field, {row, column, height, width}, runs, act) {
    this.add({id: field.id, fieldWidth: field.width, path: "edits", act, body: {row, column, height, width, runs}});
  }

  state(field, done) { this.add({id: field.id, path: "state", body: {done}}); }

  add(item) {
    this.items.push(item);
    this.send();
  }

  /** Waits until everything is saved, or until `signal` ends the waiting; an error where it cannot be now. */
  async empty(signal) {
    while (this.items.length && !signal?.aborted) {
      if (this.stuck) throw new Error("What you changed last is not saved yet.");
      await pause(20);
    }
  }

  /** Gives up what waits of a field; what that was. */
  drop(id) {
    const dropped = this.items.filter(item => item.id === id);
    this.items = this.items.filter(item => item.id !== id);
    return dropped;
  }

  async send() {
    if (this.sending) return;
    this.sending = true;
    this.changed("saving");
    while (this.items.length) {
      const item = this.items[0];
      try {
        const body = item.path === "edits" ? {version: this.versions.get(item.id), ...item.body} : item.body;
        const answer = await json(`fields/${item.id}/${item.path}`, {body});
        this.done(item, answer);
      } catch (error) {
        await this.failed(item, error);
      }
    }
    this.sending = false;
    this.changed("saved");
  }

  done(item, answer) {
    if (item.path === "edits") this.versions.set(item.id, answer.version);
    if (this.items[0] === item) this.items.shift();
    this.answered(item.id, answer);
    this.changed("saving");
  }

  async failed(item, error) {
    if (error instanceof Refused && error.status !== 403 && error.status < 500) {
      if (error.status === 409 && item.doubtful && await this.wasStored(item, error.answer.version)) return;
      await this.conflict(item.id, error, this.drop(item.id));
      return;
    }
    item.doubtful = true; // it may have been stored, and only the answer was lost
    this.changed(!(error instanceof Refused) ? "lost" : error.status === 403 ? "moved" : "refused", error.message);
    await pause(RETRY_MS);
  }

  /** Whether the one edit that the program is ahead of this page is this very one. */
  async wasStored(item, version) {
    if (version !== this.versions.get(item.id) + 1) return false;
    const loaded = await loadLabels(item.id).catch(() => null);
    if (loaded?.version !== version) return false;
    const {row, column, height, width, runs} = item.body, values = [];
    for (let k = 0; k < runs.length; k += 2) for (let n = 0; n < runs[k + 1]; n++) values.push(runs[k]);
    const same = values.every((value, i) => {
      const at = (row + Math.floor(i / width)) * item.fieldWidth + column + i % width;
      return loaded.labels[at] === value;
    });
    if (same && values.length === height * width) this.done(item, {version});
    return same;
  }
}
