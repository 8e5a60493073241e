// The log as people see it: bubbles, days, notices at the bottom; and the eye that knows what was read.

const NEAR = 48; // pixels from the bottom that still count as "at the bottom"
const LOOK = SECOND; // so long a bubble is in view before it counts as read

class Log {
  constructor(box, talk) {
    this.box = box;
    this.talk = talk;
    this.views = new Map(); // slot → {node, …}
    this.days = new Map();
    this.sticks = true;
    this.in_view = new Map(); // slot → timer
    this.top = make("div", { class: "top" });
    this.inner = make("div", { class: "inner" }, this.top);
    this.node = make("div", { class: "log", role: "log", tabindex: 0, "aria-label": say("log"), "aria-live": "off" }, this.inner);
    this.latest = make("button", { type: "button", class: "latest", hidden: true, click: () => this.to_end(true) }, say("latest"), icon("down"));
    this.node.addEventListener("scroll", () => this.scrolled(), { passive: true });
    new ResizeObserver(() => this.sticks && this.to_end()).observe(this.inner);
    new ResizeObserver(() => this.sticks && this.to_end()).observe(this.node);
    const steps = Array.from({ length: 21 }, (_, step) => step / 20);
    this.eye = new IntersectionObserver((changes) => changes.forEach((one) => this.saw(one)), { root: this.node, threshold: steps });
  }

  // What came before we listened is not read out.
  is_loading(loading) {
    if (loading) this.node.setAttribute("aria-live", "off");
    else setTimeout(() => this.node.setAttribute("aria-live", "polite"), 100);
  }

  arrange() {
    const entries = this.talk.ordered();
    const wanted = [this.top];
    const asking = []; // messages with options that nobody has chosen from yet
    let day = "";
    let before = null;
    for (const entry of entries) {
      const view = this.view(entry);
      const date = new Date(entry.at);
      const when = Number.isNaN(date.getTime()) ? new Date() : date;
      if (!entry.notice && when.toDateString() !== day) {
        day = when.toDateString();
        wanted.push(this.day(day, when));
        before = null;
      }
      const follows = before && before.mine === entry.mine && before.author === entry.author;
      view.node.classList.toggle("first", !follows);
      before = entry.notice ? null : entry;
      wanted.push(view.node);
      this.match(entry, view, asking);
    }
    for (const [view, chosen] of asking.map((one) => [one.view, one.chosen])) mark_options(view.node, chosen);
    this.place(wanted, new Set(entries.map((entry) => entry.slot)));
    if (this.sticks) this.to_end();
  }

  place(wanted, slots) {
    for (const [slot, view] of this.views) {
      if (slots.has(slot)) continue;
      this.eye.unobserve(view.node);
      view.node.remove();
      this.views.delete(slot);
      this.looked_away(slot);
    }
    const kept = new Set(wanted);
    for (const [name, node] of this.days) {
      if (kept.has(node)) continue;
      node.remove();
      this.days.delete(name);
    }
    let next = this.inner.firstChild;
    for (const node of wanted) {
      if (node === next) next = next.nextSibling;
      else this.inner.insertBefore(node, next);
    }
  }

  day(name, date) {
    if (!this.days.has(name)) this.days.set(name, make("p", { class: "day" }));
    const node = this.days.get(name);
    if (node.textContent !== day_name(date)) node.textContent = day_name(date);
    return node;
  }

  // Which of the options above did this choice choose? The nearest that has it, unless we know better.
  match(entry, view, asking) {
    if (!entry.mine && view.node.querySelector("[data-option]")) asking.push({ view, entry, chosen: undefined });
    const choice = entry.mine && entry.blocks.map(obj).find((block) => block.type === "choice");
    if (!choice) return;
    const has = (one) =>
      one.chosen === undefined &&
      (!entry.of || one.entry.slot === entry.of) &&
      [...one.view.node.querySelectorAll("[data-option]")].some((button) => button.dataset.option === str(choice.id));
    const one = asking.findLast(has);
    if (one) one.chosen = str(choice.id);
  }

  view(entry) {
    const looks = JSON.stringify([entry.blocks, entry.text, entry.author, entry.notice, entry.refused, entry.at]);
    let view = this.views.get(entry.slot);
    if (!view) {
      view = { node: make("div", { class: entry.notice ? "notice" : entry.mine ? "message mine" : "message ours" }), looks: "" };
      view.node.dataset.slot = entry.slot;
      this.views.set(entry.slot, view);
      if (!entry.mine) this.eye.observe(view.node);
    }
    if (view.looks !== looks) {
      view.looks = looks;
      view.node.replaceChildren(...(entry.notice ? this.draw_notice(entry) : this.draw_message(entry, view)));
    }
    if (entry.mine) this.tick(entry, view);
    return view;
  }

  acts(entry) {
    return {
      choose: (option) => this.box.choose(entry, option),
      fresh: (attachment) => this.talk.fresh_link(entry, attachment),
    };
  }

  draw_notice(entry) {
    return draw_blocks(entry, this.acts(entry));
  }

  draw_message(entry, view) {
    const content = draw_blocks(entry, this.acts(entry));
    const date = new Date(entry.at);
    const time = Number.isNaN(date.getTime()) ? null : make("time", { datetime: date.toISOString() }, clock.format(date));
    view.tick = entry.mine && make("span", { class: "tick", role: "img" });
    const meta = make("span", { class: "meta" }, time, view.tick);
    view.state = "";
    // Room for time and tick in the last line, where there is one.
    const last = content.at(-1);
    if (last && last.tagName === "P") last.append(make("span", { class: entry.mine ? "room wide" : "room" }));
    else meta.classList.add("below");
    const who = entry.mine ? hidden_text(say("you") + ": ") : make("span", { class: "who" }, make("bdi", {}, entry.author || settings.title), hidden_text(": "));
    if (!entry.mine && !entry.author) who.className = "sr";
    const alone_picture = content.length === 1 && /picture|file/.test(content[0].className) ? " bare" : "";
    const bubble = make("div", { class: "bubble" + alone_picture }, content, meta);
    return [who, bubble, entry.refused && this.draw_refusal(entry)].filter(Boolean);
  }

  draw_refusal(entry) {
    const reason = has_word("no_" + entry.refused) ? say("no_" + entry.refused) : say("no_other");
    const edit = () => {
      this.talk.remove(entry);
      this.box.composer.edit(entry.text);
    };
    const remove = () => {
      this.talk.remove(entry);
      this.box.focus();
    };
    return make(
      "div",
      { class: "refusal" },
      icon("failed"),
      make("span", {}, `${say("failed")}. ${reason}`),
      entry.text && make("button", { type: "button", class: "plain", click: edit }, say("edit")),
      make("button", { type: "button", class: "plain", click: remove }, say("remove")),
    );
  }

  tick(entry, view) {
    const read = entry.n && entry.n <= this.talk.read_to;
    const state = entry.refused ? "failed" : read ? "read" : entry.kept ? "kept" : "pending";
    if (view.state === state) return;
    view.state = state;
    view.tick.replaceChildren(icon(state));
    view.tick.setAttribute("aria-label", say(state));
    view.tick.title = say(state);
  }

  // Scrolling.

  scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.node;
    if (!clientHeight) return;
    this.sticks = scrollHeight - scrollTop - clientHeight < NEAR;
    this.latest.hidden = this.sticks;
  }

  to_end(gently) {
    this.sticks = true;
    this.latest.hidden = true;
    this.node.scrollTo({ top: this.node.scrollHeight, behavior: gently && !calm.matches ? "smooth" : "instant" });
  }

  // The widget was opened: begin where the visitor stopped reading.
  reveal() {
    this.to_end();
    const first = this.talk.ordered().find((entry) => !entry.mine && !entry.notice && entry.state !== "read");
    const view = first && this.views.get(first.slot);
    if (view && view.node.offsetTop < this.node.scrollTop) this.node.scrollTop = view.node.offsetTop - NEAR;
    this.scrolled();
  }

  // Reading: half of a bubble (or half of the log, where the bubble is larger) in view for a second, on a visible page.

  saw(change) {
    const slot = change.target.dataset.slot;
    const enough = Math.min(change.boundingClientRect.height, change.rootBounds ? change.rootBounds.height : 0) / 2;
    const seen = change.isIntersecting && change.intersectionRect.height >= enough - 1;
    if (!seen) return this.looked_away(slot);
    if (this.in_view.has(slot)) return;
    this.in_view.set(slot, 0);
    this.look(slot);
  }

  look(slot) {
    clearTimeout(this.in_view.get(slot));
    const read = () => {
      const entry = this.talk.entries.get(slot);
      if (entry && this.in_view.has(slot) && this.box.is_seen()) this.talk.has_read(entry);
    };
    this.in_view.set(slot, setTimeout(read, LOOK));
  }

  looked_away(slot) {
    clearTimeout(this.in_view.get(slot));
    this.in_view.delete(slot);
  }

  // The page was shown or hidden: the second begins anew.
  page_changed() {
    for (const slot of this.in_view.keys()) {
      clearTimeout(this.in_view.get(slot));
      if (this.box.is_seen()) this.look(slot);
    }
  }
}
