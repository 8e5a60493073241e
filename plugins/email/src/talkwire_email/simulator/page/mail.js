// The customer's mail program: draws what the simulator streams, sends what is typed.
import { at, clock, live, make, post } from "./frame.js";

const program = at("program"), list = at("list"), address = at("address"), form = at("form"), text = at("text");
const NAMES = { "budi@correspondent.example": "Budi Santoso" };
let mails = new Map(), fresh = new Set(), chosen = "", answering = "", awaited = "";

address.value = new URLSearchParams(location.search).get("address") || "budi@correspondent.example";

const owner = () => address.value.trim().toLowerCase();
const ours = () => [...mails.values()].filter((mail) => mail.who.toLowerCase() === owner());
const named = (who) => NAMES[who] || who.split("@")[0].split("+")[0].replace(/[._]+/g, " ").replace(/(^| )\S/g, (c) => c.toUpperCase());
const nameOf = (header) => header.replace(/\s*<[^>]*>\s*$/, "").replace(/^"(.*)"$/, "$1") || header;
const bytes = (size) => (size < 1000 ? `${size} bytes` : size < 1e6 ? `${Math.round(size / 1000)} kB` : `${(size / 1e6).toFixed(1)} MB`);

function firstWords(mail) {
  return mail.text.split("\n--\n")[0].split("\n").filter((line) => line.trim() && !/^>|wrote:$/.test(line)).join(" ").slice(0, 120);
}

function entry(mail) {
  const node = make("button", "entry" + (fresh.has(mail.id) ? " fresh" : ""));
  node.type = "button";
  node.dataset.id = mail.id;
  if (mail.id === chosen) node.setAttribute("aria-current", "true");
  const who = mail.mine ? "You" : nameOf(mail.from);
  node.append(make("span", "who", who), make("span", "when", clock(mail.at)), make("span", "about", mail.subject || "(no subject)"), make("span", "first", firstWords(mail) || " "));
  if (fresh.has(mail.id)) node.append(make("span", "hidden", "new"));
  node.addEventListener("click", () => choose(mail.id, true));
  const item = make("li");
  item.append(node);
  return item;
}

function drawList() {
  const held = document.activeElement?.dataset?.id;
  list.replaceChildren(...ours().reverse().map(entry));
  at("empty").hidden = list.children.length > 0;
  if (held) list.querySelector(`[data-id="${CSS.escape(held)}"]`)?.focus();
}

function show(what) {
  at("mail").hidden = what !== "mail";
  form.hidden = what !== "form";
  at("nothing").hidden = what !== "nothing";
  program.dataset.shows = what === "nothing" ? "list" : "pane";
}

function row(term, words) {
  return words ? [make("dt", "", term), make("dd", "", words)] : [];
}

function choose(id, moves) {
  const mail = mails.get(id);
  awaited = mail ? "" : id; // the stream may be slower than the answer to what was sent
  if (!mail) return;
  chosen = id;
  fresh.delete(id);
  draw(mail);
  show("mail");
  drawList();
  at("pane").scrollTop = 0;
  if (moves) at("mail").focus({ preventScroll: true });
}

function draw(mail) {
  at("subject").textContent = mail.subject || "(no subject)";
  const when = new Date(mail.at * 1000).toLocaleString([], { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  at("about").replaceChildren(...row("From", mail.from), ...row("To", mail.to), ...row("Copy to", mail.cc), ...row("When", when), ...row("Body", mail.kind), ...row("State", mail.note));
  at("warning").hidden = mail.mine || (mail.plain && !mail.failed);
  at("warning").textContent = mail.failed ? "The customer never saw this: it came back." : "This is not plain text alone.";
  at("body").replaceChildren(...mail.text.split("\n").map((line, n) => make("span", line.startsWith(">") ? "quoted" : "", (n ? "\n" : "") + line)));
  at("files").replaceChildren(...mail.files.map((file) => make("li", "", `${file.name} · ${file.type} · ${bytes(file.size)}`)));
  at("files").hidden = mail.files.length === 0;
  at("answer").hidden = mail.mine || mail.failed;
  at("headers").textContent = mail.headers;
  at("raw").href = `sim/mails/${mail.id}`;
}

function compose(mail) {
  answering = mail ? mail.id : "";
  const subject = mail ? (/^re:/i.test(mail.subject) ? mail.subject : `Re: ${mail.subject}`) : "New mail";
  at("form-title").textContent = subject;
  at("subject-field").hidden = Boolean(mail);
  at("new-subject").value = "";
  at("hint").textContent = mail ? "What you answer is quoted below it, as mail programs do." : "";
  at("trouble").hidden = true;
  text.value = "";
  text.placeholder = mail ? "Your answer" : "What is it about?";
  show("form");
  (mail ? text : at("new-subject")).focus();
}

function back() {
  const was = chosen;
  chosen = "";
  show("nothing");
  drawList();
  (list.querySelector(`[data-id="${CSS.escape(was)}"]`) || at("new")).focus();
}

at("new").addEventListener("click", () => compose(null));
at("answer").addEventListener("click", () => compose(mails.get(chosen)));
for (const node of document.querySelectorAll("[data-back]")) node.addEventListener("click", back);
form.addEventListener("reset", (event) => {
  event.preventDefault();
  if (answering) choose(answering, true);
  else back();
});
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!text.value.trim()) return text.focus();
  try {
    const sent = await post("sim/mails", { from: owner(), subject: at("new-subject").value, text: text.value, answers: answering });
    choose(sent.id, true);
  } catch (error) { // nothing typed is lost
    at("trouble").textContent = error.message;
    at("trouble").hidden = false;
  }
});
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});

function introduce() {
  at("owner").textContent = named(owner());
  at("avatar").textContent = named(owner()).slice(0, 1);
}
address.addEventListener("input", () => {
  introduce();
  at("line").textContent = owner();
  chosen = "";
  show("nothing");
  drawList();
});

function take(mail) {
  if (!mails.has(mail.id) && !mail.mine) fresh.add(mail.id);
  mails.set(mail.id, mail);
  drawList();
  if (mail.id === awaited) choose(mail.id, true);
  else if (mail.id === chosen && !at("mail").hidden) draw(mail);
}

introduce();
live((told) => {
  if (told.all) {
    mails = new Map(told.all.map((mail) => [mail.id, mail]));
    drawList();
  }
  if (told.mail) take(told.mail);
}, owner);
