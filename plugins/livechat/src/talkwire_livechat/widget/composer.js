// Where the visitor writes: the text, the files that go with it, and what the other side is told of the typing.

const TELL_TYPING = 4 * SECOND;
const STILL = 5 * SECOND;

class Composer {
  constructor(box, talk) {
    this.box = box;
    this.talk = talk;
    this.uploads = [];
    this.told_typing = 0;
    this.text = make("textarea", { rows: 1, "aria-label": say("write"), placeholder: say("write"), enterkeyhint: "send", dir: "auto" });
    this.mirror = make("div", { class: "grow" }, this.text);
    this.picker = make("input", { type: "file", multiple: true, hidden: true, tabindex: -1, "aria-hidden": "true" });
    this.attach = tool("clip", say("attach"), () => this.picker.click());
    this.button = make("button", { type: "submit", class: "send", "aria-label": say("send"), title: say("send") }, icon("send"));
    this.tray = make("ul", { class: "tray", "aria-label": say("attach") });
    this.fault = make("p", { class: "fault", role: "alert" });
    const row = make("div", { class: "row" }, this.attach, this.mirror, this.button);
    this.node = make("form", { class: "composer", novalidate: true }, this.tray, this.fault, this.picker, row);

    this.node.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    this.text.addEventListener("input", () => this.typed());
    this.text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.send();
    });
    this.picker.addEventListener("change", () => {
      this.add(this.picker.files);
      this.picker.value = "";
    });
    this.text.value = str(keep.read("draft"));
    this.grow();
  }

  grow() {
    this.mirror.dataset.text = this.text.value;
    this.update();
  }

  edit(text) {
    this.text.value = text;
    keep.write("draft", text);
    this.grow();
    this.text.focus();
  }

  typed() {
    keep.write("draft", this.text.value);
    this.complain("");
    this.grow();
    if (!this.talk.about.typing) return;
    clearTimeout(this.still);
    if (!this.text.value.trim()) return this.stop_typing();
    this.still = setTimeout(() => this.stop_typing(), STILL);
    if (performance.now() - this.told_typing < TELL_TYPING) return;
    this.told_typing = performance.now();
    this.talk.line.ready && this.talk.line.send({ t: "typing", on: true });
  }

  stop_typing() {
    clearTimeout(this.still);
    if (this.told_typing) this.talk.line.send({ t: "typing", on: false });
    this.told_typing = -Infinity;
  }

  too_many() {
    return Math.max(0, [...this.text.value.trim()].length - TEXT_LIMIT);
  }

  update() {
    const files = this.talk.about.files;
    this.attach.hidden = !files;
    this.picker.accept = files ? list(files.types).map(str).join(",") : "";
    const busy = this.uploads.some((one) => !one.id);
    const nothing = !this.text.value.trim() && !this.uploads.length;
    this.button.setAttribute("aria-disabled", String(busy || nothing || this.too_many() > 0));
    if (this.too_many()) this.complain(say("over", this.too_many()));
  }

  complain(text) {
    if (this.fault.textContent !== text) this.fault.textContent = text;
  }

  send() {
    if (this.button.getAttribute("aria-disabled") === "true") return;
    this.talk.write(this.text.value.trim(), this.uploads, null, "");
    this.stop_typing();
    this.uploads.forEach((one) => one.node.remove());
    this.uploads = [];
    this.text.value = "";
    keep.write("draft", "");
    this.complain("");
    this.grow();
    this.box.has_written();
  }

  // Files.

  add(files) {
    const rules = this.talk.about.files;
    if (!rules || this.talk.gate()) return;
    this.complain("");
    const most = Math.min(FILES_LIMIT, Number(rules.most) || FILES_LIMIT);
    for (const file of files) {
      if (this.uploads.length >= most) return this.complain(say("many_files", most));
      const fault = this.fault_of(file, rules);
      if (fault) this.complain(fault);
      else this.upload(file);
    }
  }

  fault_of(file, rules) {
    const name = file_name(file.name);
    const limit = Number(rules.limit) || Infinity;
    const fits = (type) => type === file.type || (type.endsWith("/*") && file.type.startsWith(type.slice(0, -1)));
    const types = list(rules.types).map(str);
    if (!file.size) return say("empty_file", name);
    if (file.size > limit) return say("too_large", name, size_name(limit));
    if (types.length && file.type && !types.some(fits)) return say("type_refused", name);
    return "";
  }

  upload(file) {
    const name = file_name(file.name);
    const bar = make("progress", { max: 1, value: 0, "aria-label": say("uploading", name) });
    const note = make("small", {}, size_name(file.size));
    const again = make("button", { type: "button", class: "plain", hidden: true, click: () => this.start(one) }, say("retry"));
    const cancel = tool("cross", `${say("remove")}: ${name}`, () => this.drop(one));
    const node = make("li", {}, icon("file"), make("span", { class: "words" }, make("bdi", { class: "name" }, name), note, bar), again, cancel);
    const one = { file, node, bar, again, name, id: "", size: file.size, media_type: file.type };
    this.uploads.push(one);
    this.tray.append(node);
    this.start(one);
  }

  start(one) {
    const request = (one.request = new XMLHttpRequest());
    one.bar.hidden = false;
    one.again.hidden = true;
    request.open("POST", `${BASE}/c/${ACCOUNT}/files`);
    request.setRequestHeader("Authorization", `Bearer ${str(keep.read("token"))}`);
    request.setRequestHeader("X-File-Name", encodeURIComponent(one.file.name.toWellFormed ? one.file.name.toWellFormed() : one.name));
    request.upload.onprogress = (event) => event.lengthComputable && (one.bar.value = event.loaded / event.total);
    request.onload = () => this.uploaded(one, request);
    request.onerror = () => this.failed(one, say("up_failed", one.name), true);
    request.send(one.file);
    this.update();
  }

  uploaded(one, request) {
    let answer;
    try {
      answer = obj(JSON.parse(request.responseText));
    } catch {
      answer = {};
    }
    const { status } = request;
    if (status === 201 && str(answer.id)) {
      one.id = str(answer.id);
      one.name = str(answer.name) || one.name;
      one.media_type = str(answer.media_type);
      one.bar.hidden = true;
      return this.update();
    }
    if (status === 413) {
      const limit = Number(answer.limit);
      return this.failed(one, limit > 0 ? say("too_large", one.name, size_name(limit)) : say("too_large_", one.name), false);
    }
    if (status === 415) return this.failed(one, say("type_refused", one.name), false);
    return this.failed(one, say(status === 429 ? "up_later" : "up_failed", one.name), true);
  }

  failed(one, why, may_retry) {
    this.complain(why);
    if (!may_retry) return this.drop(one);
    one.bar.hidden = true;
    one.again.hidden = false;
    this.update();
  }

  // The line is back: what could not be uploaded is tried once more.
  up() {
    for (const one of this.uploads) if (!one.again.hidden) this.start(one);
  }

  drop(one) {
    one.request.abort();
    const had_focus = one.node.contains(one.node.getRootNode().activeElement);
    one.node.remove();
    this.uploads = this.uploads.filter((other) => other !== one);
    if (had_focus) this.text.focus();
    this.update();
  }
}
