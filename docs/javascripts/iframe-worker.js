// Browsers start no workers from files on a disk. Where the site is opened as files, what should run
// in a worker, the search, runs in a hidden frame instead. Its name keeps mkdocs-material from asking
// for such a script from another site.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.waiting = [];
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const inside = frame.contentWindow;
      // What the script posts goes out; what is posted to it comes in as a message of its window.
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      inside.importScripts = (...urls) => urls.forEach((one) => load(inside, new URL(one, url).href));
      this.deliver = (data) => inside.dispatchEvent(new inside.MessageEvent("message", { data }));
      load(inside, url).addEventListener("load", () => {
        const waiting = this.waiting;
        this.waiting = null;
        waiting.forEach(this.deliver);
      });
    }

    postMessage(data) {
      if (this.waiting) this.waiting.push(data);
      else this.deliver(data);
    }

    terminate() {}
  };

  function load(window, url) {
    const script = window.document.createElement("script");
    script.src = url;
    window.document.body.append(script);
    return script;
  }
}
