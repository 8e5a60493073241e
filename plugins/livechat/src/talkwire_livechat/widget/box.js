// The element itself: launcher, panel, where the focus is; and the three names on `window.talkwire`.

const PATIENT = 1.5 * SECOND; // a line that is back by then was never missed

class TalkwireChat extends HTMLElement {
  constructor() {
    super();
    this.root = this.attachShadow({ mode: "open" });
    const [style, own] = [new CSSStyleSheet(), new CSSStyleSheet()];
    style.replaceSync(STYLE);
    own.replaceSync(":host{}");
    this.root.adoptedStyleSheets = [style, own];
    this.own = own.cssRules[0].style; // colours, offsets, and how large a phone's window is
    keep.allowed = keep.names().length > 0; // opened on an earlier page
    this.is_open = false;
    this.is_slow = false;
    this.talk = new Talk(this);
    this.build();
    this.listen();
  }

  connectedCallback() {
    if (keep.read("open")) this.open(false);
    else if (keep.read("live") || keep.outbox().length) this.talk.open(false);
    this.changed();
  }

  build() {
    const { label, colour, on_colour, offset, position } = settings;
    const set = (name, value, kind) => CSS.supports(kind, value) && this.own.setProperty(name, value);
    set("--brand", colour, "color");
    set("--on-brand", on_colour, "color");
    set("--x", `${obj(offset).x}px`, "width");
    set("--y", `${obj(offset).y}px`, "width");

    this.label = label || say("chat");
    const title = settings.title || this.label;
    this.badge = make("span", { class: "badge", "aria-hidden": "true" });
    this.launcher = button("launcher", () => this.open(true), icon("chat"), make("span", {}, this.label), this.badge);
    this.composer = new Composer(this, this.talk);
    this.gate = new Gate(this, this.talk);
    this.log = new Log(this, this.talk);

    this.mute = tool("bell", say("mute"), () => {
      keep.write("muted", !keep.read("muted"));
      this.changed();
    });
    this.leave = tool("leave", say("end"), () => {
      this.talk.asks_end = true;
      this.draw();
      this.focus();
    });
    this.hours = make("p");
    const brand = make("span", { class: "brand", "aria-hidden": "true" }, [...title][0].toUpperCase());
    const names = make("div", { class: "names" }, make("h2", { id: "title", dir: "auto" }, title), this.hours);
    const header = make("header", {}, brand, names, this.leave, this.mute, tool("down", say("minimise"), () => this.close()));
    this.line = make("p", { role: "status" });
    this.pinned = make("div", { class: "pinned" });
    const middle = make("div", { class: "middle" }, this.log.node, this.log.latest);
    const dots = make("span", { class: "dots", "aria-hidden": "true" }, make("i"), make("i"), make("i"));
    this.typing = make("div", { class: "typing" }, dots, say("typing"));
    this.drop = make("div", { class: "drop", hidden: true }, say("drop"));
    this.panel = make(
      "dialog",
      { class: "panel", "aria-labelledby": "title", tabindex: -1 },
      ...[header, this.line, this.pinned, middle, this.typing, this.gate.node, this.composer.node, this.drop],
    );
    this.aloud = make("p", { class: "sr", role: "status" });
    const side = position === "left" ? "all left" : "all";
    this.root.append(make("aside", { class: side, lang: LANGUAGE, "aria-label": title }, this.launcher, this.aloud, this.panel));
  }

  listen() {
    const { panel, drop, composer } = this;
    panel.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.isComposing) return;
      event.preventDefault();
      event.stopPropagation();
      this.close();
    });
    panel.addEventListener("cancel", () => this.close()); // "back" on a phone
    this.root.addEventListener("copy", (event) => {
      const text = String(this.root.getSelection ? this.root.getSelection() : getSelection());
      if (event.target.value !== undefined || !text) return;
      event.preventDefault();
      event.clipboardData.setData("text/plain", text);
    });
    // A dropped file is for us, or for nobody: the browser would leave the page for it.
    for (const kind of ["dragover", "dragleave", "drop"]) {
      panel.addEventListener(kind, (event) => {
        if (!event.dataTransfer.types.includes("Files")) return;
        event.preventDefault();
        drop.hidden = kind !== "dragover" || !this.talk.about.files || composer.node.hidden;
        if (kind === "drop") composer.add(event.dataTransfer.files);
      });
    }
    document.addEventListener("visibilitychange", () => {
      this.log.look_again();
      this.changed();
    });
    phone.addEventListener("change", () => this.show());
    for (const kind of ["resize", "scroll"]) visualViewport.addEventListener(kind, () => this.fit());
  }

  // Opening and closing.

  open(by_hand) {
    keep.allowed = true;
    if (!this.is_open) {
      this.is_open = true;
      this.came_from = by_hand && document.activeElement;
      this.aloud.textContent = "";
      keep.write("open", true);
      this.talk.open(by_hand);
      this.late();
      this.draw();
      this.show();
      this.log.reveal();
      this.waits_for_focus = by_hand;
      this.reveals = true;
    }
    if (by_hand) this.focus();
  }

  // On a phone the panel covers the page, so the page behind can neither be touched nor read; elsewhere it stands beside it.
  show() {
    this.panel.close();
    if (!this.is_open) return;
    if (phone.matches) this.panel.showModal();
    else this.panel.setAttribute("open", ""); // `show()` would take the focus
    this.fit();
  }

  close() {
    if (!this.is_open) return;
    const had_focus = this.root.activeElement;
    const from = this.came_from;
    this.is_open = false;
    keep.write("open", false);
    this.composer.stop_typing();
    this.show();
    this.draw();
    if (had_focus) (from && from !== this && from !== document.body && from.isConnected ? from : this.launcher).focus();
  }

  // Where the visitor goes on: the field to write in, or what stands before it. A touch keyboard is not forced open.
  focus() {
    const { gate, composer } = this;
    const next = gate.node.hidden ? !composer.node.hidden && composer.text : gate.node.querySelector("input, textarea, button");
    if (!next || (touch.matches && next.tagName !== "BUTTON")) this.panel.focus();
    else next.focus();
  }

  is_seen() {
    return this.is_open && !document.hidden;
  }

  // The keyboard of a phone takes part of the window: the panel is as large as what is left. Zoomed in, all stays where it is.
  fit() {
    const { height, offsetTop, scale } = visualViewport;
    if (scale > 1.01) return;
    this.own.setProperty("--height", `${height}px`);
    this.own.setProperty("--top", `${offsetTop}px`);
  }

  // What the talk tells us.

  changed() {
    if (this.will_draw) return;
    this.will_draw = true;
    queueMicrotask(() => this.draw());
  }

  draw() {
    this.will_draw = false;
    const { talk, log, composer, gate } = this;
    const { notice, hours } = talk.about;
    log.arrange();

    const unread = talk.unread().length;
    this.launcher.hidden = this.is_open;
    this.badge.hidden = !unread;
    this.badge.textContent = unread;
    const count = unread === 1 ? say("unread_1") : say("unread", unread);
    this.launcher.setAttribute("aria-label", unread ? `${this.label}, ${count}` : this.label);

    composer.node.hidden = gate.update() || !(talk.is_welcome || talk.entries.size || this.is_slow);
    composer.update();
    this.draw_line();
    this.draw_notice(obj(notice));
    this.hours.textContent = str(obj(hours).text);
    this.hours.hidden = !this.hours.textContent;
    this.hours.className = obj(hours).open === false ? "hours closed" : "hours";
    this.typing.hidden = !talk.typing;
    this.leave.hidden = !(talk.is_live() && !talk.gate());
    const muted = Boolean(keep.read("muted"));
    this.mute.setAttribute("aria-pressed", muted);
    this.mute.replaceChildren(icon(muted ? "off" : "bell"));
    log.node.classList.toggle("empty", !talk.has_said() && !["stop", "refused"].includes(talk.gate()));
    if (this.waits_for_focus && !(composer.node.hidden && gate.node.hidden)) {
      this.waits_for_focus = false;
      if (this.root.activeElement === this.panel) this.focus();
    }
  }

  draw_line() {
    const { talk } = this;
    const is_well = talk.stop || talk.line.ready || !this.is_open;
    const text = is_well ? "" : this.is_slow ? say("offline") : talk.is_welcome ? "" : say("connecting");
    this.line.hidden = !text;
    this.line.className = this.is_slow ? "line offline" : "line";
    if (this.line.textContent !== text) this.line.textContent = text;
  }

  // At the head of a talk the notice is the first thing there; in a talk that has begun a new one is pinned above it.
  draw_notice({ version, text, seen }) {
    if (seen === false && this.told !== version && this.is_seen() && this.talk.line.ready) {
      this.told = version;
      this.pins = this.talk.has_said() && version;
      this.talk.line.send({ t: "noticed", version });
    }
    const pins = version && this.pins === version;
    const looks = `${pins} ${text}`;
    if (looks === this.notice_looks) return;
    this.notice_looks = looks;
    const got = () => {
      this.pins = "";
      this.draw();
      this.focus();
    };
    const words = make("p", { class: pins ? "" : "told", dir: "auto", hidden: !str(text) }, linked(text));
    const hello = make("div", { class: "hello" }, make("h3", {}, say("hello")), make("p", {}, say("hello_more")));
    this.pinned.hidden = !pins;
    this.pinned.replaceChildren(...(pins ? [words, button("second", got, say("noticed"))] : []));
    this.log.top.replaceChildren(...(pins ? [] : [words]), hello);
  }

  // The line is missing for longer than a blink.
  late() {
    clearTimeout(this.late_timer);
    this.late_timer = setTimeout(() => {
      this.is_slow = !this.talk.line.ready;
      this.changed();
    }, PATIENT);
  }

  up() {
    clearTimeout(this.late_timer);
    this.is_slow = false;
    this.composer.up();
    this.log.listen();
    if (!this.reveals) return;
    this.reveals = false;
    this.draw();
    this.log.reveal();
  }

  arrived(entry) {
    if (!this.talk.line.ready || entry.notice || this.is_seen()) return;
    if (!this.is_open) this.aloud.textContent = say("unread_1");
    chime();
  }

  choose(entry, option) {
    if (!["", "ended"].includes(this.talk.gate())) return this.focus();
    const { key } = entry; // other messages may have options of the same names
    this.talk.write(str(option.title), [], { id: str(option.id), title: str(option.title), key });
    this.log.to_end();
  }
}

// Two soft notes; only after a gesture, and not twice where several tabs hear of the same message.
let audio;

function chime() {
  if (keep.read("muted") || !obj(navigator.userActivation).hasBeenActive) return;
  audio = audio || new AudioContext();
  const play = (lock) => {
    if (!lock) return;
    [660, 880].forEach((pitch, place) => {
      const [tone, loud, from] = [audio.createOscillator(), audio.createGain(), audio.currentTime + place / 8];
      tone.frequency.value = pitch;
      loud.gain.setValueAtTime(0.08, from);
      loud.gain.exponentialRampToValueAtTime(0.0001, from + 0.4);
      tone.connect(loud).connect(audio.destination);
      tone.start(from);
      tone.stop(from + 0.4);
    });
    return new Promise((resolve) => setTimeout(resolve, SECOND));
  };
  if (navigator.locks) navigator.locks.request(PREFIX + "chime", { ifAvailable: true }, play);
  else play(true);
}

if (!window.talkwire) {
  customElements.define("talkwire-chat", TalkwireChat);
  const chat = document.createElement("talkwire-chat");
  window.talkwire = {
    open: () => chat.open(true),
    close: () => chat.close(),
    identify: (identity) => chat.talk.identify(identity),
  };
  if (document.body) document.body.append(chat);
  else addEventListener("DOMContentLoaded", () => document.body.append(chat));
}
