// The element itself: launcher, panel, where the focus is, what is said aloud; and the three names on `window.talkwire`.

const PATIENT = 1.5 * SECOND; // a line that is back by then was never missed

class TalkwireChat extends HTMLElement {
  constructor() {
    super();
    this.root = this.attachShadow({ mode: "open" });
    this.is_open = false;
    this.came_from = null;
    this.slow = false;
    this.heard = 0;
    this.sheet = new CSSStyleSheet();
    this.sheet.replaceSync(STYLE);
    this.size = new CSSStyleSheet();
    this.size.replaceSync(":host{}");
    this.root.adoptedStyleSheets = [this.sheet, this.size];
    this.paint();
    keep.allowed = keep.names().length > 0; // opened on an earlier page
    this.talk = new Talk(this);
    this.build();
  }

  connectedCallback() {
    if (this.began) return;
    this.began = true;
    if (keep.read("open")) this.open(false);
    else if (keep.read("live") || keep.outbox().length) this.talk.open(false);
    this.changed();
  }

  // Colours and place come from the settings, as values of properties: what is no colour changes nothing.
  paint() {
    const { style } = this.size.cssRules[0];
    const offset = obj(settings.offset);
    if (CSS.supports("color", settings.colour)) style.setProperty("--brand", settings.colour);
    if (CSS.supports("color", settings.on_colour)) style.setProperty("--on-brand", settings.on_colour);
    for (const side of ["x", "y"]) if (offset[side] >= 0) style.setProperty("--" + side, `${Number(offset[side])}px`);
  }

  build() {
    const title = settings.title || settings.label || say("chat");
    this.badge = make("span", { class: "badge", "aria-hidden": "true", hidden: true });
    this.launcher = make("button", { type: "button", class: "launcher", "aria-haspopup": "dialog", click: () => this.open(true) });
    this.launcher.append(icon("chat"), make("span", { class: "label" }, settings.label || say("chat")), this.badge);
    this.aloud = make("p", { class: "sr", role: "status" });

    this.composer = new Composer(this, this.talk);
    this.gate = new Gate(this, this.talk);
    this.log = new Log(this, this.talk);

    this.mute = tool("bell", say("mute"), () => this.toggle_sound());
    this.leave = tool("leave", say("end"), () => this.ask_end());
    this.hours = make("p", { class: "hours", hidden: true });
    const mark = make("span", { class: "brand", "aria-hidden": "true" }, [...title.trim()][0].toUpperCase());
    const names = make("div", { class: "names" }, make("h2", { id: "title", dir: "auto" }, title), this.hours);
    const header = make("header", {}, mark, names, this.leave, this.mute, tool("down", say("minimise"), () => this.close()));
    this.pinned = make("div", { class: "pinned", hidden: true });
    this.line = make("p", { class: "line", role: "status", hidden: true });
    this.dots = make("div", { class: "typing", hidden: true }, make("span", { class: "dots", "aria-hidden": "true" }, make("i"), make("i"), make("i")), say("typing"));
    this.drop = make("div", { class: "drop", "aria-hidden": "true", hidden: true }, icon("clip"), say("drop"));
    const middle = make("div", { class: "middle" }, this.log.node, this.log.latest);
    this.panel = make("section", { class: "panel", role: "dialog", "aria-labelledby": "title", tabindex: -1, hidden: true });
    this.panel.append(header, this.line, this.pinned, middle, this.dots, this.gate.node, this.composer.node, this.drop);

    const side = settings.position === "left" ? "left" : "right";
    const all = make("aside", { class: `all ${side}`, lang: LANGUAGE, "aria-label": title }, this.launcher, this.aloud, this.panel);
    this.root.append(all);
    this.listen();
  }

  listen() {
    this.panel.addEventListener("keydown", (event) => this.key(event));
    this.root.addEventListener("copy", (event) => this.copy(event));
    document.addEventListener("visibilitychange", () => this.page_changed());
    phone.addEventListener("change", () => this.fit());
    if (window.visualViewport) {
      visualViewport.addEventListener("resize", () => this.fit());
      visualViewport.addEventListener("scroll", () => this.fit());
    }
    const has_files = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
    const may_drop = () => this.talk.about.files && !this.composer.node.hidden;
    for (const kind of ["dragenter", "dragover"]) {
      this.panel.addEventListener(kind, (event) => {
        if (!has_files(event)) return;
        event.preventDefault(); // or the browser would leave the page for the file
        this.drop.hidden = !may_drop();
      });
    }
    this.panel.addEventListener("dragleave", (event) => {
      if (!this.panel.contains(event.relatedTarget)) this.drop.hidden = true;
    });
    this.panel.addEventListener("drop", (event) => {
      if (!has_files(event)) return;
      event.preventDefault();
      this.drop.hidden = true;
      if (may_drop()) this.composer.add(event.dataTransfer.files);
    });
    this.composer.text.addEventListener("paste", (event) => {
      const { files } = event.clipboardData;
      if (!files.length || event.clipboardData.types.includes("text/plain")) return;
      event.preventDefault();
      this.composer.add(files);
    });
  }

  // Opening and closing.

  open(by_hand) {
    keep.allowed = true;
    if (this.is_open) return void (by_hand && this.focus());
    this.is_open = true;
    this.came_from = by_hand ? document.activeElement : null;
    keep.write("open", true);
    this.panel.hidden = false;
    this.launcher.hidden = true;
    this.aloud.textContent = "";
    if (by_hand) ready_chime();
    this.fit();
    this.talk.open(by_hand);
    this.talk.take_outbox();
    this.changed();
    this.log.reveal();
    this.late();
    this.waits_for_focus = by_hand;
    if (by_hand) this.focus();
  }

  close() {
    if (!this.is_open) return;
    const had_focus = this.panel.contains(this.root.activeElement);
    this.is_open = false;
    keep.write("open", false);
    this.composer.stop_typing();
    this.panel.hidden = true;
    this.launcher.hidden = false;
    this.changed();
    if (!had_focus) return;
    const from = this.came_from;
    if (from && from !== this && from !== document.body && from.isConnected) from.focus();
    else this.launcher.focus();
  }

  // Where the visitor goes on: the field to write in, or what stands before it. A touch keyboard is not forced open.
  focus() {
    if (!this.is_open) return this.launcher.focus();
    const gate = !this.gate.node.hidden && this.gate.node.querySelector("input, textarea, button");
    if (gate && !(touch.matches && gate.tagName !== "BUTTON")) gate.focus();
    else if (!gate && !touch.matches && !this.composer.node.hidden) this.composer.text.focus();
    else this.panel.focus();
  }

  is_seen() {
    return this.is_open && !document.hidden;
  }

  key(event) {
    if (event.key === "Escape" && !event.isComposing) {
      event.stopPropagation();
      return this.close();
    }
    if (event.key !== "Tab" || !phone.matches) return;
    // Full screen: the page behind is covered, so the focus stays here.
    const stops = [...this.panel.querySelectorAll("button, a[href], input, textarea, [tabindex='0'], audio, video")];
    const shown = stops.filter((stop) => stop.checkVisibility() && stop.tabIndex >= 0);
    const [from, to] = event.shiftKey ? [shown[0], shown.at(-1)] : [shown.at(-1), shown[0]];
    const here = this.root.activeElement;
    if (here !== from && !(event.shiftKey && here === this.panel)) return;
    event.preventDefault();
    to.focus();
  }

  copy(event) {
    const selection = this.root.getSelection ? this.root.getSelection() : document.getSelection();
    if (/TEXTAREA|INPUT/.test((this.root.activeElement || {}).tagName) || !String(selection)) return;
    event.preventDefault();
    event.clipboardData.setData("text/plain", String(selection));
  }

  // The keyboard of a phone takes part of the window: the panel is as large as what is left. Zoomed in, all stays where it is.
  fit() {
    const { style } = this.size.cssRules[0];
    const view = window.visualViewport;
    this.panel.toggleAttribute("aria-modal", false);
    if (phone.matches && this.is_open) this.panel.setAttribute("aria-modal", "true");
    if (!view || view.scale > 1.01) return;
    style.setProperty("--height", `${view.height}px`);
    style.setProperty("--top", `${view.offsetTop}px`);
    if (this.log.sticks) this.log.to_end();
  }

  page_changed() {
    this.log.page_changed();
    this.changed();
  }

  // What the talk tells us.

  changed() {
    if (this.will_draw) return;
    this.will_draw = true;
    queueMicrotask(() => {
      this.will_draw = false;
      this.draw();
    });
  }

  draw() {
    this.log.arrange();
    const { talk } = this;
    const { notice, hours, files } = talk.about;
    const unread = talk.unread().length;
    this.badge.hidden = !unread;
    this.badge.textContent = unread > 99 ? "99+" : unread;
    const name = settings.label || say("chat");
    this.launcher.setAttribute("aria-label", unread ? `${name}, ${unread === 1 ? say("unread_1") : say("unread", unread)}` : name);

    this.composer.node.hidden = this.gate.update() || (!talk.welcome && !talk.entries.size && !this.slow);
    this.composer.update();
    this.draw_line();
    this.draw_notice(notice);
    this.hours.hidden = !(hours && str(hours.text));
    this.hours.textContent = hours ? str(hours.text) : "";
    this.hours.classList.toggle("closed", Boolean(hours && hours.open === false));
    this.dots.hidden = !talk.typing;
    const has_said = this.has_said();
    this.leave.hidden = !(talk.welcome && talk.session === "connected" && has_said && !talk.gate());
    const muted = Boolean(keep.read("muted"));
    this.mute.setAttribute("aria-pressed", String(muted));
    this.mute.replaceChildren(icon(muted ? "off" : "bell"));
    this.log.node.classList.toggle("empty", !has_said);
    if (!files) this.drop.hidden = true;
    if (this.waits_for_focus && !(this.composer.node.hidden && this.gate.node.hidden)) {
      this.waits_for_focus = false;
      if (this.root.activeElement === this.panel) this.focus();
    }
  }

  draw_line() {
    const offline = this.is_open && !this.talk.stop && !this.talk.line.ready;
    const text = !offline ? "" : this.slow ? say("offline") : this.talk.welcome ? "" : say("connecting");
    this.line.hidden = !text;
    this.line.classList.toggle("offline", this.slow);
    if (this.line.textContent !== text) this.line.textContent = text;
  }

  // The line is missing for longer than a blink.
  late() {
    clearTimeout(this.late_timer);
    this.late_timer = setTimeout(() => {
      this.slow = !this.talk.line.ready;
      this.changed();
    }, PATIENT);
  }

  // At the head of a talk the notice is the first thing there; in a talk that has begun a new one is pinned above it.
  draw_notice(notice) {
    const version = notice ? str(notice.version) : "";
    if (notice && notice.seen === false && this.told !== version && this.is_seen() && this.talk.line.ready) {
      this.told = version;
      this.pins = this.has_said() ? version : "";
      this.talk.line.send({ t: "noticed", version });
    }
    const pins = version && this.pins === version;
    const looks = JSON.stringify([notice && notice.text, pins]);
    if (looks === this.notice_looks) return;
    this.notice_looks = looks;
    const text = notice && str(notice.text) ? make("p", { dir: "auto" }, linked(notice.text)) : null;
    const got = () => {
      this.pins = "";
      this.changed();
      this.focus();
    };
    const button = make("button", { type: "button", class: "second", click: got }, say("noticed"));
    const hello = make("div", { class: "hello" }, make("h3", {}, say("hello")), make("p", {}, say("hello_more")));
    this.pinned.hidden = !pins;
    this.pinned.replaceChildren(...(pins ? [text, button] : []));
    this.log.top.replaceChildren(...(text && !pins ? [make("div", { class: "told" }, text)] : []), hello);
  }

  has_said() {
    return [...this.talk.entries.values()].some((entry) => !entry.notice);
  }

  up() {
    clearTimeout(this.late_timer);
    this.slow = false;
    this.composer.up();
    this.log.is_loading(false);
  }

  down() {
    this.late();
  }

  forgotten() {
    this.composer.edit("");
    this.log.is_loading(true);
  }

  arrived(entry) {
    if (!this.talk.line.ready || entry.notice) return;
    if (this.is_seen() && document.hasFocus()) return;
    if (!this.is_open) this.aloud.textContent = say("unread_1");
    chime();
  }

  has_written() {
    this.log.to_end();
    this.composer.text.focus();
  }

  choose(entry, option) {
    if (this.talk.gate() && this.talk.gate() !== "ended") return this.focus();
    this.talk.again = true;
    this.talk.write(str(option.title), [], option, entry.slot);
    this.log.to_end();
  }

  ask_end() {
    this.talk.asks_end = true;
    this.talk.changed();
    queueMicrotask(() => this.focus());
  }

  toggle_sound() {
    keep.write("muted", !keep.read("muted"));
    this.changed();
  }
}

// Two soft notes; only after a gesture, and not twice where several tabs hear of the same message.
let audio = null;

function ready_chime() {
  audio = audio || (window.AudioContext && new AudioContext());
}

async function chime() {
  const acted = navigator.userActivation ? navigator.userActivation.hasBeenActive : audio;
  if (keep.read("muted") || !acted) return;
  ready_chime();
  if (!audio) return;
  const play = (lock) => {
    if (lock === null) return null;
    [660, 880].forEach((pitch, place) => {
      const [tone, loud, from] = [audio.createOscillator(), audio.createGain(), audio.currentTime + place * 0.12];
      tone.frequency.value = pitch;
      loud.gain.setValueAtTime(0, from);
      loud.gain.linearRampToValueAtTime(0.08, from + 0.02);
      loud.gain.exponentialRampToValueAtTime(0.0001, from + 0.4);
      tone.connect(loud).connect(audio.destination);
      tone.start(from);
      tone.stop(from + 0.45);
    });
    return new Promise((resolve) => setTimeout(resolve, SECOND));
  };
  if (navigator.locks) navigator.locks.request(PREFIX + "chime", { ifAvailable: true }, play);
  else play();
}

if (!customElements.get("talkwire-chat")) {
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
