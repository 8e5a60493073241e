// The trace: what became of one thing, moment by moment, and why it stands still.

import { at, dayKey, dayName, exactTime, h, icon, moment, say, time } from "./dom.js";
import { get, keyComesFrom, signIn } from "./api.js";
import { askForKey } from "./key.js";

const WORDS = { // what each kind of a line is
  envelope: "delivery",
  message: "message",
  told: "told",
  attempt: "attempt",
  report: "report",
  part: "part",
  account: "account",
  fact: "fact",
  parked: "parked",
};
let shown = ""; // what is traced
let wanted = 0; // counts what was asked for; an answer to an older question is dropped

const asked = () => new URLSearchParams(location.hash.slice(1)).get("of") || "";

// --- finding ----------------------------------------------------------------------------------------------

async function find(text) {
  const mine = ++wanted;
  const { items } = await get(`/find?text=${encodeURIComponent(text)}`);
  if (mine !== wanted) return;
  if (items.length === 1) return choose(items[0].id);
  at("story").hidden = true;
  at("results").hidden = false;
  at("results-title").textContent = items.length ? `Found ${items.length}` : "Nothing is found";
  at("found").replaceChildren(...items.map((one) => h("li", {},
    h("button", { type: "button", class: "entry", onclick: () => choose(one.id) },
      h("span", { class: "entry-head" }, h("b", {}, one.text || one.id), h("span", { class: "quiet" }, one.kind)),
      one.why.map((reason) => h("span", { class: reason.is_open ? "open" : "quiet" }, reason.text)),
      h("span", { class: "quiet" }, one.id)))));
  if (!items.length) say("Texts are looked for in the newest 10,000 messages, ids and addresses everywhere.");
}

function choose(id) {
  if (asked() === id) return show();
  location.hash = `of=${encodeURIComponent(id)}`; // `hashchange` shows it
}

// --- the story --------------------------------------------------------------------------------------------

async function show() {
  const what = asked();
  if (!what) return;
  const mine = ++wanted;
  const bodies = at("bodies").checked;
  const story = await get(`/trace/${encodeURIComponent(what)}${bodies ? "?bodies=true" : ""}`);
  if (mine !== wanted) return;
  const isNew = what !== shown;
  shown = what;
  at("results").hidden = true;
  at("story").hidden = false;
  at("story-title").textContent = story.title || story.of.text || story.of.id;
  at("story-of").textContent = `${story.of.kind} ${story.of.id}`;
  document.title = `${story.title || story.of.kind} · Trace · Talkwire`;
  at("open").hidden = !story.conversation;
  at("open").href = `./#c=${story.conversation}`;
  at("cut").hidden = !story.cut;
  at("why").replaceChildren(...(story.why.length ? story.why.map(reason) : [h("li", { class: "well" }, icon("check"), h("p", {}, "Nothing is open."))]));
  at("lines").replaceChildren(...days(story.lines));
  if (isNew) at("story-title").focus();
}

function reason(one) {
  const when = [
    one.since && ["since ", time(one.since, moment(one.since)), `, for ${span(Date.now() - Date.parse(one.since))}`],
    one.until && [one.since ? "; again at " : "again at ", time(one.until, moment(one.until))],
  ].filter(Boolean).flat();
  return h("li", { class: one.is_open ? "is-open" : "is-over" }, icon(one.is_open ? "warning" : "failed"),
    h("div", {},
      h("p", {}, h("b", {}, one.text)),
      when.length > 0 && h("p", { class: "quiet" }, when),
      one.hint && h("p", {}, h("code", {}, one.hint))));
}

function days(lines) {
  const made = [];
  let list = null;
  let day = null;
  let before = null;
  for (const line of lines) {
    if (dayKey(line.at) !== day) {
      day = dayKey(line.at);
      list = h("ol", { class: "lines" });
      made.push(h("h3", { class: "day" }, h("span", {}, dayName(line.at))), list);
    }
    list.append(entry(line, before));
    before = line;
  }
  return made;
}

function entry(line, before) {
  const own = line.ids[line.kind === "part" ? "delivery" : line.kind];
  return h("li", { class: `line of-${line.kind}${line.is_bad ? " bad" : ""}` },
    h("span", { class: "when" }, time(line.at, exactTime(line.at)),
      before && h("span", { class: "quiet since" }, `+${span(Date.parse(line.at) - Date.parse(before.at))}`)),
    h("span", { class: "kind" }, WORDS[line.kind] || line.kind),
    h("div", { class: "what" },
      h("p", {}, line.who && h("b", {}, `${line.who} `), line.text),
      line.body && h("pre", { tabindex: "0" }, line.body),
      own && (line.is_bad || line.kind === "message" || line.kind === "envelope") && h("p", { class: "id" }, own)));
}

/** Say how long something took, in few letters. */
function span(milliseconds) {
  if (milliseconds < 1000) return `${Math.max(0, Math.round(milliseconds))} ms`;
  const seconds = milliseconds / 1000;
  for (const [unit, name] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= 2 * unit || (unit === 60 && seconds >= 60)) return `${Math.floor(seconds / unit)} ${name}`;
  }
  return `${seconds < 10 ? seconds.toFixed(1) : Math.floor(seconds)} s`;
}

// --- begin ------------------------------------------------------------------------------------------------

/** Do something, and say what goes wrong. */
function trying(act) {
  return async (event) => {
    event?.preventDefault();
    at("said").textContent = "";
    try {
      await act();
    } catch (error) {
      say(error.message, { lasting: true });
    }
  };
}

async function begin() {
  keyComesFrom(askForKey);
  at("ask").addEventListener("submit", trying(() => find(at("what").value.trim())));
  at("bodies").addEventListener("change", trying(show));
  at("again").addEventListener("click", trying(show));
  addEventListener("hashchange", trying(show));
  await signIn();
  if (asked()) await trying(show)();
  else at("what").focus();
}

begin();
