// Where the visitor writes: the text, the files that go with it, and what the other side is told of the typing.

const TELL_TYPING = 4 * SECOND;
const STILL = 5 * SECOND;

class Composer {
  constructor(box, talk) {
    this.box = box;
    this.talk = talk;
    this.uploads = [];
    this.told_typing = 0; // when
    this.text = make("textarea", { rows: 1, "aria-label": say("write"), placeholder: say("write"), enterkeyhint: "send", dir: "auto" });
    this.mirror = make("div", { class: "grow" }, this.text); // grows with the text, in CSS
    this.picker = make("input", { type: "file", multiple: true, hidden: true });
    this.attach = tool("clip", say("attach"), () => this.picker.click());
    this.button = tool("send", say("send"), () => this.send());
    this.button.className = "send";
    this.tray = make("ul", { class: "tray", "aria-label": say("attach") });
    this.fault = make("p", { class: "fault", role: "alert" });
    const row = make("div", { class: "row" }, this.attach, this.mirror, this.button);
    this.node = make("div", { class: "composer" }, this.tray, this.fault, this.picker, row);

    this.text.addEventListener("input", () => this.typed());
    this.text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.send();
    });
    this.text.addEventListener("paste", (event) => {
      const { files, types } = event.clipboardData;
      if (!files.length || types.includes("text/plain")) return; // a table of a spreadsheet has a picture of itself
      event.preventDefault();
      this.add(files);
    });
    this.picker.addEventListener("change", () => {
      this.add(this.picker.files);
      this.picker.value = "";
    });
    this.write(str(keep.read("draft")));
  }

  write(text) {
    this.text.value = text;
    keep.write("draft", text);
    this.update();
  }

  typed() {
    this.write(this.text.value);
    if (!this.too_many()) this.complain("");
    if (!this.talk.about.typing) return;
    clearTimeout(this.still);
    if (!this.text.value.trim()) return this.stop_typing();
    this.still = setTimeout(() => this.stop_typing(), STILL);
    if (Date.now() - this.told_typing < TELL_TYPING) return;
    this.told_typing = Date.now();
    this.talk.line.send({ t: "typing", on: true });
  }

  stop_typing() {
    clearTimeout(this.still);
    if (this.told_typing) this.talk.line.send({ t: "typing", on: false });
    this.told_typing = 0;
  }

  too_many() {
    return Math.max(0, [...this.text.value.trim()].length - TEXT_LIMIT);
  }

  update() {
    this.mirror.dataset.text = this.text.value;
    const { files } = this.talk.about;
    this.attach.hidden = !files;
    this.picker.accept = list(obj(files).types).join();
    const is_empty = !this.text.value.trim() && !this.uploads.length;
    this.button.setAttribute("aria-disabled", is_empty || this.too_many() > 0 || this.uploads.some((one) => !one.id));
    if (this.too_many()) this.complain(say("over", this.too_many()));
  }

  complain(text) {
    if (this.fault.textContent !== text) this.fault.textContent = text;
  }

  send() {
    if (this.button.getAttribute("aria-disabled") === "true") return;
    const files = this.uploads.map(({ id, name, size, media_type }) => ({ id, name, size, media_type }));
    this.talk.write(this.text.value.trim(), files);
    this.stop_typing();
    this.tray.replaceChildren();
    this.uploads = [];
    this.complain("");
    this.write("");
    this.box.log.to_end();
    this.text.focus();
  }

  // Files.

  add(files) {
    const rules = this.talk.about.files;
    if (!rules || this.node.hidden) return;
    this.complain("");
    const most = Math.min(FILES_LIMIT, rules.most || FILES_LIMIT);
    const fits = (type) => (file) => (str(type).endsWith("/*") ? file.type.startsWith(type.slice(0, -1)) : file.type === type);
    for (const file of files) {
      const name = file_name(file.name);
      if (this.uploads.length >= most) this.complain(say("many_files", most));
      else if (file.size > rules.limit) this.complain(say("too_large", name, size_name(rules.limit)));
      else if (file.type && !list(rules.types).some((type) => fits(type)(file))) this.complain(say("type_refused", name));
      else this.upload(file, name);
    }
  }

  upload(file, name) {
    const bar = make("progress", { max: 1, value: 0, "aria-label": say("uploading", name) });
    const again = button("plain", () => this.start(one), say("retry"));
    const cancel = tool("cross", `${say("remove")}: ${name}`, () => this.drop(one));
    const words = make("span", { class: "words" }, make("bdi", { class: "name" }, name), make("small", {}, size_name(file.size)), bar);
    const one = { file, name, bar, again, size: file.size, node: make("li", {}, icon("file"), words, again, cancel) };
    this.uploads.push(one);
    this.tray.append(one.node);
    this.start(one);
  }

  start(one) {
    const request = (one.request = new XMLHttpRequest()); // `fetch` tells no progress
    one.bar.hidden = false;
    one.again.hidden = true;
    request.open("POST", `${BASE}/c/${ACCOUNT}/files`);
    request.setRequestHeader("Authorization", `Bearer ${str(keep.read("token"))}`);
    request.setRequestHeader("X-File-Name", encodeURIComponent(one.name));
    request.upload.onprogress = ({ loaded, total }) => (one.bar.value = loaded / total);
    request.onloadend = () => this.uploaded(one, request);
    request.send(one.file);
    this.update();
  }

  uploaded(one, { status, responseText }) {
    let answer = {};
    try {
      answer = obj(JSON.parse(responseText));
    } catch {
      // An answer that is not ours counts by its status.
    }
    one.bar.hidden = true;
    if (status === 201) Object.assign(one, { id: str(answer.id), name: str(answer.name) || one.name, media_type: str(answer.media_type) });
    else if (status === 413 || status === 415) {
      this.drop(one);
      this.complain(status === 413 ? say("too_large", one.name, size_name(Number(answer.limit) || one.size - 1)) : say("type_refused", one.name));
    } else if (one.node.isConnected) {
      one.again.hidden = false;
      this.complain(say("up_failed", one.name));
    }
    this.update();
  }

  // The line is back: what could not be uploaded is tried once more.
  up() {
    for (const one of this.uploads) if (!one.again.hidden) this.start(one);
  }

  drop(one) {
    this.uploads = this.uploads.filter((other) => other !== one);
    one.node.remove();
    one.request.abort();
    this.text.focus();
    this.update();
  }
}
