// The reply: what is typed, what would go out, whether it may and until when, and the ways out where it may not.

import { at, h, icon, moment, say } from "./dom.js";
import { Problem, now, post } from "./api.js";
import { lossList } from "./thread.js";

const PREVIEW_AFTER = 250; // milliseconds without a key
const SOON = 3_600_000; // milliseconds before its end in which a window is counted down
const LONGEST = 86_400_000; // milliseconds that a browser waits without losing count
const box = at("text");
let conversation = null;
let asked = null; // aborts the preview that is under way
let timer = 0;
let ticking = 0;
let refreshed = () => {};

// --- drafts: kept in this browser until they are sent -----------------------------------------------------

const place = (id) => `talkwire.draft.${id}`;

function draftOf(id) {
  try {
    return JSON.parse(localStorage.getItem(place(id))) || { text: "" };
  } catch {
    return { text: "" };
  }
}

function keep(id, draft) {
  if (draft.text) localStorage.setItem(place(id), JSON.stringify(draft));
  else localStorage.removeItem(place(id));
}

/** Give the draft's key: the same for the same text by the same way, so that pressing twice sends once. */
function keyOf(id, text, way) {
  const draft = draftOf(id);
  if (draft.text === text && draft.way === way && draft.key) return draft.key;
  const key = crypto.randomUUID();
  keep(id, { text, way, key });
  return key;
}

// --- showing ----------------------------------------------------------------------------------------------

/** Begin: `again` looks at the conversation anew. */
export function start(again) {
  refreshed = again;
  box.addEventListener("input", typed);
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    at("reply").requestSubmit();
  });
  at("reply").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
}

/** Show the reply box of a conversation, with the draft that was left in it. */
export function open(chosen) {
  conversation = chosen;
  at("reply").hidden = !chosen;
  at("refused").textContent = "";
  clearTimeout(ticking);
  if (!chosen) return;
  box.value = draftOf(chosen.id).text;
  answer(chosen);
  measure();
  preview();
}

/** Show whether the conversation may be answered; called again with each change. */
export function answer(fresh) {
  const before = conversation?.answer;
  conversation = fresh;
  const { allowed, icon: sign, text, since, until, ways } = fresh.answer;
  const warning = at("warning");
  const words = sign === "warning" ? `Warning: this conversation cannot be answered now. ${text}` : "";
  if (warning.dataset.words !== words) {
    warning.dataset.words = words;
    warning.replaceChildren(...(words ? [icon("warning", words, 26)] : []));
  }
  at("reply").classList.toggle("closed", !allowed);
  const notice = at("notice");
  notice.hidden = allowed;
  const said = JSON.stringify(fresh.answer);
  if (notice.dataset.said !== said) {
    notice.dataset.said = said;
    notice.replaceChildren(...(allowed ? [] : [
      h("p", {}, h("b", {}, text), since ? ` Since ${moment(since)}.` : ""),
      ways.length > 0 && h("ul", { class: "ways", "aria-label": "Ways out" }, ways.map((way) => h("li", {}, wayOut(way, ways)))),
    ].filter(Boolean)));
  }
  at("until").textContent = allowed && until ? `Answer until ${moment(until)}.` : "";
  countDown();
  if (before && before.allowed !== allowed) say(allowed ? "This conversation can be answered again." : words);
  if (before && !before.allowed && allowed) at("refused").textContent = "";
}

/** Count down what is left of a window that closes soon, left of the button that sends; `passed`: time did, nobody looked. */
function countDown(passed = false) {
  clearTimeout(ticking);
  const { allowed, until } = conversation.answer;
  const left = allowed && until ? Date.parse(until) - now() : Infinity; // milliseconds
  const isSoon = left <= SOON;
  const closing = at("closing");
  if (isSoon && closing.hidden) {
    closing.prepend(icon("clock", "This window closes soon", 20));
    if (passed) say(`The time to answer ends at ${moment(until)}.`);
  }
  if (!isSoon) closing.querySelector(".icon")?.remove();
  closing.hidden = !isSoon;
  at("left").textContent = isSoon ? span(Math.max(0, left)) : "";
  if (left > 0 && left < Infinity) ticking = setTimeout(() => countDown(true), isSoon ? left % 1000 || 1000 : Math.min(left - SOON, LONGEST));
}

/** Say how long it is: minutes and seconds. */
function span(milliseconds) {
  const seconds = Math.ceil(milliseconds / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

function wayOut(way, ways) {
  // The first address of an account is the one that a talk goes on at, with its end; any other begins a talk of its own.
  const goesOn = ways.find((one) => one.kind === "account" && one.account === way.account) === way;
  const act = {
    hold: () => send({ policy: "hold" }),
    template: way.template && (() => send({ policy: "template", template: way.template })),
    account: () => send({ policy: goesOn ? "fallback" : null, account: way.account, to: { kind: way.address_kind, value: way.address } }),
  }[way.kind];
  return act ? h("button", { type: "button", class: "small", onclick: act }, way.text) : way.text;
}

function measure() {
  at("send").disabled = !box.value.trim();
}

function typed() {
  keep(conversation.id, { text: box.value });
  measure();
  clearTimeout(timer);
  timer = setTimeout(preview, PREVIEW_AFTER);
}

// --- what would go out --------------------------------------------------------------------------------------

async function preview() {
  asked?.abort();
  const text = box.value;
  const { id } = conversation;
  if (!text.trim()) return drawPreview(null);
  asked = new AbortController();
  try {
    const said = await post(`/conversations/${id}/replies:preview`, { text }, { signal: asked.signal });
    if (conversation?.id === id && box.value === text) drawPreview(said);
  } catch (error) {
    if (error instanceof Problem && conversation?.id === id) drawPreview(null, error.message);
  }
  return undefined;
}

function drawPreview(said, refused = "") {
  at("preview").hidden = !said && !refused;
  if (refused) {
    at("preview-line").textContent = `Preview: it would be refused. ${refused}`;
    at("preview-parts").replaceChildren();
    at("preview-losses").replaceChildren();
    return;
  }
  if (!said) return;
  const parts = said.parts.length === 1 ? "1 part" : `${said.parts.length} parts`;
  const lost = said.degradations.filter((loss) => loss.lost).length;
  const changed = said.degradations.length - lost;
  const losses = [changed && `${changed} in another form`, lost && `${lost} lost`].filter(Boolean).join(", ");
  at("preview-line").textContent = `Preview: the customer gets ${parts}${losses ? `, ${losses}` : ", nothing lost"}`;
  at("preview-losses").replaceChildren(...(said.degradations.length ? [lossList(said.degradations)] : []));
  at("preview-parts").replaceChildren(
    h("ol", {}, said.parts.map((part) => h("li", {}, h("span", { class: "part-text" }, part.plain || part.text || "(a file)"),
      part.options.length > 0 && h("span", { class: "quiet" }, part.options.map((option) => `[${option.title}]`).join(" "))))));
}

// --- sending --------------------------------------------------------------------------------------------------

async function send({ policy = null, account = "", to = null, template = "" } = {}) {
  const { id } = conversation;
  const text = box.value;
  if (!text.trim()) {
    box.focus();
    return say("Write the reply first.");
  }
  const way = [policy, account, to?.value, template].filter(Boolean).join(" ");
  const headers = { "Idempotency-Key": keyOf(id, text, way) };
  at("send").disabled = true;
  at("refused").textContent = "";
  try {
    let said;
    if (account && !policy) {
      said = await post(`/accounts/${account}/replies`, { text, to: { ...to, name: conversation.address.name } }, { headers });
    } else {
      said = await post(`/conversations/${id}/replies`, { text, ...(policy && { policy }), ...(account && { fallback: account }), ...(template && { template }) }, { headers });
    }
    sent(id, text);
    if (account) say(`Written from ${account} to ${to.value}.`);
    else if (said.policy === "fallback") say(`The talk goes on from ${said.account}.`);
    if (said.policy === "hold") say("Kept until the customer writes again.");
    if (said.policy === "template") say("The template goes out; the reply is kept until the customer writes again.");
  } catch (error) {
    refuse(error, id);
  } finally {
    measure();
  }
  return undefined;
}

function sent(id, text) {
  if (draftOf(id).text === text) keep(id, { text: "" });
  if (conversation?.id !== id || box.value !== text) return; // somebody typed on meanwhile
  box.value = "";
  drawPreview(null);
  box.focus();
}

/** Say why it was not sent; what is typed stays. */
function refuse(error, id) {
  const isHere = conversation?.id === id;
  const why = error instanceof Problem ? error.message : "The daemon does not answer.";
  if (isHere && error.said?.answer) answer({ ...conversation, answer: error.said.answer });
  if (isHere) at("refused").textContent = `Not sent; your draft is kept. ${why}`;
  if (error.said?.answer) refreshed();
}
