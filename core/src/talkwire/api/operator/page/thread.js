// The messages of one conversation, and what became of each.

import { at, clockTime, dayKey, dayName, exactTime, h, icon, moment, plain, say, time } from "./dom.js";
import { Problem, get, post } from "./api.js";

const PAGE = 100; // messages
const WAITS = { // why a part is still queued
  recipient_offline: "the customer's connection is down",
  restored: "open at the backup that was brought back; perhaps sent since",
  rate_limited: "the provider takes no more for now; tried again by itself",
  provider_down: "the provider cannot be reached; tried again by itself",
  window_closed: "kept until the customer writes again",
  session_ended: "kept until the customer comes back",
  account_broken: "the account has to be repaired first",
  account_paused: "the account is paused",
  paused: "the account is paused",
};

let shown = ""; // id of the conversation
let messages = new Map(); // id → message
let wanted = 0; // counts what was asked for; an answer to an older question is dropped
let isAtEnd = true; // the newest message is in sight, and stays there when the room for messages changes

/** Show a conversation from its end. */
export async function open(id) {
  const asked = ++wanted;
  shown = id;
  messages = new Map();
  const log = at("log");
  log.setAttribute("aria-live", "off"); // what was there before is no news
  log.replaceChildren();
  at("earlier").hidden = true;
  if (!id) return;
  const page = await get(`/conversations/${id}/messages?limit=${PAGE}`);
  if (asked !== wanted) return;
  page.items.forEach(put);
  at("earlier").hidden = page.items.length < PAGE;
  toEnd();
  setTimeout(() => log.setAttribute("aria-live", "polite"), 300);
}

/** Show what is older. */
export async function earlier() {
  const asked = wanted;
  const log = at("log");
  const first = Math.min(...[...messages.values()].map((message) => message.n));
  const page = await get(`/conversations/${shown}/messages?limit=${PAGE}&before_n=${first}`);
  if (asked !== wanted) return;
  const below = log.scrollHeight - log.scrollTop;
  page.items.reverse().forEach(put);
  log.scrollTop = log.scrollHeight - below;
  at("earlier").hidden = page.items.length < PAGE;
}

/** Look again at messages that something happened to. */
export async function refresh(ids) {
  const asked = wanted;
  const fresh = ids.length > 10
    ? (await get(`/conversations/${shown}/messages?limit=${PAGE}`)).items
    : await Promise.all(ids.map((id) => get(`/messages/${id}`)));
  if (asked !== wanted) return;
  const grew = fresh.some((message) => !messages.has(message.id));
  fresh.filter((message) => message.conversation === shown).sort((a, b) => a.n - b.n).forEach(put);
  if (isAtEnd || (grew && fresh.at(-1).direction === "out")) toEnd();
}

function toEnd() {
  const log = at("log");
  log.scrollTop = log.scrollHeight;
  isAtEnd = true;
}

at("log").addEventListener("scroll", ({ target: log }) => { isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80; });
new ResizeObserver(() => isAtEnd && toEnd()).observe(at("log")); // a preview or a warning takes room from it

/** Give the number of the customer's last message that is drawn, 0 before the first. */
export function lastOfTheirs() {
  return Math.max(0, ...[...messages.values()].filter((message) => message.direction === "in").map((message) => message.n));
}

function put(message) {
  const before = messages.get(message.id);
  const log = at("log");
  const old = log.querySelector(`[data-id="${CSS.escape(message.id)}"]`);
  old?.querySelectorAll(".block.file:not(:has(.shown))").forEach((node) => sight.observe(node)); // perhaps it is here now
  if (before && JSON.stringify(before) === JSON.stringify(message)) return;
  messages.set(message.id, message);
  if (before) tellTrouble(before, message);
  if (old && sameBody(before, message)) {
    const focused = old.contains(document.activeElement) ? document.activeElement.dataset.does : "";
    const isOpen = Boolean(old.querySelector("details[open]"));
    old.querySelector(".about").replaceWith(about(message));
    if (isOpen) old.querySelector("details")?.setAttribute("open", "");
    if (focused) (old.querySelector(`[data-does="${focused}"]`) || at("text")).focus();
    old.className = looks(message);
    albums(log);
    return;
  }
  const node = bubble(message);
  if (old) {
    old.replaceWith(node);
    albums(log);
    return;
  }
  const next = [...log.querySelectorAll(".bubble")].find((other) => Number(other.dataset.n) > message.n);
  log.insertBefore(node, next || null);
  days(log);
  albums(log);
}

// A change may itself change: of a place that moves on there is one.
const sameBody = (a, b) => a.text === b.text && JSON.stringify(a.changes) === JSON.stringify(b.changes) && a.blocks.length === b.blocks.length;

/** Draw the pictures of one album as one: what follows each other in a group. */
function albums(log) {
  const all = [...log.querySelectorAll(".bubble")];
  for (const [i, node] of all.entries()) {
    const belongs = (other) => Boolean(node.dataset.group) && other?.dataset.group === node.dataset.group;
    node.classList.toggle("goes-on", belongs(all[i + 1]));
    node.classList.toggle("went-on", belongs(all[i - 1]));
  }
}

/** Put a line before the first message of each day. */
function days(log) {
  let last = null;
  for (const node of [...log.children]) {
    if (node.classList.contains("day")) node.remove();
  }
  for (const node of [...log.children]) {
    const at_ = node.querySelector("time").getAttribute("datetime");
    if (dayKey(at_) !== last) log.insertBefore(h("p", { class: "day" }, h("span", {}, dayName(at_))), node);
    last = dayKey(at_);
  }
}

function tellTrouble(before, message) {
  if (before.state === message.state) return;
  if (message.state === "failed") say(`Reply ${message.n} failed.`);
  if (message.state === "uncertain") say(`It is not known whether reply ${message.n} arrived.`);
}

// --- one message ----------------------------------------------------------------------------------------

function looks(message) {
  const out = message.direction === "out";
  const kind = message.notice ? "a-notice" : out ? "ours" : "theirs";
  return ["bubble", kind, message.state || "", problemOf(message) ? "problem" : ""].filter(Boolean).join(" ");
}

function bubble(message) {
  const versions = versionsOf(message);
  const now = versions.at(-1);
  const revoked = message.changes.some((change) => change.kind === "revoke");
  const said = revoked ? tookBack(message) : now.text;
  const files = revoked ? [] : drawn(message, now.blocks);
  const hasWhole = message.blocks.some((block) => block.type === "original");
  return h("article", { class: looks(message), "data-id": message.id, "data-n": message.n, "data-group": message.group || null },
    h("h3", { class: "hidden" }, titleOf(message)),
    message.subject && h("p", { class: "subject" }, message.subject),
    (said || !files.length) && h("div", { class: revoked ? "said revoked" : "said" }, said),
    files,
    versions.length > 1 && !revoked && asItWas(message, versions.slice(0, -1)),
    hasWhole && whole(message),
    about(message));
}

/** Offer all that came, where the text is only what is new: as text, or in a frame that runs nothing and fetches nothing. */
function whole(message) {
  const show = async (event) => {
    const place = event.currentTarget.closest("p");
    const { blocks } = await get(`/messages/${message.id}`);
    const found = blocks.find((block) => block.type === "original");
    const given = { class: "whole", title: `The whole of message ${message.n}`, tabindex: "0" };
    place.replaceWith(found.html
      ? h("iframe", { ...given, sandbox: true, referrerpolicy: "no-referrer", src: `operator/messages/${message.id}/whole` })
      : h("div", { ...given, role: "region", "aria-label": given.title, title: null }, found.text));
  };
  return h("p", { class: "block" }, h("button", { type: "button", class: "link", onclick: show }, icon("file"), " Show the whole message"));
}

const tookBack = (message) => (message.direction === "in" ? "The customer took this message back." : "This was taken back.");

function titleOf(message) {
  if (message.notice) return `Notice ${message.n}`;
  return message.direction === "out" ? `Reply ${message.n}` : `Message ${message.n} of the customer`;
}

/** Give what stood in a message, first as it came, then after each edit; a caption is the text of an edit. */
function versionsOf(message) {
  const versions = [{ text: message.text, blocks: message.blocks }];
  for (const { text, blocks } of message.changes.filter((change) => change.kind === "edit")) {
    const held = blocks.length ? blocks : versions.at(-1).blocks;
    versions.push({ text, blocks: held.map((block) => (block.caption ? { ...block, caption: "" } : block)), same: !blocks.length });
  }
  return versions;
}

/** Draw blocks. What we say ourselves is in the text too, but for files; what came in is not. */
function drawn(message, blocks) {
  const isOurs = message.direction === "out";
  return blocks.filter((block) => (isOurs ? block.attachment || block.image : !["text", "original"].includes(block.type))).map(block_);
}

/** Offer what stood there before it was edited, the first above; what held the same as the one before says its text only. */
function asItWas(message, before) {
  return h("details", { class: "block" }, h("summary", {}, "Before it was edited"),
    h("ol", {}, before.map(({ text, blocks, same }) => {
      const held = same ? [] : drawn(message, blocks);
      return h("li", { class: "part-text" }, text || (held.length ? "" : "(no text)"), held);
    })));
}

/** Draw a block that is more than text. */
function block_(block) {
  if (block.attachment || block.image) return file(block);
  const draw = { choice, contact, location: place, other }[block.type];
  return draw ? draw(block) : h("p", { class: "block" }, icon("file"), ` ${plain(block.type)}: ${block.name || block.title || block.label || ""}`);
}

const choice = (block) => h("p", { class: "block quiet" }, icon("check"), ` chose “${block.title}”`);

function contact(block) {
  return h("div", { class: "block" }, icon("person"), ` ${block.name}`,
    h("ul", { class: "quiet" }, [...block.phones, ...block.emails].map((way) => h("li", {}, way))));
}

function place(block) {
  const point = `${block.latitude.toFixed(6)}, ${block.longitude.toFixed(6)}`;
  const url = `https://www.openstreetmap.org/?mlat=${block.latitude.toFixed(6)}&mlon=${block.longitude.toFixed(6)}`;
  const name = [block.name, block.address].filter(Boolean).join(", ");
  return h("p", { class: "block" }, icon("place"), " ", name && `${name} · `, h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, point));
}

/** Draw what no other block says: in one line, and as it came. */
function other(block) {
  return h("div", { class: "block" }, icon("file"), ` ${plain(block.kind)}: ${block.text}`,
    block.raw && h("details", {}, h("summary", {}, "As it came"), h("pre", { class: "part-text" }, indented(block.raw))));
}

function indented(raw) {
  try {
    return JSON.stringify(JSON.parse(raw), null, 2);
  } catch {
    return raw;
  }
}

/** Draw a file: a way to it, and what it shows or says as soon as it is seen. */
function file(block) {
  const id = block.attachment || block.image;
  const words = block.caption || block.name || block.title || plain(block.type);
  const fetchIt = async () => {
    const { link } = await get(`/attachments/${id}`);
    return link ? location.assign(ours(link)) : say("The file is still with the provider.");
  };
  const node = h("div", { class: "block file" },
    h("button", { type: "button", class: "link", onclick: fetchIt }, icon("file"), " ", h("span", {}, words)));
  node.show = () => show(node, id, block.caption || "");
  sight.observe(node);
  return node;
}

const SHOWN = { // elements for kinds of files that a browser shows and that run nothing
  "image/png": "img", "image/jpeg": "img", "image/gif": "img", "image/webp": "img",
  "audio/": "audio", "video/mp4": "video", "video/webm": "video",
};
const sight = new IntersectionObserver((seen) => seen.filter((one) => one.isIntersecting).forEach(({ target }) => {
  sight.unobserve(target);
  target.show().catch(() => {}); // the way to the file is there in any case
}), { rootMargin: "200px" });

async function show(node, id, caption) {
  const { link, name, media_type: type } = await get(`/attachments/${id}`);
  const tag = SHOWN[type] || SHOWN[type.replace(/[^/]*$/, "")];
  if (!link || !tag) return;
  const words = caption || name || plain(type);
  if (!caption && name) node.querySelector("button span").textContent = name;
  const shown = h(tag, { src: ours(link), class: "shown", alt: tag === "img" ? words : null, "aria-label": tag === "img" ? null : words, controls: tag !== "img", preload: tag === "img" ? null : "none" });
  shown.addEventListener("error", () => shown.remove()); // it is no such thing after all
  if (tag === "img") shown.addEventListener("load", () => { if (isAtEnd) toEnd(); });
  node.prepend(shown);
}

/** Give a link to a file on this server, by whatever name the daemon is called outside. */
function ours(link) {
  const url = new URL(link, location.href);
  return url.pathname + url.search;
}

function about(message) {
  const byWhom = new Map(message.changes.filter((change) => change.kind === "reaction").map((change) => [change.by, change.text]));
  const reactions = [...byWhom.values()].filter(Boolean); // the last of each; an empty one takes it back
  const edit = message.changes.filter((change) => change.kind === "edit").at(-1); // of a place that moves on: when it was last told
  const words = [
    time(message.at, clockTime(message.at)),
    edit && h("span", {}, "edited ", time(edit.at, clockTime(edit.at))),
    reactions.length > 0 && `reactions: ${reactions.join(" ")}`,
    message.notice && `notice “${message.notice}”`,
    message.automatic && "automatic",
    message.cc.length > 0 && `copies to ${message.cc.join(", ")}`,
    message.author && `by ${message.author}`,
  ].filter(Boolean);
  const line = h("p", { class: "quiet" }, words.flatMap((word, i) => (i ? [" · ", word] : [word])));
  if (message.direction === "in") return h("div", { class: "about" }, line);
  const asks = ["queued", "failed", "uncertain"].includes(message.state) || problemOf(message);
  const why = asks && h("p", { class: "quiet" }, h("a", { href: `trace#of=${message.id}` }, "Why?"));
  return h("div", { class: "about" }, line, state(message), why, losses(message), parts(message));
}

// --- what became of it ------------------------------------------------------------------------------------

/** Give the parts that count: of each position and recipient the latest generation. */
function latest(message) {
  const found = new Map();
  for (const part of message.deliveries) {
    const key = `${part.position} ${part.recipient}`;
    if (!found.has(key) || found.get(key).generation < part.generation) found.set(key, part);
  }
  return [...found.values()];
}

const problemOf = (message) => latest(message).find((part) => part.problem)?.problem;
const wordsOf = (problem) => problem.text || plain(problem.code) || "no reason was given";

function state(message) {
  const problem = problemOf(message);
  const again = (words) => button(words, "again", () => post(`/messages/${message.id}:resend`));
  const parts_ = latest(message);
  const attempts = Math.max(0, ...parts_.map((part) => part.attempts));
  const tries = attempts === 1 ? "1 attempt" : `${attempts} attempts`;
  switch (message.state) {
    case "queued": {
      const why = message.reason && (WAITS[message.reason] || plain(message.reason));
      return status("clock", why ? "pending:" : "pending", why, `${tries}${message.reason ? ` · ${message.reason}` : ""}`,
        button("Take back", "cancel", () => post(`/messages/${message.id}:cancel`)));
    }
    case "accepted":
      return status("check", "sent", "", "accepted: the provider took it, and has not said more");
    case "sent":
      return status("check", "sent", "", "sent: the provider passed it on");
    case "delivered":
    case "read":
      return problem
        ? status("warning", `${message.state}, then returned:`, wordsOf(problem), moment(problem.at), again("Send again"))
        : status("checks", message.state, "", since(parts_));
    case "failed":
      return status("failed", "failed:", problem ? wordsOf(problem) : "no reason was given", problem ? `${problem.code} · ${moment(problem.at)}` : "",
        again("Send again"));
    case "uncertain":
      return status("uncertain", "not known whether it arrived", problem ? wordsOf(problem) : "", tries,
        ...parts_.filter((part) => part.state === "uncertain").flatMap((part) => uncertain(part, parts_.length)));
    default:
      return h("p", { class: "state" });
  }
}

const since = (parts_) => `since ${exactTime(parts_.map((part) => part.state_at).sort().at(-1))}`;

function status(name, word, more, title, ...buttons) {
  return h("div", { class: `state ${name}` },
    h("p", { title: title || null }, icon(name), " ", h("b", {}, word), more ? ` ${word.endsWith(":") ? "" : "· "}${more}` : ""),
    buttons.length > 0 && h("p", { class: "does" }, buttons));
}

function uncertain(part, count) {
  const which = count > 1 ? `Part ${part.position + 1}: ` : "";
  const settle = (verdict) => () => post(`/deliveries/${part.id}:settle`, { verdict });
  return [
    button(`${which}Send again (the customer may get it twice)`, `again-${part.id}`, settle("again")),
    button(`${which}It arrived`, `arrived-${part.id}`, settle("sent")),
  ];
}

function button(words, does, act) {
  const press = async (event) => {
    const pressed = event.currentTarget;
    pressed.disabled = true;
    try {
      await act();
    } catch (error) {
      say(error instanceof Problem ? error.message : "The daemon does not answer.");
      pressed.disabled = false;
    }
  };
  return h("button", { type: "button", class: "small", "data-does": does, onclick: press }, words);
}

function losses(message) {
  return message.degradations.length > 0 && lossList(message.degradations);
}

/** List what goes out in another form, or not at all. */
export function lossList(degradations) {
  return h("ul", { class: "losses", "aria-label": "Said less well" },
    degradations.map((loss) => h("li", { class: loss.lost ? "lost" : "" },
      icon("warning", loss.lost ? "lost" : "changed"), h("span", {}, loss.text, " ", h("code", {}, loss.what)))));
}

function parts(message) {
  if (message.deliveries.length < 2) return null;
  const words = latest(message).length > 1 ? `${latest(message).length} parts` : `${message.deliveries.length} attempts by hand`;
  return h("details", { class: "parts" }, h("summary", {}, words),
    h("ol", {}, message.deliveries.map((part) => h("li", {},
      h("span", { class: "part-text" }, part.text || "(no text)"),
      h("span", { class: "quiet" }, [`part ${part.position + 1}`, part.generation > 0 && `sent again ${part.generation}×`, part.state,
        part.problem && wordsOf(part.problem), exactTime(part.state_at)].filter(Boolean).join(" · "))))));
}
