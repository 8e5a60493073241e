// The talk: what we know of it, what waits to go out, what we have to say about what came in. It draws nothing.

const SEEN_AT_ONCE = 200; // keys in one frame
const TELL_AGAIN = 60 * SECOND; // what was said shortly before a line broke may not have arrived
const ANSWER_WITHIN = 20 * SECOND;
const TYPING_FALLS = 8 * SECOND;
const FIELDS = ["key", "id", "at", "author", "notice", "state", "text"];

class Talk {
  // `view` has changed(), up(), late(), arrived(entry)
  constructor(view) {
    this.view = view;
    this.line = new Line(this);
    this.identity = str(SCRIPT && SCRIPT.dataset.identity);
    this.fresh = false;
    this.drains = false;
    this.forget();
    addEventListener("storage", (event) => str(event.key).startsWith(PREFIX + OUT) && this.take_outbox());
  }

  forget() {
    this.entries = new Map(); // by "k:" + key (ours) or "o:" + id (the visitor's)
    this.slots = 0;
    this.last = 0;
    this.read_to = 0;
    this.session = "";
    this.reason = "";
    this.stop = "";
    this.again = false;
    this.is_welcome = false;
    this.about = {}; // the parts of welcome that can change
    this.typing = false;
    this.asks_end = false;
    this.form_faults = null;
    this.form_waits = false;
    this.answers = new Map(); // id → what to do with the server's word on that message
    this.links = []; // {attachment, resolve}: who waits for which link
    this.unsaid = { delivered: new Set(), read: new Set() };
    this.said = new Map(); // key → [state, when]
  }

  changed() {
    this.view.changed();
  }

  // What the line asks.

  is_known() {
    return Boolean(this.identity || keep.read("token"));
  }

  hello() {
    const { fresh } = this;
    this.fresh = false;
    const token = keep.read("token"); // what is undefined is not sent
    const identity = this.identity || undefined;
    return { t: "hello", protocol: PROTOCOL, token, identity, after: this.last, fresh, language: LANGUAGE };
  }

  up() {
    for (const [key, [state, when]] of this.said) if (Date.now() - when < TELL_AGAIN) this.unsaid[state].add(key);
    this.tell_seen();
    this.take_outbox();
    this.view.up();
    this.changed();
  }

  down() {
    for (const resolve of this.answers.values()) resolve({});
    this.answers.clear();
    for (const one of this.links) one.resolve("");
    this.links = [];
    this.typing = false;
    this.form_waits = false;
    this.view.late();
    this.changed();
  }

  // The line was closed with this code: true if it shall stay closed.
  closed(code) {
    if (code === 4001) {
      keep.write("token");
      this.forget(); // that talk is not ours any more
    }
    this.stop = { 4001: this.identity && "sign_in_again", 4003: "sign_in", 4009: "old_page" }[code] || "";
    if (this.stop) this.line.wanted = false;
    this.changed();
    return Boolean(this.stop);
  }

  // What the visitor does.

  open(by_hand) {
    this.fresh = by_hand && !this.line.socket;
    if (this.stop !== "old_page") this.stop = "";
    this.line.open();
  }

  identify(identity) {
    const next = str(identity);
    if (next === this.identity) return;
    const was_wanted = this.line.wanted || Boolean(this.stop);
    const was_known = this.identity;
    this.identity = next;
    this.line.close();
    if (was_known) {
      keep.forget(); // the next one at this browser shall not read what this one wrote
      this.view.composer.write("");
    }
    if (!keep.allowed) return;
    this.forget();
    if (was_wanted) this.open(false);
    this.changed();
  }

  // Which of consent, form and so on stands before the next message; "" if none does.
  gate() {
    const { consent, form } = this.about;
    if (this.stop) return "stop";
    if (!this.is_welcome) return "";
    if (consent && consent.given === false) return "refused";
    if (consent && consent.given !== true) return "consent";
    if (form) return "form";
    return this.session === "ended" && !this.again ? "ended" : "";
  }

  write(text, files, choice) {
    const item = { id: uuid(), text, files, choice, at: new Date().toISOString() };
    this.again = true; // until the server says that the talk is open again
    keep.write(outbox_name(item.id), item);
    this.take_outbox();
  }

  remove(entry) {
    if (entry.name) keep.write(entry.name);
    this.entries.delete(entry.slot);
    this.changed();
  }

  // A fresh address of a file; "" if there is none.
  fresh_link(entry, attachment) {
    return new Promise((resolve) => {
      const { id, key } = entry;
      this.links.push({ attachment, resolve });
      this.line.send({ t: "link", attachment, id, key });
      setTimeout(resolve, PATIENCE, "");
    });
  }

  // What the server says.

  take(frame) {
    const action = TAKES[str(frame.t)];
    if (!action) return;
    action(this, frame);
    if (this.is_welcome && this.is_live() !== Boolean(keep.read("live"))) keep.write("live", this.is_live());
    this.changed();
  }

  settle(frame) {
    for (const name of ["notice", "consent", "form", "hours", "files", "typing"]) {
      if (name in frame) this.about[name] = frame[name] === true || (frame[name] && obj(frame[name]));
    }
  }

  has_said() {
    return [...this.entries.values()].some((entry) => !entry.notice);
  }

  is_live() {
    return this.session === "connected" && this.has_said();
  }

  take_message(frame) {
    const mine = frame.out === false;
    const name = str(mine ? frame.id : frame.key);
    if (!name) return;
    const slot = (mine ? "o:" : "k:") + name;
    const known = this.entries.get(slot);
    if (Number.isInteger(frame.n)) this.last = Math.max(this.last, frame.n);
    if (frame.gone === true) return void this.entries.delete(slot);

    const entry = known || this.enter(slot, mine);
    for (const field of FIELDS) if (typeof frame[field] === "string") entry[field] = frame[field];
    if (Number.isInteger(frame.n)) entry.n = frame.n;
    if (Array.isArray(frame.blocks)) entry.blocks = frame.blocks;
    if (mine) return this.is_kept(entry);

    // A notice under a new key takes the place of the one that stood in its slot.
    const other = entry.notice && [...this.entries.values()].find((one) => one !== entry && one.notice === entry.notice);
    if (other) {
      entry.seq = Math.min(entry.seq, other.seq);
      this.entries.delete(other.slot);
    }
    // What the server does not know, it has not heard.
    if (!["read", "delivered"].includes(entry.state)) this.report(name, list(this.said.get(name))[0] || "delivered");
    if (!known) this.view.arrived(entry);
    if (!entry.notice) this.typing = false;
  }

  enter(slot, mine) {
    this.slots += 1;
    const entry = { slot, mine, seq: this.slots, at: new Date().toISOString(), blocks: [], text: "", author: "", notice: "" };
    this.entries.set(slot, entry);
    return entry;
  }

  // In the order in which they stand: numbered, waiting, notices.
  ordered() {
    const place = (entry) => (entry.notice ? 2e15 : entry.n || 1e15);
    return [...this.entries.values()].sort((a, b) => place(a) - place(b) || a.seq - b.seq);
  }

  unread() {
    return [...this.entries.values()].filter((entry) => !entry.mine && !entry.notice && entry.state !== "read");
  }

  // The way out: in order, one at a time, by one tab at a time; an item leaves storage when the server has it.

  take_outbox() {
    const items = keep.outbox();
    const waiting = new Set(items.map((item) => "o:" + item.id));
    for (const entry of this.entries.values()) {
      // Another tab took it away, as it was refused.
      if (entry.refused && !waiting.has(entry.slot)) this.entries.delete(entry.slot);
    }
    for (const item of items) {
      const entry = this.entries.get("o:" + item.id) || this.enter("o:" + item.id, true);
      if (entry.kept) {
        keep.write(item.name);
        continue;
      }
      const { id, name } = item;
      const text = str(item.text);
      const said = item.choice ? { ...item.choice, type: "choice" } : { type: "text", nodes: [{ type: "paragraph", spans: [{ text }] }] };
      const blocks = list(item.files).map((file) => ({ ...obj(file), type: "media", attachment: obj(file).id }));
      if (text) blocks.unshift(said);
      Object.assign(entry, { id, name, text, blocks, at: str(item.at), refused: str(item.refused) });
    }
    this.changed();
    this.drain();
  }

  next() {
    if (!this.line.ready || (this.gate() && this.gate() !== "ended")) return undefined;
    return keep.outbox().find((item) => !item.refused);
  }

  async drain() {
    if (this.drains || !this.next()) return;
    this.drains = true;
    try {
      await alone("send", () => this.send_all());
    } finally {
      this.drains = false;
    }
    this.drain();
  }

  async send_all() {
    for (let item = this.next(); item; item = this.next()) {
      const answer = await this.send_one(item);
      if (!answer.t) return;
      if (answer.t === "ack") keep.write(item.name);
      else if (["too_fast", "later"].includes(answer.code)) {
        const wait = Number(answer.retry_after) > 0 ? Number(answer.retry_after) : 5;
        await new Promise((resolve) => setTimeout(resolve, wait * SECOND));
      } else {
        keep.write(item.name, { ...item, refused: str(answer.code) || "other" });
        this.take_outbox();
      }
    }
  }

  send_one(item) {
    return new Promise((resolve) => {
      const { id, choice } = item;
      const files = list(item.files).map((file) => str(obj(file).id));
      this.answers.set(id, resolve);
      if (!this.line.send({ t: "message", id, text: str(item.text), files, choice })) this.line.lose();
      setTimeout(() => this.answers.get(id) === resolve && resolve({ t: "nack", code: "later" }), ANSWER_WITHIN);
    });
  }

  answer(id, frame) {
    const resolve = this.answers.get(id);
    this.answers.delete(id);
    if (resolve) resolve(frame);
  }

  is_kept(entry) {
    entry.kept = true;
    entry.refused = "";
    const item = keep.outbox().find((one) => one.id === entry.id);
    if (item) keep.write(item.name);
    this.answer(entry.id, { t: "ack" });
  }

  // The visitor's own files can be opened once the server has them.
  async link_files(entry) {
    for (const block of entry.blocks) if (block.attachment) block.url = await this.fresh_link(entry, block.attachment);
    this.changed();
  }

  // What was refused for want of something goes out when that is there.
  try_again(code) {
    for (const item of keep.outbox()) if (item.refused === code) keep.write(item.name, { ...item, refused: "" });
    this.take_outbox();
  }

  // What we have to say about what came in.

  report(key, state) {
    this.said.set(key, [state, Date.now()]);
    this.unsaid[state].add(key);
    clearTimeout(this.seen_timer);
    this.seen_timer = setTimeout(() => this.tell_seen(), 50);
  }

  has_read(entry) {
    if (entry.mine || entry.state === "read") return;
    entry.state = "read";
    this.report(entry.key, "read");
    this.changed();
  }

  tell_seen() {
    if (!this.line.ready) return;
    for (const state of ["delivered", "read"]) {
      const keys = [...this.unsaid[state]];
      for (let from = 0; from < keys.length; from += SEEN_AT_ONCE) {
        this.line.send({ t: "seen", keys: keys.slice(from, from + SEEN_AT_ONCE), state });
      }
      this.unsaid[state].clear();
    }
  }
}

const TAKES = {
  __proto__: null,

  welcome(talk, frame) {
    if (str(frame.token)) keep.write("token", frame.token);
    talk.is_welcome = true;
    talk.session = str(frame.session);
    talk.reason = str(frame.reason);
    talk.settle(frame);
  },

  message: (talk, frame) => talk.take_message(frame),

  ack(talk, frame) {
    const entry = talk.entries.get("o:" + str(frame.id));
    if (entry) {
      // Not `last`: a message of ours with a smaller number may still be on its way.
      if (Number.isInteger(frame.n)) entry.n = frame.n;
      if (str(frame.at)) entry.at = frame.at;
      talk.is_kept(entry);
      talk.link_files(entry);
    }
    talk.answer(str(frame.id), frame);
  },

  nack(talk, frame) {
    if (frame.id === "form") {
      talk.form_waits = false;
      talk.form_faults = obj(frame.fields);
    } else talk.answer(str(frame.id), frame);
  },

  consented(talk, frame) {
    if (talk.about.consent) talk.about.consent.given = frame.accepted === true;
    if (frame.accepted === true) talk.try_again("consent");
  },

  formed(talk) {
    Object.assign(talk, { form_waits: false, form_faults: null });
    talk.about.form = null;
    talk.try_again("form");
  },

  typing(talk, frame) {
    talk.typing = frame.on === true;
    clearTimeout(talk.typing_timer);
    talk.typing_timer = setTimeout(() => {
      talk.typing = false;
      talk.changed();
    }, TYPING_FALLS);
  },

  read(talk, frame) {
    if (Number.isInteger(frame.n)) talk.read_to = Math.max(talk.read_to, frame.n);
  },

  ended(talk, frame) {
    Object.assign(talk, { session: "ended", reason: str(frame.reason), again: false, asks_end: false, typing: false });
  },

  reopened(talk) {
    Object.assign(talk, { session: "connected", again: false });
  },

  link(talk, frame) {
    for (const one of talk.links) if (one.attachment === frame.attachment) one.resolve(str(frame.url));
  },

  settings(talk, frame) {
    talk.settle(frame);
    talk.drain();
  },
};
