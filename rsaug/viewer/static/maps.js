// Two maps of MapLibre, the second for comparing, with the run's tiles on both.

import * as maplibregl from "/static/maplibre-gl.mjs";
import { tilesOf } from "/static/run.js";

maplibregl.setWorkerUrl("/static/maplibre-gl-worker.mjs");

const RAMP = ["#f7e9a0", "#8fc08a", "#2d8a8f", "#2a5a8c", "#1d2f6f"];
const state = (name) => ["feature-state", name];
const when = (name, yes, no) => ["case", ["boolean", state(name), false], yes, no];
const verdictColour = (otherwise) =>
  ["match", ["coalesce", state("verdict"), 0], 1, "#08744a", 2, "#b3261e", otherwise];
const ramp = ["interpolate", ["linear"], ["coalesce", state("value"), 0],
  ...RAMP.flatMap((colour, k) => [k / (RAMP.length - 1), colour])];
const wide = (far, near) => ["interpolate", ["linear"], ["zoom"], 14, far, 17, near];
const empty = () => ({ type: "geojson", data: { type: "FeatureCollection", features: [] } });

// Tiles are drawn as dots until they are about so many pixels wide on the screen.
const DOT_UNTIL_PX = 14;

export class Maps extends EventTarget {
  constructor(run, reduced) {
    super();
    this.run = run;
    this.still = reduced;
    this.states = run.places.map(() => ({}));
    this.layers = new Map(run.layers.map((layer) => [layer.id, layer]));
    this.a = this.make("map-a");
    this.b = null;
    this.roads = empty().data;
  }

  make(container) {
    const map = new maplibregl.Map({
      container,
      style: { version: 8, sources: {}, layers: [
        { id: "ground", type: "background", paint: { "background-color": "#e4e8ec" } }] },
      attributionControl: false, dragRotate: false, pitchWithRotate: false, touchPitch: false,
      maxPitch: 0, renderWorldCopies: false, fadeDuration: 0, maxZoom: 23, minZoom: 1,
      bounds: this.run.bounds, fitBoundsOptions: { padding: 48, maxZoom: 19 },
    });
    map.touchZoomRotate.disableRotation();
    map.keyboard.disableRotation();
    map.addControl(new maplibregl.NavigationControl({ showCompass: false }), "top-right");
    if (container === "map-a") map.addControl(new maplibregl.ScaleControl({ maxWidth: 120 }), "bottom-right");
    map.getCanvas().setAttribute("aria-label", "Map; arrows move it, plus and minus zoom");
    map.ready = new Promise((resolve) => map.once("load", () => { this.dress(map); resolve(map); }));
    return map;
  }

  // All that lies above the imagery; the same on both maps.
  dress(map) {
    const corner = (image) => ({ type: "Polygon", coordinates: [image.outline] });
    const middle = (image) => ({ type: "Point", coordinates: [0, 1].map((axis) =>
      (Math.min(...image.outline.map((p) => p[axis])) + Math.max(...image.outline.map((p) => p[axis]))) / 2) });
    const features = (shape) => ({ type: "geojson", data: { type: "FeatureCollection",
      features: this.run.places.map((images, id) => ({ type: "Feature", id, properties: {}, geometry: shape(images[0]) })) } });
    map.addSource("frames", features(corner));
    map.addSource("dots", features(middle));
    map.addSource("roads", empty());
    map.addImage("hatch", hatch());
    const dots = dotsUntil(this.run);
    map.addLayer({ id: "tint", type: "fill", source: "frames", minzoom: dots,
      paint: { "fill-color": ramp, "fill-opacity": ["case", ["==", ["coalesce", state("value"), -1], -1], 0, 0.6] },
      layout: { visibility: "none" } });
    map.addLayer({ id: "veil", type: "fill", source: "frames", minzoom: dots,
      paint: { "fill-color": "#f3f5f7", "fill-opacity": when("out", 0.82, 0) } });
    map.addLayer({ id: "rejected", type: "fill", source: "frames", minzoom: dots,
      paint: { "fill-pattern": "hatch", "fill-opacity": ["case", ["==", state("verdict"), 2], 0.9, 0] } });
    map.addLayer({ id: "roads-under", type: "line", source: "roads",
      paint: { "line-color": "#fff", "line-width": wide(0.5, 4), "line-opacity": 0.75 } });
    map.addLayer({ id: "roads", type: "line", source: "roads",
      paint: { "line-color": "#00a3c4", "line-width": wide(0.9, 2.2) } });
    map.addLayer({ id: "frames", type: "line", source: "frames", minzoom: dots,
      paint: { "line-color": verdictColour("#2b3742"),
        "line-width": ["match", ["coalesce", state("verdict"), 0], [1, 2], 2.5, 0.8],
        "line-opacity": when("out", 0.25, ["match", ["coalesce", state("verdict"), 0], [1, 2], 1, 0.55]) } });
    map.addLayer({ id: "chosen-under", type: "line", source: "frames",
      paint: { "line-color": "#fff", "line-width": 7, "line-opacity": when("chosen", 1, 0) } });
    map.addLayer({ id: "chosen", type: "line", source: "frames",
      paint: { "line-color": "#0b57a4", "line-width": 3.5, "line-opacity": when("chosen", 1, 0) } });
    map.addLayer({ id: "dots", type: "circle", source: "dots", maxzoom: dots,
      paint: { "circle-radius": when("chosen", 7, 4.5), "circle-color": verdictColour("#0b57a4"),
        "circle-opacity": when("out", 0.15, 0.85), "circle-stroke-color": "#fff",
        "circle-stroke-width": when("chosen", 3, 1) } });
    this.states.forEach((one, id) => this.put(map, id, one));
    map.getSource("roads").setData(this.roads);
    map.on("click", (event) => this.tell("chosen", this.placeAt(map, event.point)));
    map.on("mousemove", (event) => {
      const place = this.placeAt(map, event.point);
      map.getCanvas().style.cursor = place === null ? "" : "pointer";
      this.tell("pointed", { place, lngLat: event.lngLat });
    });
    map.on("mouseout", () => this.tell("pointed", { place: null, lngLat: null }));
  }

  placeAt(map, point) {
    const box = [[point.x - 3, point.y - 3], [point.x + 3, point.y + 3]];
    const found = map.queryRenderedFeatures(box, { layers: ["veil", "dots"] });
    return found.length ? found[0].id : null;
  }

  tell(name, detail) { this.dispatchEvent(new CustomEvent(name, { detail })); }

  all() { return [this.a, this.b].filter(Boolean); }

  put(map, id, one) {
    map.setFeatureState({ source: "frames", id }, one);
    map.setFeatureState({ source: "dots", id }, one);
  }

  // What the filter, the verdicts and the choice say of each place; only changes are passed on.
  setStates(of) {
    this.states.forEach((before, id) => {
      const now = of(id);
      if (Object.keys(now).every((name) => before[name] === now[name])) return;
      this.states[id] = now;
      for (const map of this.all()) if (map.getSource("frames")) this.put(map, id, now);
    });
  }

  setRoads(data) {
    this.roads = data;
    for (const map of this.all()) map.getSource("roads")?.setData(data);
  }

  show(map, base, now) {
    this.raster(map, "base", base, 1, "tint");
    this.raster(map, "mask", now.mask && base !== "label" && this.layers.has("mask") ? "mask" : null, now.opacity, "tint");
    const seen = (name, yes) => map.setLayoutProperty(name, "visibility", yes ? "visible" : "none");
    seen("tint", now.tint);
    seen("frames", now.frames);
    for (const name of ["roads", "roads-under"]) seen(name, now.roads);
    // Where tiles are coloured by a score, so are their dots.
    map.setPaintProperty("dots", "circle-color", now.tint ? ramp : verdictColour("#0b57a4"));
  }

  raster(map, slot, id, opacity, below) {
    map[slot] ??= null;
    if (map[slot] !== id) {
      if (map.getLayer(slot)) { map.removeLayer(slot); map.removeSource(slot); }
      const layer = this.layers.get(id);
      if (layer) {
        map.addSource(slot, { type: "raster", tiles: [tilesOf(id)], tileSize: 256,
          minzoom: layer.minzoom, maxzoom: layer.maxzoom,
          ...(layer.group === "real" ? {} : { bounds: this.run.bounds }) });
        map.addLayer({ id: slot, type: "raster", source: slot,
          // From twice the size of the pixels on, their borders are shown.
          paint: { "raster-fade-duration": 0,
            "raster-resampling": ["step", ["zoom"], "linear", Math.max(0, layer.maxzoom - 2), "nearest"] } },
          slot === "base" && map.getLayer("mask") ? "mask" : below);
      }
      map[slot] = layer ? id : null;
    }
    if (map.getLayer(slot)) map.setPaintProperty(slot, "raster-opacity", opacity);
  }

  // The second map goes where the first one goes, and back.
  async second() {
    if (this.b) return this.b.ready;
    this.b = this.make("map-b");
    let leading = null;
    const follow = (from, to) => from.on("move", () => {
      if (leading && leading !== from) return;
      leading = from;
      to.jumpTo({ center: from.getCenter(), zoom: from.getZoom() });
      leading = null;
    });
    this.b.jumpTo({ center: this.a.getCenter(), zoom: this.a.getZoom() });
    follow(this.a, this.b);
    follow(this.b, this.a);
    return this.b.ready;
  }

  go(place) {
    const ring = this.run.places[place][0].outline;
    const box = new maplibregl.LngLatBounds();
    for (const corner of ring) box.extend(corner);
    const zoom = Math.max(this.a.getZoom(), this.a.cameraForBounds(box, { padding: 140 })?.zoom ?? 17);
    const camera = { center: box.getCenter(), zoom: Math.min(zoom, this.limit()) };
    if (this.still) this.a.jumpTo(camera); else this.a.easeTo({ ...camera, duration: 250 });
  }

  // No nearer than what lets a tile be seen whole.
  limit() {
    const base = this.run.layers[0];
    return base ? base.maxzoom : 20;
  }

  whole() { this.a.fitBounds(this.run.bounds, { padding: 48, maxZoom: 19, animate: !this.still }); }

  resize() { for (const map of this.all()) map.resize(); }
}

function dotsUntil(run) {
  const [first] = run.images;
  const wide = Math.max(...first.outline.map((p) => p[0])) - Math.min(...first.outline.map((p) => p[0]));
  return Math.min(22, Math.max(0, Math.log2((DOT_UNTIL_PX * 360) / (512 * wide))));
}

function hatch() {
  const side = 12;
  const data = new Uint8Array(side * side * 4);
  for (let k = 0; k < side * side; k += 1) {
    const along = ((k % side) + Math.floor(k / side)) % side;
    if (along < 3) data.set([179, 38, 30, 255], 4 * k);
  }
  return { width: side, height: side, data };
}
