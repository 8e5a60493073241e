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
    const { talk, box } = this;
    const kind = talk.gate() || (talk.asks_end ? "ending" : "");
    const { consent, form } = talk.about;
    const looks = JSON.stringify([kind, kind === "form" ? form : consent, talk.stop, talk.reason]);
    if (looks !== this.drawn) {
      const here = box.root.activeElement;
      const had_focus = here && here.closest(".gate, .composer");
      this.drawn = looks;
      this.node.hidden = !kind;
      this.node.replaceChildren(...(kind ? this[kind](consent, form).filter(Boolean) : []));
      if (had_focus) queueMicrotask(() => box.focus());
    }
    if (kind === "form") this.show_faults();
    return Boolean(kind);
  }

  stop() {
    return [make("p", { role: "alert" }, say(this.talk.stop))];
  }

  consent({ version, text }) {
    const answer = (accepted) => () => this.talk.line.send({ t: "consent", version, accepted });
    const long = { class: "long", tabindex: 0, dir: "auto" };
    const pair = make("div", { class: "pair" }, button("main", answer(true), say("accept")), button("second", answer(false), say("refuse")));
    return [make("h3", {}, say("before")), make("p", long, linked(text)), pair];
  }

  refused(consent) {
    const mail = consent.refused === "email" && str(consent.email);
    const again = () => {
      consent.given = null;
      this.talk.changed();
    };
    return [
      make("p", {}, say("refused")),
      mail && make("p", {}, say("refused_mail"), " ", link(safe_link("mailto:" + mail), {}, mail)),
      button("second", again, say("reconsider")),
    ];
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

  ending() {
    const answer = (ends) => () => {
      this.talk.asks_end = false;
      if (ends) this.talk.line.send({ t: "bye" });
      this.talk.changed();
    };
    const pair = make("div", { class: "pair" }, button("main", answer(true), say("end")), button("second", answer(), say("end_not")));
    return [make("p", {}, say("end_ask")), pair];
  }

  form(_, form) {
    const known = list(form.fields).map(obj).filter(({ name }) => Object.hasOwn(INPUTS, str(name)));
    this.fields = known.map(({ name, label, required }) => {
      const fault = make("small", { class: "fault", id: name + "-fault" });
      const attributes = { id: name, required: required === true, "aria-describedby": fault.id, dir: "auto", ...INPUTS[name] };
      const input = make(name === "question" ? "textarea" : "input", attributes);
      const optional = required !== true && make("small", {}, ` (${say("optional")})`);
      return { name, input, fault, node: make("div", { class: "field" }, make("label", { for: name }, str(label), optional), input, fault) };
    });
    this.go = make("button", { class: "main" }, say("start"));
    const submit = (event) => {
      event.preventDefault();
      this.submit();
    };
    const title = str(form.title) || say("before");
    const nodes = this.fields.map((one) => one.node);
    return [make("form", { "aria-label": title, novalidate: true, submit }, make("h3", {}, title), nodes, this.go)];
  }

  submit() {
    const { talk } = this;
    if (talk.form_waits) return;
    const [faults, values] = [{}, {}];
    for (const { name, input } of this.fields) {
      input.value = values[name] = input.value.trim();
      if (!input.checkValidity()) faults[name] = input.validity.valueMissing ? "required" : name;
    }
    const fault = this.fields.find(({ name }) => faults[name]);
    talk.form_faults = faults;
    if (fault) fault.input.focus();
    else talk.form_waits = talk.line.ready && talk.line.send({ t: "form", values });
    talk.changed();
  }

  show_faults() {
    this.go.setAttribute("aria-disabled", this.talk.form_waits);
    for (const { name, input, fault } of this.fields) {
      const code = str(obj(this.talk.form_faults)[name]);
      const text = code && say(has_word("bad_" + code) ? "bad_" + code : "bad_other");
      if (fault.textContent !== text) fault.textContent = text;
      input.setAttribute("aria-invalid", Boolean(code));
    }
  }
}

const INPUTS = {
  name: { type: "text", autocomplete: "name" },
  email: { type: "email", autocomplete: "email" },
  phone: { type: "tel", autocomplete: "tel" },
  question: { rows: 3 },
};
