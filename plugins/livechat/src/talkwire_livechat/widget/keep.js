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

  write(name, value) {
    this.aside.delete(name);
    if (!this.allowed && value !== undefined) return void this.aside.set(name, value);
    try {
      if (value === undefined || value === false || value === "") localStorage.removeItem(PREFIX + name);
      else localStorage.setItem(PREFIX + name, JSON.stringify(value));
    } catch {
      this.aside.set(name, value);
    }
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
      .map((name) => Object.assign(obj(this.read(name)), { name }))
      .filter((item) => str(item.id));
  },

  forget() {
    for (const name of this.names()) if (name !== "muted") this.write(name, undefined);
  },
};

let written = 0;

function outbox_name() {
  written += 1;
  return OUT + String(Date.now()).padStart(15, "0") + String(written).padStart(6, "0");
}

// Do something while no other tab does it; where there are no locks, only this tab's order is certain.
function alone(name, work) {
  return navigator.locks ? navigator.locks.request(PREFIX + name, work) : work();
}
