// The page: state, maps, panels and keys put together.

import { detail, element, overview } from "/static/detail.js";
import { Filter, Histogram, shown, titleOf } from "/static/filters.js";
import { Maps } from "/static/maps.js";
import { Review, Run, fetched } from "/static/run.js";
import { State } from "/static/state.js";

const $ = (id) => document.getElementById(id);
const GROUPS = [["image", null], ["mosaic", null], ["control", "Control maps"], ["label", "Labels"], ["real", "Real imagery"]];
const COLOURS = { background: "#ffffff", building: "#ff0000", road: "#ffff00", water: "#0000ff", barren: "#9f81b7", forest: "#00ff00", agriculture: "#ffc380" };
const NO_ROADS = { type: "FeatureCollection", features: [] };

const state = new State();
const run = new Run(await fetched("/api/run"));
const filter = new Filter(run, state);
const review = new Review(run);
const histogram = new Histogram(filter, state);
const maps = new Maps(run, matchMedia("(prefers-reduced-motion: reduce)").matches);
window.rsaug = { state, run, maps }; // for whoever looks at it from the console, and for tests

const bases = () => GROUPS.flatMap(([group]) => run.layers.filter((layer) => layer.group === group));
const base = () => (maps.layers.has(state.now.base) ? state.now.base : bases()[0].id);
const variant = () => (base().startsWith("image-") ? Number(base().slice(6)) : run.variants[0]);
const other = () => {
  const { other: named } = state.now;
  if (maps.layers.has(named)) return named;
  const rest = bases().filter((layer) => layer.id !== base());
  return (rest.find((layer) => layer.group === "real") ?? rest.find((layer) => layer.id === "control-seg") ?? rest[0] ?? bases()[0]).id;
};
const images = () => run.places.map((_, place) => run.at(place, variant()));
const selected = () => run.byName.get(state.now.selected) ?? null;

function say(text, isError = false) {
  $("said").textContent = text;
  $("said").className = `said on${isError ? " error" : ""}`;
  clearTimeout(say.waiting);
  say.waiting = setTimeout(() => { $("said").className = "said"; }, isError ? 8000 : 2500);
}

// The panels ---------------------------------------------------------------------------------

function drawBases() {
  const rows = [];
  for (const [group, title] of GROUPS) {
    const found = run.layers.filter((layer) => layer.group === group);
    if (title && found.length) rows.push(element("p", title, { class: "group-name" }));
    for (const layer of found) {
      const input = element("input", null, { type: "radio", name: "base", value: layer.id });
      input.checked = layer.id === base();
      const number = bases().indexOf(layer) + 1;
      const row = element("label", [input, element("span", layer.title)], { class: "row", title: layer.note });
      if (number < 10) row.append(element("kbd", number));
      rows.push(row);
    }
  }
  $("bases").replaceChildren(...rows);
  $("other").replaceChildren(...bases().map((layer) => {
    const option = element("option", layer.group === "control" ? `Control: ${layer.title}` : layer.title, { value: layer.id });
    option.selected = layer.id === other();
    return option;
  }));
}

function drawControls() {
  const now = state.now;
  for (const input of $("bases").querySelectorAll("input")) input.checked = input.value === base();
  $("other").value = other();
  $("over-mask").checked = now.mask;
  $("mask-opacity").value = now.opacity;
  $("over-roads").checked = now.roads;
  $("over-frames").checked = now.frames;
  $("over-tint").checked = now.tint;
  $("tint-name").textContent = filter.metric ? titleOf(filter.metric) : "score";
  for (const input of document.querySelectorAll('[name="compare"]')) input.checked = input.value === now.compare;
  $("metric").value = filter.metric ?? "";
  $("verdict").value = now.verdict;
  for (const input of $("classes").querySelectorAll("input")) input.checked = now.classes.includes(input.value);
  $("filter-reset").hidden = !filter.isOn;
}

function drawClasses() {
  const names = [...new Set(Object.values(run.shares).flatMap((held) => Object.keys(held)))];
  $("classes").hidden = names.length === 0;
  const counts = (name) => Object.values(run.shares).filter((held) => (held[name] ?? 0) >= 0.01).length;
  const rows = Object.keys(COLOURS).filter((name) => names.includes(name) && counts(name)).map((name) => {
    const swatch = element("span", null, { class: "swatch" });
    swatch.style.background = COLOURS[name];
    const input = element("input", null, { type: "checkbox", value: name });
    input.checked = state.now.classes.includes(name);
    return element("label", [input, swatch, element("span", name), element("span", counts(name), { class: "quiet" })], { class: "row" });
  });
  $("classes").replaceChildren($("classes").querySelector("legend"), ...rows);
}

async function countClasses() {
  try {
    for (;;) {
      const { of, tiles } = await fetched("/api/shares");
      const known = run.shares;
      run.shares = tiles;
      const image = selected();
      if (image && tiles[image.tile] && !known[image.tile]) drawDetail();
      const done = Object.keys(tiles).length;
      $("classes-note").textContent = done < of ? `(${done} of ${of} tiles counted)` : "at least 1 %";
      drawClasses();
      if (state.now.classes.length) refilter();
      if (done >= of) return;
      await new Promise((resolve) => setTimeout(resolve, 1500));
    }
  } catch (error) { say(error.message, true); }
}

function refilter() {
  const now = images();
  const passing = now.filter((image) => filter.passes(image));
  const inside = new Set(passing.map((image) => image.place));
  const extent = filter.extent();
  maps.setStates((place) => {
    const image = now[place];
    const value = run.value(image, filter.metric);
    return {
      out: !inside.has(place),
      verdict: { accepted: 1, rejected: 2 }[run.verdicts.get(image.name)] ?? 0,
      value: value === null || !extent ? null : (value - extent.low) / (extent.high - extent.low),
      chosen: selected()?.place === place,
    };
  });
  histogram.draw(now);
  $("count").textContent = passing.length === now.length ? `${now.length} tiles` : `${passing.length} of ${now.length} tiles`;
  $("filter-reset").hidden = !filter.isOn;
  const legend = state.now.tint && extent;
  $("legend").hidden = !legend;
  if (legend) {
    $("legend").replaceChildren(titleOf(filter.metric), element("i", null),
      element("div", [element("span", shown(extent.low)), element("span", shown(extent.high))]));
  }
  drawProgress();
}

function drawProgress() {
  const all = run.images.length;
  const said = [...run.verdicts.values()];
  const yes = said.filter((verdict) => verdict === "accepted").length, no = said.length - yes;
  $("done-accepted").style.width = `${(100 * yes) / all}%`;
  $("done-rejected").style.width = `${(100 * no) / all}%`;
  $("done").textContent = `${yes} accepted, ${no} rejected, ${all - said.length} open`;
  const image = selected();
  const verdict = image ? run.verdicts.get(image.name) ?? null : null;
  $("accept").setAttribute("aria-pressed", verdict === "accepted");
  $("reject").setAttribute("aria-pressed", verdict === "rejected");
  for (const id of ["accept", "reject", "undecide"]) $(id).disabled = !image || !run.can_write;
}

async function drawDetail() {
  const image = selected();
  $("tile-name").textContent = image ? image.name : "No tile selected";
  const passing = images().filter((one) => filter.passes(one));
  const at = image ? passing.findIndex((one) => one.place === image.place) : -1;
  $("tile-place").textContent = at >= 0 ? `${at + 1} of ${passing.length}` : image ? "outside of the filter" : "";
  drawProgress();
  if (!image) { $("detail").replaceChildren(...overview(run)); return; }
  try {
    const told = await fetched(`/api/images/${encodeURIComponent(image.name)}`);
    if (selected() === image) $("detail").replaceChildren(...detail(run, image, told, COLOURS));
  } catch (error) { say(error.message, true); }
}

// The maps -----------------------------------------------------------------------------------

async function drawMaps() {
  const now = state.now;
  await maps.a.ready;
  maps.show(maps.a, base(), now);
  const on = now.compare !== "off";
  $("stage").classList.toggle("side", now.compare === "side");
  $("map-b").hidden = !on;
  $("swipe").hidden = now.compare !== "swipe";
  for (const id of ["label-a", "label-b"]) $(id).hidden = !on;
  if (on) {
    $("label-a").textContent = maps.layers.get(base()).title;
    $("label-b").textContent = maps.layers.get(other()).title;
    const second = await maps.second();
    if (state.now.compare !== "off") maps.show(second, other(), state.now);
  }
  maps.resize();
  drawSwipe();
}

function drawSwipe() {
  const swiping = state.now.compare === "swipe";
  const share = state.now.swipe;
  $("map-b").style.clipPath = swiping ? `inset(0 0 0 ${100 * share}%)` : "";
  $("swipe").style.left = `${100 * share}%`;
  $("swipe").setAttribute("aria-valuenow", Math.round(100 * share));
}

let roadsAsked = 0;
async function drawRoads() {
  if (!state.now.roads) { $("roads-note").hidden = true; maps.setRoads(NO_ROADS); return; }
  const box = maps.a.getBounds();
  const asked = (roadsAsked += 1);
  const query = new URLSearchParams({ west: box.getWest(), south: box.getSouth(), east: box.getEast(), north: box.getNorth() });
  try {
    const found = await fetched(`/api/roads?${query}`);
    if (asked !== roadsAsked || !state.now.roads) return;
    maps.setRoads(found);
    $("roads-note").hidden = found.complete;
    $("roads-note").textContent = found.features.length ? "Zoom in to see all of them." : "Zoom in to see them.";
  } catch (error) { say(error.message, true); }
}

async function findReal() {
  if (!run.real) return;
  $("real-note").hidden = false;
  $("real-note").textContent = "Looking through the real imagery …";
  try {
    const layer = await fetched("/api/real");
    run.layers.push(layer);
    maps.layers.set("real", layer);
    $("real-note").textContent = layer.left_out ? `${layer.left_out} files of it cannot be shown.` : "";
    $("real-note").hidden = !layer.left_out;
    drawBases();
    drawControls();
    drawMaps();
  } catch (error) { $("real-note").textContent = error.message; }
}

// What is done -------------------------------------------------------------------------------

function choose(image, go = true) {
  state.set({ selected: image?.name ?? null });
  if (image && go) maps.go(image.place);
}

function step(by, wanted = () => true) {
  const all = images();
  const passing = all.filter((image) => filter.passes(image) || image.name === state.now.selected);
  if (!passing.length) { say("No tile passes the filter."); return; }
  const at = passing.findIndex((image) => image.place === selected()?.place);
  for (let k = 1; k <= passing.length; k += 1) {
    const index = at < 0 ? (by > 0 ? k - 1 : passing.length - k) : at + by * k;
    const image = passing[((index % passing.length) + passing.length) % passing.length];
    if (filter.passes(image) && wanted(image)) { choose(image); return; }
  }
  say("There is no other one.");
}

const nextOpen = () => step(1, (image) => !run.verdicts.has(image.name));

function decide(verdict) {
  const image = selected();
  if (!image) { say("Select a tile first: click one, or press J."); return; }
  if (!run.can_write) { say("The folder of the run cannot be written to.", true); return; }
  review.decide(image.name, verdict);
  if (verdict !== null) step(1);
}

function undo() {
  const name = review.undo();
  if (name) choose(run.byName.get(name)); else say("There is nothing to undo.");
}

const toggle = (name) => state.set({ [name]: !state.now[name] });
const cycle = () => state.set({ compare: { off: "swipe", swipe: "side", side: "off" }[state.now.compare] });
const slide = (by) => state.set({ swipe: Math.min(1, Math.max(0, state.now.swipe + by)) });

const KEYS = {
  j: () => step(1), k: () => step(-1), n: nextOpen, a: () => decide("accepted"), r: () => decide("rejected"),
  u: () => decide(null), z: undo, m: () => toggle("mask"), v: () => toggle("roads"), b: () => toggle("frames"),
  t: () => toggle("tint"), c: cycle, f: () => maps.whole(), "[": () => slide(-0.05), "]": () => slide(0.05),
  "?": () => $("help").showModal(), Escape: () => choose(null),
};

function typed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  if (event.target.matches("select, input:not([type=checkbox]):not([type=radio]):not([type=range])")) return;
  const layer = /^[1-9]$/.test(event.key) ? bases()[Number(event.key) - 1] : null;
  const act = layer ? () => state.set({ base: layer.id }) : KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (act) { event.preventDefault(); act(); }
}

function listen() {
  document.addEventListener("keydown", typed);
  $("bases").addEventListener("change", (event) => state.set({ base: event.target.value }));
  $("over-mask").addEventListener("change", () => toggle("mask"));
  $("over-roads").addEventListener("change", () => toggle("roads"));
  $("over-frames").addEventListener("change", () => toggle("frames"));
  $("over-tint").addEventListener("change", () => toggle("tint"));
  $("mask-opacity").addEventListener("input", (event) => state.set({ opacity: Number(event.target.value) }));
  $("compare").addEventListener("change", (event) => state.set({ compare: event.target.value }));
  $("other").addEventListener("change", (event) => state.set({ other: event.target.value }));
  $("metric").addEventListener("change", (event) => state.set({ metric: event.target.value, low: null, high: null }));
  $("verdict").addEventListener("change", (event) => state.set({ verdict: event.target.value }));
  $("classes").addEventListener("change", () => state.set({
    classes: [...$("classes").querySelectorAll("input:checked")].map((input) => input.value) }));
  $("filter-reset").addEventListener("click", () => filter.reset());
  $("next").addEventListener("click", () => step(1));
  $("previous").addEventListener("click", () => step(-1));
  $("accept").addEventListener("click", () => decide("accepted"));
  $("reject").addEventListener("click", () => decide("rejected"));
  $("undecide").addEventListener("click", () => decide(null));
  $("show-help").addEventListener("click", () => $("help").showModal());
  $("share").addEventListener("click", async () => {
    state.write();
    try { await navigator.clipboard.writeText(location.href); say("The address of this view is copied."); }
    catch { say("The address of this view is in the address bar."); }
  });
  listenToSwipe();
  review.addEventListener("decided", () => { refilter(); drawDetailHead(); });
  review.addEventListener("failed", (event) => say(event.detail, true));
  review.addEventListener("kept", () => { document.body.dataset.kept = String(Number(document.body.dataset.kept ?? 0) + 1); });
}

// The place in the filter and the verdict, without asking the server again.
function drawDetailHead() {
  const image = selected();
  const passing = images().filter((one) => filter.passes(one));
  const at = image ? passing.findIndex((one) => one.place === image.place) : -1;
  $("tile-place").textContent = at >= 0 ? `${at + 1} of ${passing.length}` : image ? "outside of the filter" : "";
}

function listenToSwipe() {
  const handle = $("swipe");
  handle.addEventListener("pointerdown", (event) => { handle.setPointerCapture(event.pointerId); event.preventDefault(); handle.focus(); });
  handle.addEventListener("pointermove", (event) => {
    if (!handle.hasPointerCapture(event.pointerId)) return;
    const box = $("stage").getBoundingClientRect();
    state.set({ swipe: Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) });
  });
  handle.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[event.key];
    if (by) { event.preventDefault(); slide(by); }
  });
}

function drawWhere(place, lngLat) {
  const side = (Math.cos((maps.a.getCenter().lat * Math.PI) / 180) * 40075016.686) / (512 * 2 ** maps.a.getZoom());
  const scale = `1 px = ${side >= 10 ? side.toFixed(0) : side.toFixed(2)} m`;
  const where = lngLat ? `${lngLat.lat.toFixed(6)}, ${lngLat.lng.toFixed(6)}` : "";
  $("where").textContent = [scale, where, place === null ? "" : run.at(place, variant()).name].filter(Boolean).join("   ");
}

function listenToMaps() {
  maps.addEventListener("chosen", (event) => choose(event.detail === null ? null : run.at(event.detail, variant()), false));
  maps.addEventListener("pointed", ({ detail: { place, lngLat } }) => drawWhere(place, lngLat));
  maps.a.on("move", () => drawWhere(null, null));
  maps.a.on("moveend", () => {
    const { lat, lng } = maps.a.getCenter();
    state.set({ view: { zoom: maps.a.getZoom(), lat, lon: lng } });
    drawRoads();
  });
}

function begin() {
  document.title = `${run.folder} · rsaug view`;
  $("run-name").textContent = run.folder;
  const facts = [`${run.images.length} images`, run.gsd_m && `${run.gsd_m} m a pixel`, run.model && `model ${run.model}`,
    run.unreadable && `${run.unreadable} items cannot be shown`, !run.can_write && "read only"];
  $("run-facts").textContent = facts.filter(Boolean).join(" · ");
  $("roads-title").textContent = run.roads === "lines" ? "Roads of the run" : "Outlines of the mask";
  $("metric").replaceChildren(...Object.keys(run.metrics).map((name) => element("option", titleOf(name), { value: name })));
  const { view } = state.now;
  if (view) maps.a.jumpTo({ center: [view.lon, view.lat], zoom: view.zoom });
  state.on(["base", "other", "compare", "mask", "opacity", "roads", "frames", "tint"], () => { drawControls(); drawMaps(); });
  state.on(["swipe"], drawSwipe);
  state.on(["roads"], drawRoads);
  state.on(["base"], () => {
    // The same tile in the variant that is shown now.
    const image = selected();
    if (image) choose(run.at(image.place, variant()), false);
  });
  state.on(["base", "metric", "low", "high", "classes", "verdict", "tint", "selected"], () => { drawControls(); refilter(); });
  state.on(["base", "metric", "low", "high", "classes", "verdict", "selected"], drawDetail);
  listen();
  listenToMaps();
  drawBases();
  drawControls();
  refilter();
  drawDetail();
  drawWhere(null, null);
  drawMaps().then(drawRoads);
  findReal();
  countClasses();
}

begin();
