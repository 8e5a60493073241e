// What happens: facts as they are told, and how the accounts do.

import { at, exactTime, h, icon, moment, plain, time } from "./dom.js";
import { get } from "./api.js";

const KEPT = 300; // facts
const SIGNS = { working: "check", starting: "clock", waiting: "clock", paused: "paused", broken: "warning", absent: "warning" };
const WORDS = {
  working: "works",
  starting: "is starting",
  waiting: "waits for its provider",
  paused: "is paused",
  broken: "is broken: somebody must act",
  absent: "is gone: its plugin or its settings are missing",
};
let choose = () => {};
let chosen = "";
let facts = []; // the newest first

/** Begin; `chooses` is called with the conversation of a fact that was pressed. */
export function start(chooses) {
  choose = chooses;
  at("only-this").addEventListener("change", draw);
}

/** Say which conversation is open. */
export function looksAt(conversation) {
  chosen = conversation;
  if (at("only-this").checked) draw();
}

/** Show a fact on top of the others. */
export function tell(fact) {
  facts.unshift(fact);
  facts.length = Math.min(facts.length, KEPT);
  if (!isWanted(fact)) return;
  const list = at("facts");
  list.prepend(line(fact));
  while (list.children.length > KEPT) list.lastElementChild.remove();
  at("no-facts").hidden = true;
}

/** Show the facts that were told before this page was opened. */
export async function recall(head, count = 100) {
  try {
    const page = await get(`/events?after=${Math.max(0, head - count)}&limit=${count}`);
    facts = page.items.filter((fact) => fact.seq <= head).reverse();
  } catch {
    facts = []; // the log does not reach back that far
  }
  draw();
}

const isWanted = (fact) => !at("only-this").checked || fact.conversation === chosen;

function draw() {
  const wanted = facts.filter(isWanted);
  at("facts").replaceChildren(...wanted.map(line));
  at("no-facts").hidden = wanted.length > 0;
}

function line(fact) {
  const { was, state, position, ...rest } = fact.small;
  const values = { ...(state && { state: was ? `${was} → ${state}` : state }), ...(position && { part: position + 1 }), ...rest };
  const small = Object.entries(values).filter(([, value]) => value !== null).map(([key, value]) => h("span", {},
    h("span", { class: "quiet" }, `${plain(key)} `), String(value)));
  const content = [
    h("span", { class: "fact-head" }, h("b", {}, fact.type), time(fact.at, exactTime(fact.at), { class: "quiet" })),
    h("span", { class: "fact-values" }, h("span", { class: "quiet" }, `#${fact.seq}`), fact.account, ...small),
  ];
  const tone = /failed|refused|broken|unread|stopped|parked/.test(fact.type) ? "bad" : "";
  return h("li", { class: tone }, fact.conversation
    ? h("button", { type: "button", class: "fact", onclick: () => choose(fact.conversation) }, content)
    : h("div", { class: "fact" }, content));
}

/** Show how the accounts do. */
export async function accounts() {
  const [{ items }] = await Promise.all([get("/accounts"), media()]);
  at("accounts").replaceChildren(...items.map((account) => h("li", { class: `account ${account.state}` },
    h("p", { class: "account-head" }, icon(SIGNS[account.state] || "uncertain"), h("b", {}, account.name),
      account.channel !== account.name && h("span", { class: "quiet" }, account.channel)),
    h("p", {}, WORDS[account.state] || account.state, account.since ? [" since ", time(account.since)] : "", "."),
    account.reason && h("p", { class: "reason" }, account.reason),
    h("dl", { class: "evidence quiet" },
      row("last message in", account.last_in_at),
      row("last reply out", account.last_out_at),
      account.last_poll_at && row("last asked", account.last_poll_at)))));
  const ill = items.filter((account) => !["working", "starting"].includes(account.state));
  at("health").replaceChildren(
    icon(ill.length ? "warning" : "check"),
    ill.length ? ` ${ill.map((account) => account.name).join(", ")}: ${ill.map((account) => account.state).join(", ")}`
      : ` ${items.length === 1 ? "1 account works" : `${items.length} accounts work`}`);
  at("health").className = ill.length ? "pill bad" : "pill";
}

/** Show how the media do by which people are notified; the admin port says so beside whether it is ready. */
async function media() {
  const said = await fetch("readyz").then((answer) => answer.json()).catch(() => ({}));
  at("media").replaceChildren(...Object.entries(said.media || {}).map(([name, trouble]) =>
    h("li", { class: `account ${trouble ? "waiting" : "working"}` },
      h("p", { class: "account-head" }, icon(trouble ? "warning" : "check"), h("b", {}, name),
        h("span", { class: "quiet" }, "notifications")),
      trouble ? h("p", { class: "reason" }, trouble) : h("p", {}, "works."))));
}

const row = (words, iso) => h("div", {}, h("dt", {}, words), h("dd", {}, iso ? time(iso, moment(iso)) : "never"));
