// Notifications inside the page: they need no permission. A toast vanishes, an alert waits for an answer.

import { h, icon, span } from "./nodes.js";

const TOGETHER = 40; // milliseconds in which facts are collected before the page looks again
const TOAST = 8000; // milliseconds that a toast is seen
const TOLD = 6000; // milliseconds that it is said who answered elsewhere
const AT_ONCE = 3; // toasts
const MOST = 100; // notifications that are looked at
const PLACES = { page: "on another page", browser: "in a browser's notification", email: "by e-mail", api: "by a program", desktop: "on a desktop" };

let page = null;
let me = "";
let open = new Map(); // id → notification, the newest first
const cards = new Map(); // id → card
const gone = new Set(); // ids that this page shows no more, though they are open
const aside = new Set(); // ids of alerts that somebody put aside on this page
const answering = new Set(); // ids that are answered from here at the moment
let changed = () => {};

const alerts = h("div", { class: "tw-alerts", role: "alert", "aria-atomic": "false", "aria-relevant": "additions" });
const toasts = h("div", { class: "tw-toasts", role: "status", "aria-atomic": "false", "aria-relevant": "additions" });
const more = h("div", { class: "tw-more" });

/** Begin for a recipient; `tells` is called with the number of alerts that wait. */
export async function start(of, recipient, tells) {
  page = of;
  me = recipient;
  changed = tells;
  document.body.append(h("section", { class: "tw-notes", "aria-label": "Notifications" }, alerts, toasts, more));
  document.addEventListener("keydown", escape);
  document.addEventListener("visibilitychange", () => { for (const card of cards.values()) card.breathe(); });
  page.onFact(happened);
  page.onFreshLook(soon);
  page.onOpen((conversation) => [...open.values()].filter((one) => one.conversation === conversation && !waits(one)).forEach(read));
  await load();
}

// --- what happens ---------------------------------------------------------------------------------------------

let timer = 0;
let asked = 0;
function soon() {
  timer ||= setTimeout(() => {
    timer = 0;
    load().catch(() => {}); // the page says that the connection is lost, and looks afresh when it is back
  }, TOGETHER);
}

function happened({ type, ids, small }) {
  const id = ids.notification;
  if (!id || !type.startsWith("notification.")) return;
  if (type === "notification.created" && small.recipient === me) soon();
  if (!open.has(id)) return;
  if (type === "notification.answered" && !answering.has(id)) answered(id, small);
  if (["notification.answered", "notification.withdrawn", "notification.lapsed", "notification.seen"].includes(type)) soon();
}

async function load() {
  const mine = ++asked;
  const { items } = await page.ask("GET", `/notifications?limit=${MOST}`);
  if (mine !== asked) return;
  open = new Map(items.map((one) => [one.id, one]));
  draw();
}

// --- drawing ----------------------------------------------------------------------------------------------------

function draw() {
  // Of a conversation that somebody looks at, nothing has to be told.
  const here = document.hasFocus() ? page.looksAt() : "";
  for (const one of [...open.values()]) if (here && one.conversation === here && !waits(one) && !gone.has(one.id)) markRead(one);
  const wanted = [...open.values()].filter((one) => !gone.has(one.id) && !aside.has(one.id) && (waits(one) || !one.seen));
  const asks = wanted.filter(isAlert);
  const tells = wanted.filter((one) => !isAlert(one));
  const seen = new Set([...asks, ...tells.slice(0, AT_ONCE)].map(({ id }) => id));
  for (const [id, card] of cards) if (!seen.has(id) && !card.isTold) drop(id);
  put(alerts, asks);
  put(toasts, tells.slice(0, AT_ONCE));
  const rest = tells.slice(AT_ONCE);
  const hidden = [...open.values()].filter(({ id }) => aside.has(id));
  more.replaceChildren(...[
    rest.length && h("button", { type: "button", onclick: () => [...tells].forEach(read) }, `${rest.length} more — dismiss all`),
    hidden.length && h("button", { type: "button", onclick: () => { aside.clear(); draw(); } }, `${hidden.length} put aside — show`),
  ].filter(Boolean));
  changed([...open.values()].filter(waits).length);
}

const isAlert = (one) => one.style === "alert";
const waits = (one) => isAlert(one) && one.actions.length > 0; // for an answer: reading it is not enough

/** Put cards in their place, the newest on top; those that stay are not touched: they are not announced again. */
function put(list, wanted) {
  for (const one of [...wanted].reverse()) {
    if (cards.has(one.id)) continue;
    const card = isAlert(one) ? alertCard(one) : toastCard(one);
    cards.set(one.id, card);
    list.prepend(card.node);
    card.breathe();
  }
}

function drop(id) {
  const card = cards.get(id);
  if (!card) return;
  card.stop();
  card.node.remove();
  cards.delete(id);
}

function frame(one, left, shut, buttons) {
  const id = `tw-note-${one.id}`;
  const go = () => show(one);
  return h("article", { class: `tw-note ${one.style}`, "data-id": one.id, "aria-labelledby": id },
    h("header", {},
      icon(isAlert(one) ? "alert" : "info"),
      h("h3", { id }, one.conversation ? h("button", { type: "button", class: "tw-go", onclick: go }, one.title) : one.title),
      left,
      h("button", { type: "button", class: "tw-shut", "aria-label": waits(one) ? "Put aside" : "Dismiss", onclick: shut }, icon("close", 16))),
    one.text && h("p", { class: "tw-text" }, one.text),
    one.details.length > 0 && h("dl", {}, one.details.map(({ label, value }) => h("div", {}, h("dt", {}, label), h("dd", {}, value)))),
    h("p", { class: "tw-said bad-text" }),
    buttons.length > 0 && h("div", { class: "tw-row" }, buttons));
}

/** A toast: information only. Its time stops while somebody points at it, has the focus in it, or looks elsewhere. */
function toastCard(one) {
  let left = TOAST;
  let since = 0;
  let ends = 0;
  const node = frame(one, null, () => read(one), buttonsOf(one));
  const held = () => document.hidden || node.matches(":hover, :focus-within");
  const stop = () => {
    if (ends) left -= performance.now() - since;
    clearTimeout(ends);
    ends = 0;
  };
  const breathe = () => {
    stop();
    if (held()) return;
    since = performance.now();
    ends = setTimeout(() => read(one), Math.max(0, left));
  };
  for (const kind of ["pointerenter", "pointerleave", "focusin"]) node.addEventListener(kind, breathe);
  node.addEventListener("focusout", () => setTimeout(breathe)); // the focus is nowhere until the event is over
  return { node, stop, breathe };
}

/** An alert: it stays until it is answered, here or elsewhere, or its time is up; that shows only where it may. */
function alertCard(one) {
  const ends = one.lapses_at ? Date.parse(one.lapses_at) : 0;
  const whole = ends ? ends - Date.parse(one.at) : 0;
  const left = ends ? h("span", { class: "tw-left", role: "timer", "aria-live": "off", "aria-label": "Time left" }) : null;
  const shut = () => {
    if (!waits(one)) return read(one);
    aside.add(one.id);
    return draw();
  };
  const node = frame(one, left, shut, buttonsOf(one));
  let ticking = 0;
  const tick = () => {
    clearTimeout(ticking);
    if (!ends) return;
    const rest = ends - page.now(); // milliseconds
    left.textContent = span(rest);
    node.style.setProperty("--left", String(Math.max(0, Math.min(1, rest / whole))));
    node.classList.toggle("soon", rest <= 15_000);
    if (rest > 0) ticking = setTimeout(tick, rest % 1000 || 1000);
    else for (const button of node.querySelectorAll(".tw-row button")) button.disabled = true; // the daemon says that it lapsed
  };
  if (ends) node.classList.add("counts");
  return { node, stop: () => clearTimeout(ticking), breathe: tick };
}

function buttonsOf(one) {
  return one.actions.map((action, n) => h("button", { type: "button", class: n ? "" : "main", onclick: () => (one.opens?.includes(action.id) ? show(one) : answer(one, action)) }, action.title));
}

// --- what a person does -----------------------------------------------------------------------------------------

/** Bring what it is about to the front. */
function show(one) {
  if (one.conversation) page.open(one.conversation);
  if (!waits(one)) read(one);
}

/** It was read: it shows no more, on no surface. */
function read(one) {
  markRead(one);
  drop(one.id);
  draw();
}

function markRead(one) {
  if (gone.has(one.id)) return;
  gone.add(one.id);
  page.ask("POST", `/notifications/${one.id}:seen`).catch(() => {}); // it stays gone on this page
}

async function answer(one, action) {
  const card = cards.get(one.id);
  const buttons = card.node.querySelectorAll(".tw-row button");
  for (const button of buttons) button.disabled = true;
  answering.add(one.id);
  try {
    await page.ask("POST", `/notifications/${one.id}:answer`, { action: action.id, surface: "page" });
    gone.add(one.id);
    drop(one.id);
    draw();
    page.say(`${one.title}: ${action.title}.`);
    if (one.conversation && action.id === "accept") page.open(one.conversation);
  } catch (error) {
    if ([404, 409].includes(error.status)) return lost(one.id, error.message);
    card.node.querySelector(".tw-said").textContent = error.status ? error.message : "The daemon does not answer. Try again.";
    for (const button of buttons) button.disabled = false;
  } finally {
    answering.delete(one.id);
  }
  return undefined;
}

/** Somebody was faster: say who, then let it go. */
export function lost(id, words) {
  const card = cards.get(id);
  gone.add(id);
  if (!card) return page.say(words);
  if (card.isTold) return undefined;
  card.stop();
  card.isTold = true;
  card.node.classList.add("over");
  card.node.querySelector(".tw-row")?.remove();
  card.node.querySelector(".tw-left")?.remove();
  card.node.querySelector(".tw-said").replaceWith(h("p", { class: "tw-said" }, words));
  setTimeout(() => drop(id), TOLD);
  return undefined;
}

function answered(id, { answer: chosen, surface }) {
  const one = open.get(id);
  const words = one.actions.find((action) => action.id === chosen)?.title || chosen;
  const place = PLACES[surface] || `on ${surface.replace(/^native:/, "")}`;
  lost(id, `Answered ${place}: ${words}.`);
}

/** Esc dismisses the toast that came last, unless it means something else there. */
function escape(event) {
  if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open]")) return;
  const [first] = toasts.querySelectorAll("[data-id]");
  const one = first && open.get(first.dataset.id);
  if (one) read(one);
}

/** Show one that was clicked on the desktop, also where it was put aside. */
export function reveal(id) {
  aside.delete(id);
  draw();
  cards.get(id)?.node.scrollIntoView({ block: "nearest" });
  cards.get(id)?.node.querySelector(".tw-row button, .tw-go")?.focus();
}

/** It was answered by this browser's own notification. */
export function won(id) {
  gone.add(id);
  drop(id);
  draw();
}
