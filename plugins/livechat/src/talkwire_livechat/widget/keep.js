// What stays in the visitor's browser, from the moment the widget is opened; one entry a value, so that tabs do not overwrite each other.

const PREFIX = `talkwire:${BASE}:${ACCOUNT}:`;
const OUT = "out:";

const keep = {
  allowed: false, // nothing is written before the visitor opens the widget
  aside: new Map(), // where the browser refuses storage, and before it is allowed

  read(name) {
    try {
      const text = localStorage.getItem(PREFIX + name);
      if (text !== null) return JSON.parse(text);
    } catch {
      // Refused, or damaged by somebody else: as if it were not there.
    }
    return this.aside.get(name);
  },

  // What is false or empty is not kept.
  write(name, value) {
    this.aside.delete(name);
    try {
      if (!value) localStorage.removeItem(PREFIX + name);
      else if (this.allowed) return localStorage.setItem(PREFIX + name, JSON.stringify(value));
    } catch {
      // Refused, or full.
    }
    if (value) this.aside.set(name, value);
  },

  names() {
    const names = new Set(this.aside.keys());
    try {
      for (const name of Object.keys(localStorage)) if (name.startsWith(PREFIX)) names.add(name.slice(PREFIX.length));
    } catch {
      // As above.
    }
    return [...names];
  },

  // The outbox: names sort as the messages were written.
  outbox() {
    return this.names()
      .filter((name) => name.startsWith(OUT))
      .sort()
      .map((name) => ({ ...obj(this.read(name)), name }))
      .filter((item) => str(item.id));
  },

  forget() {
    for (const name of this.names()) if (name !== "muted") this.write(name);
  },
};

let written = 0;

// Sorts by time, then by count; the id keeps two tabs apart.
function outbox_name(id) {
  written += 1;
  return `${OUT}${Date.now()}-${String(written).padStart(6, "0")}-${id}`;
}

// Do something while no other tab does it; where there are no locks, only this tab's order is certain.
function alone(name, work) {
  return navigator.locks ? navigator.locks.request(PREFIX + name, work) : work();
}
