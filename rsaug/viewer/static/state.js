// What is shown, as one object, and as the part of the address after "#".

const DEFAULTS = {
  base: null, mask: true, opacity: 0.55, roads: false, frames: true, tint: false,
  compare: "off", other: null, swipe: 0.5,
  metric: null, low: null, high: null, classes: [], verdict: "all",
  selected: null, view: null,
};

const READERS = {
  mask: flag, roads: flag, frames: flag, tint: flag,
  opacity: share, swipe: share, low: decimal, high: decimal,
  compare: (text) => (["swipe", "side"].includes(text) ? text : "off"),
  verdict: (text) => (["open", "accepted", "rejected"].includes(text) ? text : "all"),
  classes: (text) => text.split(",").filter(Boolean).slice(0, 30),
  view: (text) => {
    const [zoom, lat, lon] = text.split("/").map(Number);
    const good = [zoom, lat, lon].every(Number.isFinite) && zoom >= 0 && zoom <= 24 &&
      Math.abs(lat) <= 85 && Math.abs(lon) <= 180;
    return good ? { zoom, lat, lon } : null;
  },
};

function flag(text) { return text !== "0"; }
function decimal(text) { return text !== "" && Number.isFinite(Number(text)) ? Number(text) : null; }
function share(text) { return Math.min(1, Math.max(0, decimal(text) ?? 0.5)); }

function written(name, value) {
  if (typeof value === "boolean") return value ? "1" : "0";
  if (name === "view") return `${value.zoom.toFixed(4)}/${value.lat.toFixed(7)}/${value.lon.toFixed(7)}`;
  if (typeof value === "number") return String(Number(value.toPrecision(6)));
  return String(value);
}

function fromAddress(text) {
  const found = {};
  for (const [name, value] of new URLSearchParams(text.replace(/^#/, ""))) {
    if (name in DEFAULTS) found[name] = (READERS[name] ?? String)(value);
  }
  return found;
}

export class State extends EventTarget {
  constructor() {
    super();
    this.now = { ...DEFAULTS, ...fromAddress(location.hash) };
    this.waiting = 0;
    window.addEventListener("hashchange", () => {
      if (location.hash !== this.last) this.set({ ...DEFAULTS, ...fromAddress(location.hash) });
    });
  }

  // Take over changes, tell whoever listens which they are, and write the address.
  set(changes) {
    const changed = Object.keys(changes).filter((name) => this.now[name] !== changes[name]);
    if (!changed.length) return;
    Object.assign(this.now, changes);
    this.dispatchEvent(new CustomEvent("change", { detail: new Set(changed) }));
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.write(), 150);
  }

  write() {
    const parts = Object.entries(this.now)
      .filter(([name, value]) => value !== null && String(value) !== String(DEFAULTS[name]))
      .map(([name, value]) => `${name}=${encodeURIComponent(written(name, value)).replaceAll("%2F", "/")}`);
    this.last = `#${parts.join("&")}`;
    history.replaceState(null, "", this.last);
  }

  on(names, act) {
    this.addEventListener("change", (event) => {
      if (names.some((name) => event.detail.has(name))) act(this.now);
    });
  }
}
