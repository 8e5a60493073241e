// What stands where the composer would stand: consent, the form, the end, and why there is no chat at all.

class Gate {
  constructor(box, talk) {
    this.box = box;
    this.talk = talk;
    this.node = make("div", { class: "gate", hidden: true });
    this.drawn = "";
  }

  // Give true if a gate is closed, so that the composer is not shown.
  update() {
    const kind = this.talk.gate() || (this.talk.asks_end ? "end_ask" : "");
    const { consent, form } = this.talk.about;
    const about = { consent, refused: consent, form: form && [form.title, form.fields] }[kind];
    const looks = kind && JSON.stringify([kind, about, this.talk.stop, this.talk.reason]);
    if (looks !== this.drawn) {
      const had_focus = this.node.contains(this.box.root.activeElement) || this.box.composer.node.contains(this.box.root.activeElement);
      this.drawn = looks;
      this.node.replaceChildren(...(kind ? [this[kind]()].flat() : []));
      this.node.hidden = !kind;
      if (had_focus) queueMicrotask(() => this.box.focus());
    }
    if (kind === "form") this.update_form();
    return Boolean(kind);
  }

  stop() {
    return [make("p", { role: "alert" }, say(this.talk.stop))];
  }

  consent() {
    const { version, text } = this.talk.about.consent;
    const answer = (accepted) => () => this.talk.line.send({ t: "consent", version, accepted });
    const long = { class: "long", tabindex: 0, dir: "auto" };
    const pair = make("div", { class: "pair" }, button("main", answer(true), say("accept")), button("second", answer(false), say("refuse")));
    return [make("h3", {}, say("before")), make("p", long, linked(text)), pair];
  }

  refused() {
    const { refused, email } = this.talk.about.consent;
    const mail = refused === "email" && str(email);
    const again = () => {
      this.talk.about.consent.given = null;
      this.talk.changed();
    };
    return [
      make("p", {}, say("refused")),
      mail && make("p", {}, say("refused_mail"), " ", link(safe_link("mailto:" + mail), {}, mail)),
      button("second", again, say("reconsider")),
    ].filter(Boolean);
  }

  ended() {
    const key = "ended_" + this.talk.reason;
    const again = () => {
      this.talk.again = true;
      this.talk.changed();
      this.box.focus();
    };
    return [make("p", {}, say(has_word(key) ? key : "ended")), button("main", again, say("again"))];
  }

  end_ask() {
    const stay = () => {
      this.talk.asks_end = false;
      this.talk.changed();
    };
    const pair = make("div", { class: "pair" }, button("main", () => this.talk.say_bye(), say("end")), button("second", stay, say("end_not")));
    return [make("p", {}, say("end_ask")), pair];
  }

  form() {
    const form = this.talk.about.form;
    const fields = list(form.fields).map(obj).filter((field) => Object.hasOwn(INPUTS, str(field.name)));
    this.fields = fields.map((field, place) => {
      const id = `field-${place}`;
      const attributes = { id, name: field.name, required: field.required === true, "aria-describedby": `${id}-fault`, dir: "auto" };
      const input = make(field.name === "question" ? "textarea" : "input", Object.assign(attributes, INPUTS[field.name]));
      const fault = make("small", { class: "fault", id: `${id}-fault` });
      const label = make("label", { for: id }, str(field.label), field.required === true ? null : make("small", {}, ` (${say("optional")})`));
      return { name: field.name, required: field.required === true, input, fault, node: make("div", { class: "field" }, label, input, fault) };
    });
    this.go = make("button", { type: "submit", class: "main" }, say("start"));
    const submit = (event) => {
      event.preventDefault();
      this.submit();
    };
    const title = str(form.title) || say("before");
    return make("form", { "aria-label": title, novalidate: true, submit }, make("h3", {}, title), this.fields.map((one) => one.node), this.go);
  }

  submit() {
    if (this.talk.form_waits) return;
    const faults = {};
    const values = {};
    for (const { name, required, input } of this.fields) {
      values[name] = input.value.trim();
      if (required && !values[name]) faults[name] = "required";
      else if (values[name] && !input.checkValidity()) faults[name] = name;
    }
    if (!Object.keys(faults).length) {
      this.talk.form_waits = this.talk.line.ready && this.talk.line.send({ t: "form", values });
    }
    this.talk.form_faults = faults;
    this.talk.changed();
    const first = this.fields.find((one) => Object.hasOwn(faults, one.name));
    if (first) first.input.focus();
  }

  update_form() {
    const faults = this.talk.form_faults || {};
    this.go.setAttribute("aria-disabled", String(this.talk.form_waits));
    for (const { name, input, fault } of this.fields) {
      const code = Object.hasOwn(faults, name) ? str(faults[name]) || "other" : "";
      const text = code && say(has_word("bad_" + code) ? "bad_" + code : "bad_other");
      if (fault.textContent !== text) fault.textContent = text;
      input.setAttribute("aria-invalid", String(Boolean(code)));
    }
  }
}

const INPUTS = {
  name: { type: "text", autocomplete: "name" },
  email: { type: "email", autocomplete: "email" },
  phone: { type: "tel", autocomplete: "tel" },
  question: { rows: 3 },
};
