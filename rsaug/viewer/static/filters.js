// Which tiles are looked at: by a number said of them, by what they hold, by their verdict.

const BINS = 24;
const SVG = "http://www.w3.org/2000/svg";
const HELD_FROM = 0.01;

const TITLES = { score: "score", weight: "weight of the filter", consistency: "consistency", realism: "realism",
  novelty: "novelty", f1: "relaxed F1", density: "density", road_share: "share of road" };

export const titleOf = (metric) => TITLES[metric] ?? metric.replaceAll("_", " ");
export const shown = (value) => (value === null || value === undefined ? "–" : Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(3));

export class Filter {
  constructor(run, state) {
    this.run = run;
    this.state = state;
  }

  get metric() {
    const { metric } = this.state.now;
    return metric in this.run.metrics ? metric : Object.keys(this.run.metrics)[0] ?? null;
  }

  // Least and greatest value of the metric that any image has.
  extent() {
    const values = (this.run.metrics[this.metric] ?? []).filter((value) => value !== null);
    if (!values.length) return null;
    const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
    return { low, high: high > low ? high : low + 1 };
  }

  passes(image) {
    const { low, high, classes, verdict } = this.state.now;
    const value = this.run.value(image, this.metric);
    if (low !== null && !(value >= low)) return false;
    if (high !== null && !(value !== null && value <= high)) return false;
    const held = this.run.shares[image.tile];
    if (classes.length && !classes.every((name) => (held?.[name] ?? 0) >= HELD_FROM)) return false;
    const said = this.run.verdicts.get(image.name) ?? "open";
    return verdict === "all" || verdict === said;
  }

  get isOn() {
    const { low, high, classes, verdict } = this.state.now;
    return low !== null || high !== null || classes.length > 0 || verdict !== "all";
  }

  reset() { this.state.set({ low: null, high: null, classes: [], verdict: "all" }); }
}

export class Histogram {
  constructor(filter, state) {
    this.filter = filter;
    this.state = state;
    this.svg = document.getElementById("bars");
    this.low = document.getElementById("low");
    this.high = document.getElementById("high");
    for (const slider of [this.low, this.high]) slider.addEventListener("input", () => this.moved(slider));
  }

  moved(slider) {
    const a = Number(this.low.value), b = Number(this.high.value);
    if (a > b) slider.value = String(slider === this.low ? b : a);
    const { low, high } = this.filter.extent();
    const at = (value) => low + (Number(value) / 1000) * (high - low);
    this.state.set({
      low: this.low.value === "0" ? null : at(this.low.value),
      high: this.high.value === "1000" ? null : at(this.high.value),
    });
  }

  draw(images) {
    const extent = this.filter.extent();
    this.svg.parentElement.hidden = extent === null;
    if (extent === null) return;
    const { low, high } = extent;
    const now = this.state.now;
    const counts = new Array(BINS).fill(0);
    for (const image of images) {
      const value = this.filter.run.value(image, this.filter.metric);
      if (value !== null) counts[Math.min(BINS - 1, Math.floor(((value - low) / (high - low)) * BINS))] += 1;
    }
    const most = Math.max(1, ...counts);
    const from = now.low ?? low, to = now.high ?? high;
    this.svg.replaceChildren(...counts.map((count, k) => {
      const bar = document.createElementNS(SVG, "rect");
      const middle = low + ((k + 0.5) / BINS) * (high - low);
      const height = count ? Math.max(1.5, (count / most) * 46) : 0;
      for (const [name, value] of Object.entries({ x: k * 10 + 0.75, y: 48 - height, width: 8.5, height })) bar.setAttribute(name, value);
      if (middle >= from && middle <= to) bar.classList.add("in");
      return bar;
    }));
    const at = (value) => String(Math.round(((value - low) / (high - low)) * 1000));
    this.low.value = at(from);
    this.high.value = at(to);
    document.getElementById("low-shown").textContent = shown(from);
    document.getElementById("high-shown").textContent = shown(to);
    this.low.setAttribute("aria-valuetext", shown(from));
    this.high.setAttribute("aria-valuetext", shown(to));
  }
}
