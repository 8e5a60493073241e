// Who is there now: the sessions that live, who waits longest first; and what we do in one beside replying.

import { at, h, moment, plain, say, nameOf, time } from "./dom.js";
import { Problem, get, post } from "./api.js";

const TYPES_ON = 3000; // milliseconds between two words to the customer that we type on
const STOPPED = 5000; // milliseconds without a key after which we no longer type
const FADES = 8000; // milliseconds after which a customer who was said to type is not shown to
let choose = () => {};
let open = null; // the conversation that is looked at
let asked = 0;

export const isLive = (one) => one?.session === "connected" || one?.session === "disconnected";

/** Begin; `chooses` is called with the conversation that was pressed. */
export function start(chooses) {
  choose = chooses;
  at("end").addEventListener("click", () => {
    at("end-who").textContent = nameOf(open);
    at("end-chat").showModal();
  });
  at("end-no").addEventListener("click", () => at("end-chat").close());
  at("end-yes").addEventListener("click", end);
  at("text").addEventListener("input", typed);
  at("reply").addEventListener("submit", stopped);
  document.addEventListener("visibilitychange", seen);
}

// --- the bar ----------------------------------------------------------------------------------------------

/** Look who is there. */
export async function load() {
  const mine = ++asked;
  const page = await get("/conversations?session=live&limit=50");
  if (mine !== asked) return;
  const list = at("live-talks");
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.id : "";
  at("live").hidden = page.items.length === 0;
  at("live-more").hidden = !page.next;
  list.replaceChildren(...page.items.map(entry));
  if (focused) (list.querySelector(`[data-id="${CSS.escape(focused)}"]`) || list.querySelector("button"))?.focus();
}

function entry(one) {
  const isHere = one.session === "connected";
  return h("li", {}, h("button", {
    type: "button",
    class: `talk ${one.session} ${one.handled ? "handled" : "waits"}`,
    "data-id": one.id,
    "aria-current": one.id === open?.id ? "true" : null,
    title: one.address.value,
    onclick: () => choose(one.id),
  },
  h("span", { class: "presence", role: "img", "aria-label": isHere ? "connected" : "away" }),
  h("b", {}, nameOf(one)),
  h("span", { class: "quiet" }, !isHere && "away · ", one.handled ? "answered" : ["waits since ", time(one.session_since, moment(one.session_since))])));
}

// --- the talk that is open --------------------------------------------------------------------------------

/** Say which conversation is looked at, and how it stands. */
export function looksAt(one) {
  if (open?.id !== one.id) stopped();
  if (open?.id !== one.id) customer(false);
  open = one;
  at("typing").hidden = one.session === "ended";
  at("end").hidden = !isLive(one);
  if (!isLive(one) && at("end-chat").open) at("end-chat").close();
  if (one.session === "disconnected" || one.session === "ended") customer(false);
  for (const button of at("live-talks").querySelectorAll("button")) {
    if (button.dataset.id === one.id) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
}

async function end() {
  at("end-chat").close();
  try {
    await post(`/conversations/${open.id}:end`, { reason: "agent" });
  } catch (error) {
    say(error instanceof Problem ? error.message : "The daemon does not answer.");
  }
}

let fading = 0;
/** Show that the customer types, or no longer. */
export function customer(types) {
  clearTimeout(fading);
  at("typing").textContent = types ? `${nameOf(open)} is typing…` : "";
  if (types) fading = setTimeout(() => customer(false), FADES);
}

/** Take a hint of the stream. */
export function hinted({ account, address, on }) {
  if (open?.account === account && open.address.value === address) customer(on && open.session !== "disconnected");
}

// --- what the customer sees of us -------------------------------------------------------------------------

const hint = (id, what, body) => post(`/conversations/${id}/${what}`, body).catch(() => {}); // may be lost
let told = 0; // when we said last that we type
let typing = ""; // the conversation in which we said so
let stopping = 0;

function typed() {
  if (open?.session !== "connected" || !at("text").value.trim()) return stopped();
  clearTimeout(stopping);
  stopping = setTimeout(stopped, STOPPED);
  if (typing === open.id && performance.now() - told < TYPES_ON) return undefined;
  typing = open.id;
  told = performance.now();
  return hint(open.id, "typing", { on: true });
}

function stopped() {
  clearTimeout(stopping);
  if (typing) hint(typing, "typing", { on: false });
  typing = "";
}

const read = new Map(); // id of a conversation → number of the last message that we said we have read
let last = { id: "", n: 0 }; // of the customer's messages that are drawn

/** Say up to where the open talk is drawn; where it lives and is in view, the customer is told. */
export function drawn(id, n) {
  last = { id, n };
  seen();
}

/** Tell the customer what is in view now. */
export function seen() {
  const inView = document.visibilityState === "visible" && at("log").getClientRects().length > 0;
  if (!inView || !isLive(open) || open.id !== last.id || last.n <= (read.get(last.id) || 0)) return;
  read.set(last.id, last.n);
  hint(last.id, "read", { n: last.n });
}

/** Say in words how a session stands. */
export function sessionWords(one) {
  const since = one.session_since ? ` since ${moment(one.session_since)}` : "";
  return { connected: `connected${since}`, disconnected: "away: the connection is down", ended: `session ended${one.session_reason ? ` (${plain(one.session_reason)})` : ""}` }[one.session] || "";
}
