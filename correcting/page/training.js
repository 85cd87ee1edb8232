// "Train again": what will happen, how far it is, and whether it helped.

import {json} from "./server.js?token=__TOKEN__";

const $ = id => document.getElementById(id);
const POLL_MS = 1000;

/** The result in plain words; `line` is the program's own: "Dice 0.913 before, 0.927 now, on 8 test fields";
 *  `earlier` is the option by which the network of before is used again. */
export function resultInWords({before, after, line, earlier}) {
  if (after == null) {
    return "Trained. No field with a mask is held out (in “Test data”), so nobody can tell "
      + "whether it helped: look at the "
      + "next field.";
  }
  if (before == null) return `Trained: ${line}.`;
  const change = Number(after.toFixed(3)) - Number(before.toFixed(3)), size = Math.abs(change).toFixed(3);
  const words = change > 0 ? `Better by ${size}`
    : change < 0 ? `Not better, but worse by ${size}` : "As good as before";
  const back = change < 0 && earlier ? " The new network is in use all the same; more corrected fields may make up for "
    + `it. To go back to the one before, end the program and start the same command with ${earlier}.` : "";
  return `${words}: ${line}. (Dice 1 is a perfect overlap.)${back}`;
}

/** The line of a training that runs, was stopped or has failed. */
const lineOf = ({state, line}) => state === "failed"
  ? `The training has failed. ${line.replace(/^error: /, "")}` : line ?? "";

export class Training {
  constructor({queue, fields, say}) {
    Object.assign(this, {queue, fields, say});
    this.was = null;
    $("train").addEventListener("click", () => this.ask());
    $("train-stop").addEventListener("click", () => this.stop());
    $("confirm").addEventListener("close", () => { if ($("confirm").returnValue === "yes") this.start(); });
  }

  async follow() {
    clearTimeout(this.timer);
    try {
      const state = await json("train"), ended = this.was === "running" && state.state !== "running";
      this.was = state.state;
      this.show(state);
      if (ended) await this.ended(state);
    } catch { /* the queue says it when nobody answers */ }
    if (this.was === "running") this.timer = setTimeout(() => this.follow(), POLL_MS);
  }

  async ended(state) {
    this.say(state.state === "finished" ? `${resultInWords(state)} Untouched fields now show the new outlines.`
      : lineOf(state));
    await this.fields.load();
    if (state.state === "finished" && this.fields.current?.state === "untouched") {
      await this.fields.open(this.fields.current, true);
    }
  }

  show({state, line, progress, ...more}) {
    const running = state === "running";
    $("train").hidden = running;
    $("train-stop").hidden = $("training-progress").hidden = !running;
    if (progress == null) $("training-progress").removeAttribute("value");
    else $("training-progress").value = progress;
    $("training-text").textContent = state === "finished" ? resultInWords({line, ...more}) : state === "idle"
      ? line || "Training learns from the fields that are done, and goes on from the newest model."
        : lineOf({state, line});
  }

  async ask() {
    if ($("train").hidden) return this.say("A training is running.");
    try {
      await this.queue.empty();
      const {done, seconds, start} = await this.known();
      if (!done) return this.say("No field is done yet. Correct one, and press “This field is done”.");
      $("confirm-text").textContent = `The network goes on learning, `
        + `from ${done === 1 ? "the 1 field" : `all ${done} fields`} `
        + "with cells that are done or came with a mask. It starts from "
        + `${start.split(/[/\\]/).slice(-2).join("/")}. This takes about ${Math.round(seconds / 60)} minutes and `
          + `the testing; you can `
        + "go on correcting meanwhile. Before and after, it is tested on fields that it does not learn from.";
      $("confirm").returnValue = "no";
      $("confirm").showModal();
    } catch (error) {
      this.say(this.why(error));
    }
  }

  /** What a training would be. What was done a moment ago is still on its way to the training fields; a training waits
   *  for it in any case. */
  async known() {
    for (let tries = 0; ; tries++) {
      const known = await json("train");
      if (!known.writing || tries > 20) return known;
      this.say("Making training fields of what is done …");
      await new Promise(resolve => { setTimeout(resolve, POLL_MS / 2); });
    }
  }

  why(error) { return error instanceof TypeError ? "The program does not answer." : error.message; }

  async start() {
    try {
      await json("train", {body: {}});
      this.was = "running";
      this.say("Training has started. You can go on correcting.");
    } catch (error) {
      this.say(this.why(error));
    }
    await this.follow();
  }

  async stop() {
    await json("train/stop", {body: {}}).catch(error => this.say(this.why(error)));
    await this.follow();
  }
}
