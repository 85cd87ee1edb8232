"use strict";
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const entries = JSON.parse($("#entries").textContent);
const items = $$("#gallery > li"), dialog = $("#large");
let view = "overlay", shown = null, openedFrom = "entry";

$("#large-set").append($("#large-controls").content.cloneNode(true));
$$(".legend").forEach(legend => $("#large-legend").append(legend.cloneNode(true)));

// pictures: the image, and over it the layer of the chosen view

function picture(kind, source, text) {
  const image = new Image();
  image.className = kind;
  image.alt = text;
  image.decoding = "async";
  image.src = source;
  return image;
}

function paint(stack, entry, size) {
  const pictures = {...entry.small, ...(size === "large" ? entry.large : {})};
  stack.replaceChildren();
  if (!entry.small) return;
  stack.append(picture("base", pictures.image, view === "image" ? `${entry.file}, the image alone` : entry.text));
  if (view !== "image" && pictures[view]) stack.append(picture("layer", pictures[view], ""));
}

const seen = new IntersectionObserver(changes => {
  for (const {isIntersecting, target} of changes) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    target.dataset.seen = "";
    paint($(".stack", target), entries[target.dataset.i]);
  }
}, {rootMargin: "600px"});
items.forEach(item => seen.observe(item));

// what is shown, and how strong: the controls of the gallery and of the large view go together

function setView(chosen) {
  view = chosen;
  document.body.className = `view-${view}`;
  $$("input[type=radio]").forEach(radio => { radio.checked = radio.value === view; });
  $$("input[type=range]").forEach(range => { range.disabled = view === "image" || view === "mask"; });
  $$(".errors").forEach(legend => { legend.hidden = view !== "errors"; });
  $$(".classes").forEach(legend => { legend.hidden = view !== "overlay" && view !== "mask"; });
  $$("#gallery > li[data-seen]").forEach(item => paint($(".stack", item), entries[item.dataset.i]));
  if (dialog.open) paint($("#large-stack"), entries[shown], "large");
}

function setStrength(percent) {
  document.documentElement.style.setProperty("--strength", percent / 100);
  $$("input[type=range]").forEach(range => { range.value = percent; });
  $$(".strength output").forEach(output => { output.textContent = `${percent} %`; });
}

document.addEventListener("input", ({target}) => {
  if (target.type === "radio") setView(target.value);
  if (target.type === "range") setStrength(target.value);
});

// sorting: images without a number come last

function sorted(rows, key, down) {
  const names = new Intl.Collator(undefined, {numeric: true});
  const value = row => entries[row.dataset.i].values[key];
  const size = row => key === "count_error" ? Math.abs(value(row)) : value(row);
  return [...rows].sort((a, b) => {
    const byName = names.compare(entries[a.dataset.i].file, entries[b.dataset.i].file);
    if (key === "name") return down ? -byName : byName;
    const missing = (value(a) === undefined) - (value(b) === undefined);
    return missing || (value(a) === undefined ? byName : (down ? -1 : 1) * (size(a) - size(b)) || byName);
  });
}

$("#sort").addEventListener("change", ({target}) => {
  const [key, direction] = target.value.split(" ");
  $("#gallery").append(...sorted(items, key, direction === "down"));
});

$$("#images thead button").forEach(button => button.addEventListener("click", () => {
  const head = button.parentElement, down = head.ariaSort === "ascending";
  $$("#images thead th").forEach(other => { other.ariaSort = "none"; });
  head.ariaSort = down ? "descending" : "ascending";
  $("#images tbody").append(...sorted($$("#images tbody tr"), button.dataset.key, down));
}));

// the large view goes through the images in the order of the gallery

const order = () => $$("#gallery > li").map(item => Number(item.dataset.i));

function show(i) {
  const entry = entries[i], place = order().indexOf(i);
  shown = i;
  $("#large-name").textContent = entry.file;
  $("#large-facts").textContent = `${place + 1} of ${entries.length}: ` + (entry.small
    ? `${entry.facts}; ${entry.width} × ${entry.height} px`
    + (entry.shown_px < Math.max(entry.width, entry.height) ? `, shown at ${entry.shown_px}` : "") : entry.text);
  $("#large-stack").style.setProperty("--ratio", (entry.width || 1) / (entry.height || 1));
  paint($("#large-stack"), entry, "large");
  $("#previous").disabled = place === 0;
  $("#next").disabled = place === entries.length - 1;
}

function go(steps) {
  const i = order()[order().indexOf(shown) + steps];
  if (i !== undefined) show(i);
}

function open(i, from) {
  openedFrom = from;
  dialog.showModal();
  show(i);
}

document.addEventListener("click", ({target}) => {
  const button = target.closest(".entry, .open");
  if (button) open(Number(button.closest("[data-i]").dataset.i), button.matches(".entry") ? "entry" : "row");
});
$("#close").addEventListener("click", () => dialog.close());
$("#previous").addEventListener("click", () => go(-1));
$("#next").addEventListener("click", () => go(1));
dialog.addEventListener("keydown", event => {
  const steps = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (!steps || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();  // on the slider too, which ↑ and ↓ move
  go(steps);
});
dialog.addEventListener("close", () => $(`#${openedFrom}-${shown}`).focus());
setView(view);
