// The operator's page: which conversation is open, and what each fact changes.

import { at, h, icon, moment, nameOf, say, time } from "./dom.js";
import { follow, get, keyComesFrom, signIn } from "./api.js";
import { askForKey } from "./key.js";
import * as composer from "./composer.js";
import * as joined from "./joined.js";
import * as live from "./live.js";
import * as side from "./side.js";
import * as thread from "./thread.js";

const TOGETHER = 40; // milliseconds in which facts are collected before the page looks again
const WIDE = matchMedia("(min-width: 45rem)");
let conversations = new Map(); // id → conversation, the last moved first
let following = ""; // cursor of the next page
let searched = "";
let chosen = "";
const news = new Set(); // ids of conversations in which something came that was not looked at

// --- the list ---------------------------------------------------------------------------------------------

async function load({ more = false } = {}) {
  const text = searched;
  const cursor = more && following ? `&cursor=${encodeURIComponent(following)}` : "";
  const page = await get(`/conversations?limit=50&text=${encodeURIComponent(text)}${cursor}`);
  if (text !== searched) return;
  const fresh = page.items.map((one) => [one.id, one]);
  const rest = more ? [] : [...conversations].filter(([id]) => !page.items.some((one) => one.id === id) && page.next && !text);
  conversations = new Map(more ? [...conversations, ...fresh] : [...fresh, ...rest]);
  if (more || !rest.length) following = page.next;
  at("more").hidden = !following;
  draw();
}

function draw() {
  const list = at("conversations");
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.id : "";
  list.replaceChildren(...[...conversations.values()].map(entry));
  if (focused) list.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
  at("no-conversations").hidden = conversations.size > 0;
  at("no-conversations").textContent = searched ? "Nothing is found." : "Nobody has written yet. What customers write appears here.";
}

function entry(one) {
  const warns = one.answer.icon === "warning";
  return h("li", {}, h("button", {
    type: "button",
    class: "entry",
    "data-id": one.id,
    "aria-current": one.id === chosen ? "true" : null,
    onclick: () => choose(one.id, { focus: true }),
  },
  h("span", { class: "entry-head" },
    news.has(one.id) && h("span", { class: "dot", role: "img", "aria-label": "new" }),
    h("b", {}, nameOf(one)),
    one.last_at && time(one.last_at, moment(one.last_at), { class: "quiet" })),
  h("span", { class: "entry-text" }, [one.subject, one.last_text].filter(Boolean).join(" · ") || "no message yet"),
  h("span", { class: "entry-foot quiet" },
    warns && icon("warning", `Cannot be answered: ${one.answer.text}`, 15),
    h("span", {}, one.address.name ? `${one.account} · ${one.address.value}` : one.account))));
}

function moveFocus(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const entries = [...at("conversations").querySelectorAll(".entry")];
  const next = entries[entries.indexOf(document.activeElement) + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
}

// --- the one that is open -----------------------------------------------------------------------------------

async function choose(id, { focus = false } = {}) {
  view("thread");
  if (id !== chosen || !at("title").textContent) {
    chosen = id;
    news.delete(id);
    history.replaceState(null, "", `#c=${id}`);
    side.looksAt(id);
    joined.opens(id);
    draw();
    try {
      const [one] = await Promise.all([get(`/conversations/${id}`), thread.open(id)]);
      if (chosen !== id) return;
      head(one);
      composer.open(one);
    } catch (error) {
      say(error.message);
      return;
    }
  }
  if (focus && WIDE.matches) at("text").focus();
  else if (focus) at("title").focus();
}

function head(one) {
  at("nobody").hidden = true;
  at("talk").hidden = false;
  at("title").textContent = nameOf(one);
  at("about").textContent = [nameOf(one) !== one.address.value && one.address.value, one.account, one.channel !== one.account && one.channel, one.subject || (one.thread && `thread ${one.thread}`), live.sessionWords(one)].filter(Boolean).join(" · ");
  at("trace").href = `trace#of=${one.id}`;
  live.looksAt(one);
  live.drawn(one.id, thread.lastOfTheirs());
}

async function lookAgain() {
  if (!chosen) return;
  const id = chosen;
  const one = await get(`/conversations/${id}`);
  if (chosen !== id) return;
  head(one);
  composer.answer(one);
}

// --- what happens -------------------------------------------------------------------------------------------

let changed = nothing();
let timer = 0;

function nothing() {
  return { list: false, live: false, accounts: false, open: false, messages: new Set() };
}

function happened(fact) {
  side.tell(fact);
  joined.tell(fact);
  const isOpen = fact.conversation !== "" && fact.conversation === chosen;
  if (fact.conversation) changed.list = true;
  if (fact.type.startsWith("session.")) changed.live = true;
  if (fact.type.startsWith("account.")) Object.assign(changed, { accounts: true, list: true, open: true });
  if (["message.received", "reply.queued", "delivery.changed"].includes(fact.type)) changed.accounts = true; // their evidence
  if (isOpen) {
    changed.open = true;
    if (fact.ids.message) changed.messages.add(fact.ids.message);
    if (fact.type === "message.received") live.customer(false);
  }
  if (fact.type === "message.received" && (!isOpen || document.hidden)) news.add(fact.conversation);
  timer ||= setTimeout(look, TOGETHER);
}

async function look() {
  const { list, accounts, open, messages } = changed;
  const sessions = changed.live;
  changed = nothing();
  try {
    await Promise.all([
      (async () => {
        if (messages.size > 0) await thread.refresh([...messages]);
        if (open) await lookAgain();
      })(),
      sessions && live.load(),
      list && load(),
      accounts && side.accounts(),
    ]);
  } catch {
    // the stream says that it was lost, and all is loaded again when it is back
  } finally {
    timer = 0;
    if (changed.list || changed.live || changed.accounts || changed.open || changed.messages.size) timer = setTimeout(look, TOGETHER);
  }
}

/** Take a fresh look at everything; gives the number of the last fact before it. */
async function afresh() {
  const { head: last } = await get("/events");
  await Promise.all([load(), live.load(), side.accounts(), side.recall(last)]);
  if (chosen) await Promise.all([thread.open(chosen), lookAgain()]);
  joined.lookAfresh();
  return last;
}

let wasLost = false;
function connection(state) {
  at("line").textContent = state === "live" ? "live" : "connection lost; trying again";
  at("line").className = state === "live" ? "pill live" : "pill bad";
  if (state === "live" && wasLost) {
    Promise.all([load(), live.load(), side.accounts(), lookAgain()]).catch(() => {});
    joined.lookAfresh();
  }
  wasLost = state !== "live";
}

// --- signing in, views ----------------------------------------------------------------------------------------

/** On narrow screens one of the three columns is seen. */
function view(name) {
  at("main").dataset.view = name;
  for (const button of document.querySelectorAll("[data-shows]")) {
    button.setAttribute("aria-pressed", String(button.dataset.shows === name));
  }
  live.seen();
}

async function begin() {
  keyComesFrom(askForKey);
  for (const button of document.querySelectorAll("[data-shows]")) {
    button.addEventListener("click", () => view(button.dataset.shows));
  }
  at("conversations").addEventListener("keydown", moveFocus);
  at("back").append(icon("back", "", 20));
  at("more").addEventListener("click", () => load({ more: true }));
  at("earlier").addEventListener("click", () => thread.earlier());
  at("search").addEventListener("input", () => {
    searched = at("search").value.trim();
    conversations = new Map();
    load();
  });
  side.start((id) => choose(id, { focus: true }));
  live.start((id) => choose(id, { focus: true }));
  composer.start(lookAgain);
  const asked = new URLSearchParams(location.hash.slice(1)).get("c");
  view("list");
  await signIn();
  joined.load({ open: (id) => choose(id, { focus: true }), looksAt: () => chosen }).catch(() => {}); // the page works without
  await follow(async () => {
    const last = await afresh();
    if (asked) await choose(asked);
    else if (WIDE.matches && conversations.size) await choose([...conversations.keys()][0]);
    return last;
  }, { fact: happened, hint: live.hinted, state: connection, gap: afresh });
}

begin();
