// The run: what the server says of it, and what is decided on its images.

const meta = (name) => document.querySelector(`meta[name="${name}"]`).content;

export async function fetched(path, options) {
  const answer = await fetch(path, options);
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Error(typeof told.detail === "string" ? told.detail : `The server answered ${answer.status}.`);
  }
  return answer.json();
}

export const tilesOf = (layer) =>
  `${location.origin}/tiles/${meta("start")}/${encodeURIComponent(layer)}/{z}/{x}/{y}`;

export class Run {
  constructor(about) {
    Object.assign(this, about);
    const { name, tile, variant, outline, road } = about.images;
    const order = new Map();
    this.images = name.map((one, k) => {
      if (!order.has(tile[k])) order.set(tile[k], order.size);
      return { name: one, tile: tile[k], variant: variant[k], place: order.get(tile[k]), outline: outline[k], row: k, road: road[k] };
    });
    this.byName = new Map(this.images.map((image) => [image.name, image]));
    this.places = [...order.keys()].map(() => []);
    for (const image of this.images) this.places[image.place].push(image);
    this.verdicts = new Map(Object.entries(about.verdicts));
    this.metrics = { ...about.scores };
    if (road.some((value) => value !== null) && !("road_share" in this.metrics)) this.metrics.road_share = road;
    this.shares = {};
  }

  value(image, metric) { return this.metrics[metric]?.[image.row] ?? null; }

  // The image of a place that is looked at while a variant is.
  at(place, variant) {
    return this.places[place].find((image) => image.variant === variant) ?? this.places[place][0];
  }
}

export class Review extends EventTarget {
  constructor(run) {
    super();
    this.run = run;
    this.history = [];
    this.waiting = new Map();
    this.sending = false;
  }

  // Shown at once, kept by the server, and taken back if that fails.
  decide(name, verdict, { undoing = false } = {}) {
    const before = this.run.verdicts.get(name) ?? null;
    if (before === verdict) return;
    if (!undoing) this.history.push([name, before]);
    this.show(name, verdict);
    const kept = this.waiting.get(name)?.before ?? before;
    this.waiting.set(name, { verdict, before: kept });
    this.send();
  }

  undo() {
    const last = this.history.pop();
    if (last) this.decide(last[0], last[1], { undoing: true });
    return last?.[0] ?? null;
  }

  show(name, verdict) {
    if (verdict === null) this.run.verdicts.delete(name);
    else this.run.verdicts.set(name, verdict);
    this.dispatchEvent(new CustomEvent("decided", { detail: name }));
  }

  async send() {
    if (this.sending || !this.waiting.size) return;
    this.sending = true;
    const batch = new Map(this.waiting);
    this.waiting.clear();
    const verdicts = Object.fromEntries([...batch].map(([name, entry]) => [name, entry.verdict]));
    try {
      await fetched("/api/review", {
        method: "POST",
        headers: { "content-type": "application/json", "x-rsaug-token": meta("token") },
        body: JSON.stringify({ verdicts }),
      });
      this.dispatchEvent(new CustomEvent("kept", { detail: batch.size }));
    } catch (error) {
      for (const [name, { before }] of batch) if (!this.waiting.has(name)) this.show(name, before);
      this.dispatchEvent(new CustomEvent("failed", { detail: error.message }));
    }
    this.sending = false;
    this.send();
  }
}
