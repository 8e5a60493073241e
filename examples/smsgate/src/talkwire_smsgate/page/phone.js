// The customer's phone: draws what the simulator streams, sends what is typed. Builds nodes, never markup.
"use strict";

const at = (id) => document.getElementById(id);
const log = at("log"), text = at("text"), number = at("number"), send = document.querySelector("#form button");
const GSM = new Set("@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà\f^{}\\[~]|€");
const ESCAPED = new Set("\f^{}\\[~]|€"); // two septets each
let messages = new Map();

number.value = new URLSearchParams(location.search).get("number") || "+6281234567890";

function bubble(message) {
  const mine = !message.to_phone;
  const node = document.createElement("article");
  node.className = "bubble" + (mine ? " mine" : "") + (message.failed ? " failed" : "");
  node.dataset.id = message.id;
  const said = document.createElement("div");
  said.className = "said";
  said.textContent = message.text;
  const about = document.createElement("div");
  about.className = "quiet";
  const time = new Date(message.at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const size = message.segments === 1 ? "" : `${message.segments} segments`;
  about.textContent = [time, message.coding, size, message.note].filter(Boolean).join(" · ");
  node.append(said, about);
  return node;
}

function show(message) {
  messages.set(message.id, message);
  if (message.number.replace(/^\+/, "") !== number.value.trim().replace(/^\+/, "")) return;
  const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  const old = log.querySelector(`[data-id="${CSS.escape(message.id)}"]`);
  if (old) old.replaceWith(bubble(message));
  else log.append(bubble(message));
  at("empty").hidden = true;
  if (isAtEnd || !message.to_phone) log.scrollTop = log.scrollHeight;
}

function redraw() {
  log.replaceChildren();
  at("empty").hidden = false;
  for (const message of messages.values()) show(message);
}

function measure() {
  const said = text.value;
  const isGsm = [...said].every((c) => GSM.has(c));
  const width = isGsm ? [...said].reduce((sum, c) => sum + (ESCAPED.has(c) ? 2 : 1), 0) : said.length;
  const [alone, joined] = isGsm ? [160, 153] : [70, 67];
  const count = width <= alone ? 1 : Math.ceil(width / joined);
  at("count").textContent = said ? `${width} / ${count === 1 ? alone : count * joined} · ${isGsm ? "GSM-7" : "UCS-2"}${count > 1 ? ` · ${count} segments` : ""}` : "";
  send.disabled = !said.trim();
}

async function post(path, body) {
  const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  if (!answer.ok) at("line").textContent = await answer.text();
  return answer.ok;
}

at("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const said = text.value;
  if (!said.trim()) return;
  text.value = "";
  measure();
  if (!(await post("sim/messages", { from: number.value.trim(), text: said }))) {
    text.value = said; // nothing typed is lost
    measure();
  }
  text.focus();
});
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    at("form").requestSubmit();
  }
});
text.addEventListener("input", measure);
number.addEventListener("input", redraw);

const faults = at("faults");
const setFaults = () => post("sim/faults", { on: [...faults.querySelectorAll("input:checked")].map((box) => box.value) });
faults.addEventListener("change", setFaults);
faults.addEventListener("submit", (event) => event.preventDefault());
faults.addEventListener("reset", (event) => {
  event.preventDefault();
  post("sim/faults", { on: [] });
});

function knobs(all) {
  for (const [name, words] of Object.entries(all)) {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.value = name;
    label.append(box, words);
    at("knobs").append(label);
  }
}

function check(on) {
  for (const box of faults.querySelectorAll("input")) box.checked = on.includes(box.value);
}

async function begin() {
  measure();
  knobs((await (await fetch("sim/faults")).json()).all);
  const stream = new EventSource("sim/stream");
  stream.onopen = () => { at("line").textContent = "SMS, by a simulated Kannel"; };
  stream.onerror = () => { at("line").textContent = "the simulator does not answer; trying again…"; };
  stream.onmessage = (event) => {
    const told = JSON.parse(event.data);
    if (told.all) {
      messages = new Map(told.all.map((message) => [message.id, message]));
      redraw();
    }
    if (told.message) show(told.message);
    if (told.faults) check(told.faults);
  };
}
begin();
