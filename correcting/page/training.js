// "Train again": what will happen, how far it is, and whether it helped.

import {json} from "./server.js?token=__TOKEN__";

const $ = id => document.getElementById(id);
const POLL_MS = 1000;
const fieldsInWords = count => count === 1 ? "1 field" : `${count} fields`;
const held = count => count === 1 ? "1 held-out field" : `${count} held-out fields`;

function duration(seconds) {
  if (seconds < 90) return "about a minute";
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} minutes`;
  return `about ${Math.round(seconds / 360) / 10} hours`;
}

/** The result in plain words. Dice is the overlap of what is found with what is true, from 0 to 1. */
export function resultInWords({before, after, fields}) {
  if (after == null) {
    return "Trained. There are no held-out fields, so nobody can tell whether it helped: look at the next field. "
      + "Fields in “Test data” are held out.";
  }
  const on = `on ${held(fields)} (1 is perfect overlap)`;
  if (before == null) return `Trained: Dice ${after.toFixed(3)} ${on}.`;
  const change = Number(after.toFixed(3)) - Number(before.toFixed(3));
  const numbers = `Dice ${before.toFixed(3)} → ${after.toFixed(3)} ${on}.`;
  if (!change) return `As good as before: ${numbers}`;
  return change > 0 ? `Better by ${change.toFixed(3)}: ${numbers}`
    : `Not better, worse by ${(-change).toFixed(3)}: ${numbers} More fields that are done may help.`;
}

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
    this.say(state.state === "finished" ? `${resultInWords(state)} Untouched fields now show the new outlines.` : state.line);
    await this.fields.load();
    if (state.state === "finished" && this.fields.current?.state === "untouched") {
      await this.fields.open(this.fields.current, true);
    }
  }

  show({state, line, progress, ...result}) {
    const running = state === "running";
    $("train").hidden = running;
    $("train-stop").hidden = $("training-progress").hidden = !running;
    if (progress == null) $("training-progress").removeAttribute("value");
    else $("training-progress").value = progress;
    $("training-text").textContent = state === "finished" ? resultInWords(result) : state === "idle"
      ? line || "Training learns from the fields that are done, and goes on from the newest model." : line ?? "";
  }

  async ask() {
    if ($("train").hidden) return this.say("A training is running.");
    try {
      await this.queue.empty();
      const {done, seconds, start, unable} = await json("train");
      const count = done ?? this.fields.all.filter(({state, part}) => state === "done" && part !== "test").length;
      if (unable || !count) return this.say(unable || "No field is done yet. Correct one, and press “This field is done”.");
      $("confirm-text").textContent = `The network learns from ${fieldsInWords(count)}${count > 1 ? " that are" : " that is"} `
        + `done${start ? `, starting from ${start}` : ", starting from the newest model"}. This takes `
        + `${seconds ? duration(seconds) : "some minutes"} on this computer. You can go on correcting meanwhile. `
        + "Then it is tested on the held-out fields, before and after.";
      $("confirm").returnValue = "no";
      $("confirm").showModal();
    } catch (error) {
      this.say(this.why(error));
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
