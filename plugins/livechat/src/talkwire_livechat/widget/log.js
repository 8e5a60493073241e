// The log as people see it: bubbles, days, notices at the bottom; and the eye that knows what was read.

const NEAR = 48; // pixels from the bottom that still count as "at the bottom"

class Log {
  constructor(box, talk) {
    this.box = box;
    this.talk = talk;
    this.views = new Map(); // slot → what is drawn of an entry
    this.days = new Map();
    this.sticks = true;
    this.top = make("div", { class: "top" });
    this.inner = make("div", { class: "inner" }, this.top);
    this.node = make("div", { class: "log", role: "log", tabindex: 0, "aria-label": say("log"), "aria-live": "off" }, this.inner);
    this.latest = button("latest", () => this.to_end(), say("latest"), icon("down"));
    this.node.addEventListener("scroll", () => this.scrolled());
    const sizes = new ResizeObserver(() => this.sticks && this.to_end());
    sizes.observe(this.inner);
    sizes.observe(this.node);
    const threshold = Array.from({ length: 21 }, (_, step) => step / 20);
    this.eye = new IntersectionObserver((seen) => seen.forEach((one) => this.saw(one)), { root: this.node, threshold });
  }

  // What was there before is not read out.
  listen() {
    setTimeout(() => this.node.setAttribute("aria-live", "polite"), 100);
  }

  arrange() {
    const nodes = [this.top];
    const asking = []; // messages with options, and what was chosen
    let [day, before] = ["", {}];
    for (const entry of this.talk.ordered()) {
      const view = this.view(entry);
      const when = date_of(entry);
      if (!entry.notice && when.toDateString() !== day) {
        day = when.toDateString();
        nodes.push(this.day(day, when));
        before = {};
      }
      view.node.classList.toggle("first", before.mine !== entry.mine || before.author !== entry.author);
      before = entry;
      nodes.push(view.node);
      this.match(entry, view, asking);
    }
    for (const { view, chosen } of asking) mark_options(view.node, chosen);

    for (const slot of this.views.keys()) if (!this.talk.entries.has(slot)) this.views.delete(slot);
    const stay = new Set(nodes);
    for (const node of [...this.inner.children]) if (!stay.has(node)) node.remove();
    nodes.forEach((node, place) => {
      const here = this.inner.children[place];
      if (node !== here) this.inner.insertBefore(node, here || null);
    });
    if (this.sticks) this.to_end();
  }

  day(name, date) {
    const node = this.days.get(name) || make("p", { class: "day" });
    this.days.set(name, node);
    if (node.textContent !== day_name(date)) node.textContent = day_name(date);
    return node;
  }

  // Which of the options above did this choice choose? The nearest that has it, unless we know better.
  match(entry, view, asking) {
    const options = [...view.node.querySelectorAll("[data-option]")].map((option) => option.dataset.option);
    if (options.length) asking.push({ view, options, key: entry.key });
    const choice = entry.mine && entry.blocks.map(obj).find((block) => block.type === "choice");
    if (!choice) return;
    const { id, key } = choice;
    const asks = (one) => one.chosen === undefined && one.options.includes(id) && (key || one.key) === one.key;
    obj(asking.findLast(asks)).chosen = id;
  }

  view(entry) {
    let view = this.views.get(entry.slot);
    if (!view) {
      view = { node: make("div", { class: entry.notice ? "notice" : entry.mine ? "message mine" : "message" }) };
      view.node.dataset.slot = entry.slot;
      this.views.set(entry.slot, view);
      if (!entry.mine) this.eye.observe(view.node);
    }
    const looks = JSON.stringify([entry.blocks, entry.text, entry.author, entry.refused, entry.at]);
    if (view.looks !== looks) {
      view.looks = looks;
      view.state = "";
      const content = draw_blocks(entry, {
        choose: (option) => this.box.choose(entry, option),
        fresh: (attachment) => this.talk.fresh_link(entry, attachment),
      });
      view.node.replaceChildren(...(entry.notice ? content : this.draw_message(entry, view, content)));
    }
    if (entry.mine) this.tick(entry, view);
    return view;
  }

  draw_message(entry, view, content) {
    view.tick = make("span", { class: "tick", role: "img" });
    const meta = make("span", { class: "meta" }, make("time", {}, clock.format(date_of(entry))), entry.mine && view.tick);
    const last = content.at(-1);
    // Room for time and tick in the last line, where there is one.
    if (last && last.tagName === "P") last.append(make("span", { class: entry.mine ? "room wide" : "room" }));
    else meta.classList.add("below");
    const who = make("span", { class: entry.author ? "who" : "sr" }, make("bdi", {}, entry.mine ? say("you") : entry.author || settings.title), hidden_text(": "));
    const is_bare = content.length === 1 && /picture|file/.test(content[0].className);
    const bubble = make("div", { class: is_bare ? "bubble bare" : "bubble" }, content, meta);
    return [who, bubble, ...(entry.refused ? [this.draw_refusal(entry)] : [])];
  }

  draw_refusal(entry) {
    const reason = say(has_word("no_" + entry.refused) ? "no_" + entry.refused : "no_other");
    const remove = (text) => () => {
      this.talk.remove(entry);
      if (text) this.box.composer.write(text);
      this.box.focus();
    };
    const edit = entry.text && button("plain", remove(entry.text), say("edit"));
    return make("div", { class: "refusal" }, icon("failed"), `${say("failed")}. ${reason}`, make("span", {}, edit, button("plain", remove(), say("remove"))));
  }

  tick(entry, view) {
    const state = entry.refused ? "failed" : entry.n <= this.talk.read_to ? "read" : entry.kept ? "kept" : "pending";
    if (view.state === state) return;
    view.state = state;
    view.tick.replaceChildren(icon(state));
    view.tick.setAttribute("aria-label", say(state));
    view.tick.title = say(state);
  }

  // Scrolling.

  scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.node;
    // Where we scrolled to is told of a frame later, when a size may have changed: that says nothing of the visitor.
    if (clientHeight && scrollTop !== this.end) this.sticks = this.latest.hidden = scrollHeight - scrollTop - clientHeight < NEAR;
  }

  to_end() {
    this.node.scrollTop = this.node.scrollHeight;
    this.end = this.node.scrollTop;
    this.sticks = this.latest.hidden = true;
  }

  // The widget was opened: begin where the visitor stopped reading.
  reveal() {
    this.to_end();
    const first = this.talk.unread()[0];
    if (first) this.node.scrollTop = Math.min(this.end, this.views.get(first.slot).node.offsetTop - NEAR);
    this.scrolled();
  }

  // Reading: half of a bubble (or half of the log, where the bubble is larger) in view for a second, on a visible page.

  saw({ target, isIntersecting, intersectionRect, boundingClientRect, rootBounds }) {
    const view = this.views.get(target.dataset.slot);
    if (!view) return;
    const enough = Math.min(boundingClientRect.height, obj(rootBounds).height) / 2;
    const is_in_view = isIntersecting && intersectionRect.height >= enough - 1;
    if (is_in_view === view.is_in_view) return;
    view.is_in_view = is_in_view;
    this.look(target.dataset.slot, view);
  }

  look(slot, view) {
    clearTimeout(view.timer);
    if (!view.is_in_view || !this.box.is_seen()) return;
    view.timer = setTimeout(() => {
      const entry = this.talk.entries.get(slot);
      if (entry && this.box.is_seen()) this.talk.has_read(entry);
    }, SECOND);
  }

  // The page was shown or hidden: the second begins anew.
  look_again() {
    for (const [slot, view] of this.views) this.look(slot, view);
  }
}

function date_of(entry) {
  const date = new Date(entry.at);
  return Number.isNaN(date.getTime()) ? new Date() : date;
}
