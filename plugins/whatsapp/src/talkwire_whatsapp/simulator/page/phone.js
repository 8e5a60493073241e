// The customer's phone: draws what the simulator streams, sends what is typed and pressed.
import { at, clock, complain, composer, live, make, post, talk } from "./frame.js";
import { drawn } from "./marks.js";

const NAMESPACE = document.querySelector("svg").namespaceURI;
const who = at("who"), sheet = at("sheet"), typing = at("typing");
let people = [], hours = { ahead: 0, until: {} }, aimed = null, quiet = 0; // aimed: { kind: "reply" | "edit", message }

const person = () => people.find((one) => one.key === who.value);
const act = (kind, more = {}) => post("sim/messages", { from: who.value, kind, ...more }).catch(complain);

function button(words, keep, pressed, className = "") {
  const node = make("button", className, words);
  node.type = "button";
  if (keep) node.dataset.keep = keep;
  node.addEventListener("click", pressed);
  return node;
}

function drawing(tag, viewBox, ...paths) {
  const svg = document.createElementNS(NAMESPACE, tag);
  svg.setAttribute("viewBox", viewBox);
  for (const [d, more] of paths) {
    const path = document.createElementNS(NAMESPACE, "path");
    for (const [name, value] of Object.entries({ d, fill: "none", stroke: "currentColor", "stroke-width": "1.8", "stroke-linecap": "round", "stroke-linejoin": "round", ...more })) path.setAttribute(name, value);
    svg.append(path);
  }
  return svg;
}

function ticks(message) {
  const words = { sent: "sent", delivered: "delivered", read: "read" }[message.state];
  const first = ["M2 8l3.5 3.5L13 4"], second = ["M8.5 10.7l.8.8L17 4"];
  const svg = drawing("svg", "0 0 19 15", ...(message.state === "sent" ? [first] : [first, second]));
  svg.setAttribute("width", "17");
  svg.setAttribute("height", "13");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", words);
  return make("span", message.state === "read" ? "seen" : "", svg);
}

function map(place) {
  const svg = drawing(
    "svg", "0 0 240 100",
    ["M0 0h240v100H0z", { fill: "#dfe8da", stroke: "none" }],
    ["M-5 70C60 40 90 95 150 60s70-30 100-20", { stroke: "#a8cbe6", "stroke-width": "12" }],
    ["M30-5l30 110M120-5l-8 110M190-5l25 110M-5 25l250-12M-5 88l250-8", { stroke: "#fff", "stroke-width": "5" }],
    ["M120 62c-11-14-16-20-16-28a16 16 0 0132 0c0 8-5 14-16 28z", { fill: "#c62828", stroke: "#fff" }],
    ["M120 29a5 5 0 010 10 5 5 0 010-10z", { fill: "#fff", stroke: "none" }],
  );
  svg.setAttribute("class", "map");
  svg.setAttribute("preserveAspectRatio", "xMidYMid slice");
  svg.setAttribute("aria-hidden", "true");
  const words = [place.name, place.address].filter(Boolean).join(", ") || `${place.latitude}, ${place.longitude}`;
  return [svg, make("span", "place", words)];
}

function file(one) {
  const size = one.size > 1e6 ? `${(one.size / 1e6).toFixed(1)} MB` : one.size ? `${Math.max(1, Math.round(one.size / 1000))} kB` : "by link";
  const tag = { image: "img", sticker: "img", audio: "audio", video: "video" }[one.kind];
  if (!one.id || !tag) return make("span", "file", "📄", make("span", "", make("b", "", one.name), `${size} ${one.type.split("/")[1] || ""}`));
  const node = make(tag, tag === "img" ? "picture" : "");
  node.src = `sim/files/${one.id}`;
  if (tag === "img") node.alt = one.name;
  else {
    node.controls = true;
    node.preload = "metadata";
    node.setAttribute("aria-label", one.name);
  }
  return node;
}

const firstLine = (message) => message.text.split("\n")[0] || message.file?.name || message.place?.name || message.kind;

function answered(message) {
  const other = message.answers && talkLog.get(message.answers);
  if (!message.answers || !other) return null;
  return button(`${other.to_phone ? "Kopi Kita" : "You"}: ${firstLine(other)}`, `answers-${message.id}`, () => {
    const node = document.querySelector(`[data-id="${CSS.escape(other.id)}"]`);
    node?.scrollIntoView({ block: "center" });
    node?.querySelector(".more")?.focus();
  }, "answered");
}

function options(message) {
  if (!message.options.length) return null;
  const box = make("div", "options");
  if (message.button) box.append(button(`☰ ${message.button}`, `list-${message.id}`, () => open(message)));
  else {
    for (const one of message.options) {
      const node = button(one.url ? `↗ ${one.title}` : one.title, `option-${one.id || one.title}`, () => (one.url ? window.open(one.url, "_blank", "noopener") : act("choice", { answers: message.id, choice: one.id })));
      box.append(node);
    }
  }
  return box;
}

function open(message) {
  at("sheet-title").textContent = message.button;
  const groups = new Map();
  for (const one of message.options) groups.set(one.section, [...(groups.get(one.section) || []), one]);
  at("rows").replaceChildren(...[...groups].map(([title, rows]) => make("fieldset", "", title ? make("legend", "", title) : null, ...rows.map((one) => {
    const radio = make("input");
    radio.type = "radio";
    radio.name = "row";
    radio.value = one.id;
    radio.required = true;
    return make("label", "", make("span", "", one.title, one.description ? make("small", "", one.description) : null), radio);
  }))));
  sheet.returnValue = "";
  sheet.onclose = () => {
    const chosen = sheet.querySelector("input:checked");
    if (sheet.returnValue === "choose" && chosen) act("choice", { answers: message.id, choice: chosen.value });
  };
  sheet.showModal();
}

at("sheet-off").addEventListener("click", () => sheet.close(""));

// What can be done to a bubble: one menu for all of them, which opens beside the one that was pressed.
const menu = make("div", "menu");
menu.popover = "auto";
document.querySelector(".phone").append(menu);

function offer(message, opener) {
  const say = (words, done) => button(words, "", () => {
    menu.hidePopover();
    done();
  });
  const faces = make("div", "faces", ...["👍", "❤️", "😂", "🙏", ""].map((face) => {
    const node = say(face || "✕", () => act("reaction", { answers: message.id, text: face }));
    node.setAttribute("aria-label", face ? `React with ${face}` : "Take the reaction back");
    return node;
  }));
  const mine = message.to_phone ? [] : [
    ...(message.kind === "text" ? [say("Edit", () => aim("edit", message))] : []),
    ...(message.kind === "image" ? [say("Swap the picture", () => act("edit", { answers: message.id, text: message.text }))] : []),
    say("Delete for everyone", () => act("revoke", { answers: message.id })),
  ];
  menu.replaceChildren(faces, say("Answer", () => aim("reply", message)), ...(message.revoked ? [] : mine), say("As it was on the line", () => {
    at("json").textContent = JSON.stringify(message.source, null, 2);
    at("wire").showModal();
  }));
  menu.showPopover({ source: opener });
  place(menu, opener);
  menu.querySelector("button").focus();
}

function place(node, opener) {
  const it = opener.getBoundingClientRect(), size = node.getBoundingClientRect();
  const top = it.bottom + size.height > innerHeight - 8 ? it.top - size.height - 4 : it.bottom + 4;
  node.style.left = `${Math.min(Math.max(it.left, 8), innerWidth - size.width - 8)}px`;
  node.style.top = `${Math.max(top, 8)}px`;
}

function bubble(message) {
  const mine = !message.to_phone;
  const lost = message.to_phone && !message.reached;
  const more = button("⌄", `more-${message.id}`, () => offer(message, more), "more");
  more.setAttribute("aria-label", `More about “${firstLine(message).slice(0, 40)}”`);
  more.setAttribute("aria-haspopup", "true");
  const meta = make("span", "meta", message.edited ? "edited" : null, clock(message.at), mine ? ticks(message) : null);
  const inside = message.revoked
    ? [make("span", "gone", "This message was deleted")]
    : [
      message.template ? make("span", "tag", `Template ${message.template}`) : null,
      answered(message),
      message.header ? make("span", "head", message.header) : null,
      message.file ? file(message.file) : null,
      ...(message.place ? map(message.place) : []),
      message.text ? drawn(message.text) : null,
      message.footer ? make("span", "foot", message.footer) : null,
    ];
  const faces = Object.values(message.reactions).filter(Boolean).join(" ");
  const trouble = lost ? "never reached this phone" : mine && message.failed ? message.note : "";
  return make(
    "article",
    ["bubble", mine && "mine", message.failed && "failed", lost && "lost", (message.file || message.place) && "withfile"].filter(Boolean).join(" "),
    make("div", "said", ...inside, meta, more),
    faces ? make("span", "chip", faces) : null,
    options(message),
    trouble ? make("div", "quiet", trouble) : null,
  );
}

const talkLog = talk(bubble, (message) => message.number === who.value);

function aim(kind, message) {
  aimed = kind ? { kind, message } : null;
  at("about").hidden = !aimed;
  if (aimed) at("about-text").textContent = `${kind === "edit" ? "Edit" : message.to_phone ? "Kopi Kita" : "You"}: ${firstLine(message)}`;
  if (kind === "edit") at("text").value = message.text;
  look();
  at("text").focus();
}

const look = composer(async (text) => {
  const answers = aimed?.message.id ?? "";
  await post("sim/messages", { from: who.value, kind: aimed?.kind === "edit" ? "edit" : "text", text, answers });
  if (aimed) aim(null);
});
at("about-off").addEventListener("click", () => aim(null));

const attach = at("menu");
attach.addEventListener("toggle", (event) => { if (event.newState === "open") place(attach, at("plus")); });
attach.addEventListener("click", (event) => {
  const kind = event.target.dataset.kind;
  if (!kind) return;
  attach.hidePopover();
  act(kind, { answers: aimed?.message.id ?? "" });
  if (aimed) aim(null);
});

function introduce() {
  const one = person();
  at("number").textContent = one ? (one.shown.startsWith("@") ? `${one.shown}, who shows no number` : one.shown) : "";
  const until = hours.until[who.value], now = Date.now() / 1000 + hours.ahead;
  const ahead = hours.ahead ? `${Math.round(hours.ahead / 3600)} h ahead of yours` : "The same as yours";
  const left = until === undefined ? "Kopi Kita may send templates only: nobody wrote yet." : until > now ? `Kopi Kita may answer for ${howLong(until - now)}.` : "The 24 hours are over: templates only.";
  at("window").textContent = `${ahead}. ${left}`;
}

function howLong(seconds) {
  const minutes = Math.round(seconds / 60);
  return minutes >= 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes} min`;
}

function meet(them) {
  const was = who.value || new URLSearchParams(location.search).get("who") || "";
  people = them;
  who.replaceChildren(...people.map((one) => {
    const option = make("option", "", one.name);
    option.value = one.key;
    return option;
  }));
  who.value = people.some((one) => one.key === was) ? was : people[0].key;
  introduce();
}

who.addEventListener("change", () => {
  aim(null);
  typing.hidden = true;
  introduce();
  talkLog.redraw();
});
for (const node of document.querySelectorAll("[data-hours]")) {
  node.addEventListener("click", () => {
    const by = Number(node.dataset.hours);
    post("sim/clock", { hours: by ? hours.ahead / 3600 + by : 0 }).catch(complain);
  });
}
setInterval(introduce, 30_000);

live((told) => {
  if (told.people) meet(told.people);
  if (told.until) {
    hours = { ahead: told.ahead, until: told.until };
    introduce();
  }
  if (told.webhook) at("webhook").textContent = told.webhook;
  if (told.all) talkLog.all(told.all);
  if (told.message) {
    if (told.message.to_phone && told.message.number === who.value) typing.hidden = true;
    talkLog.show(told.message);
  }
  if (told.typing === who.value && told.typing) {
    typing.hidden = false;
    clearTimeout(quiet);
    quiet = setTimeout(() => { typing.hidden = true; }, told.seconds * 1000);
  }
}, () => "WhatsApp, by a simulated Meta");
