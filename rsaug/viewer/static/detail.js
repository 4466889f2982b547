// What is said of the tile that is looked at.

import { shown, titleOf } from "/static/filters.js";

const CHECKED = { seed: "rsaug:seed", variant: "rsaug:variant", key: "rsaug:key", weights_sha256: "rsaug:weights_sha256" };

export function element(tag, content, attributes = {}) {
  const made = document.createElement(tag);
  if (Array.isArray(content)) made.append(...content);
  else if (content !== null && content !== undefined) made.textContent = String(content);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function section(title, ...content) {
  return element("section", [element("h2", title), ...content]);
}

function list(rows) {
  const kept = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return element("dl", kept.flatMap(([name, value]) => [
    element("dt", name), value instanceof Node ? element("dd", [value]) : element("dd", value)]));
}

function bar(value, share, colour) {
  const inner = element("b", null);
  inner.style.width = `${Math.round(100 * Math.min(1, Math.max(0, share)))}%`;
  if (colour) inner.style.background = colour;
  return element("div", [element("i", [inner]), element("span", value)], { class: "bar" });
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;
const short = (digest) => element("code", `${String(digest).slice(0, 12)}…`, { title: String(digest) });

function scores(run, image, said) {
  const rows = Object.entries(said).map(([metric, value]) => {
    const all = run.metrics[metric]?.filter((one) => one !== null) ?? [];
    const below = all.filter((one) => one <= value).length / Math.max(1, all.length);
    return [titleOf(metric), bar(shown(value), below)];
  });
  return rows.length ? [section("Scores", list(rows), element("p", "A bar shows how many images lie at or below.", { class: "note" }))] : [];
}

function holds(properties, shares, colours) {
  const road = properties["rsaug:road_fraction"];
  const rows = typeof road === "number" ? [["mask: road", bar(percent(road), road, "#ffb000")]] : [];
  for (const [name, share] of Object.entries(shares ?? {}).sort((a, b) => b[1] - a[1])) {
    rows.push([name, bar(percent(share), share, colours[name])]);
  }
  return rows.length ? [section("What is mapped", list(rows))] : [];
}

// Whether the file says of itself what the catalogue says of it.
function agreement(properties, inside) {
  if (!inside) return element("span", "no: the file does not say that it is synthetic", { class: "not" });
  const wrong = Object.entries(CHECKED).filter(([ours, theirs]) => String(inside[ours]) !== String(properties[theirs]));
  return wrong.length
    ? element("span", `no: ${wrong.map(([name]) => name).join(", ")}`, { class: "not" })
    : element("span", "yes", { class: "ok" });
}

export function detail(run, image, told, colours) {
  const p = told.properties;
  const crs = p["proj:code"] ?? "custom CRS";
  const [rows, cols] = p["proj:shape"] ?? [];
  const software = Object.entries(p["processing:software"] ?? {}).map((entry) => entry.join(" ")).join(", ");
  return [
    ...scores(run, image, told.scores),
    ...holds(p, told.shares, colours),
    section("What made it", list([
      ["seed", element("code", p["rsaug:seed"])],
      ["variant", p["rsaug:variant"]],
      ["model", p["rsaug:model"]],
      ["weights", p["rsaug:weights_sha256"] ? short(p["rsaug:weights_sha256"]) : null],
      ["prompt", p["rsaug:prompt"]],
      ["controls", (p["rsaug:controls"] ?? []).join(", ")],
      ["watermark", p["rsaug:watermark"]],
      ["key", p["rsaug:key"] ? short(p["rsaug:key"]) : null],
      ["begun", p.created],
      ["date", p.datetime !== p.created ? p.datetime : null],
      ["software", software],
      ["file agrees", agreement(p, told.inside)],
    ])),
    section("Where", list([
      ["CRS", crs],
      ["pixels", rows ? `${cols} × ${rows} at ${p.gsd} m` : null],
      ["corner", p["proj:transform"] ? [2, 5].map((k) => Number(p["proj:transform"][k].toFixed(3))).join(", ") : null],
      ["split", p["ml-aoi:split"]],
    ])),
  ];
}

export function overview(run) {
  const count = new Intl.NumberFormat("en").format;
  return [
    section("The run", list([
      ["folder", run.folder],
      ["images", count(run.images.length)],
      ["tiles", count(run.places.length)],
      ["variants", run.variants.length > 1 ? run.variants.length : null],
      ["GSD", run.gsd_m ? `${run.gsd_m} m` : null],
      ["model", run.model],
      ["begun", run.created],
      ["software", run.software],
      ["not shown", run.unreadable || null],
    ])),
    section("To begin", element("p", "Click a tile, or press J for the first one of the filter. A accepts it, R rejects it, and the next one follows.", { class: "quiet" })),
  ];
}
