// The dialog behind the bell: this device, by what somebody is told, and all their devices.

import { h, icon } from "./nodes.js";
import * as device from "./device.js";

const DEVICES = new URL("devices", import.meta.url);
const NAMES = { desktop: "On the desktop", email: "By e-mail" };
const LANGUAGES = [["en", "English"], ["id", "Bahasa Indonesia"]];
const AS_SET = "";
const NONE = "none";
const OWN = "own";
const WHY = { // why a device shows nothing
  not_connected: "not connected",
  permission: "may not show notifications",
  unsupported: "cannot show notifications",
  no_session_bus: "no desktop session",
  no_daemon: "nothing on that desktop shows notifications",
};

let page = null;
let lent = null;
let box = null;
const here = h("section", { class: "tw-part", "aria-label": "This device" });
const wants = h("section", { class: "tw-part", "aria-label": "What tells you" });
const list = h("section", { class: "tw-part", "aria-label": "Your devices" });
const said = h("p", { class: "tw-saved quiet", role: "status" });

/** Begin: `line` says how the socket stands, `switchOn` asks for the permission. */
export function start(of, { line, switchOn }) {
  page = of;
  lent = { line, switchOn };
  box = h("dialog", { class: "tw-dialog", "aria-labelledby": "tw-dialog-title" },
    h("header", {},
      h("h2", { id: "tw-dialog-title" }, "Notifications"),
      said,
      h("button", { type: "button", class: "tw-shut", "aria-label": "Close", onclick: () => box.close() }, icon("close"))),
    here, wants, list);
  document.body.append(box);
}

export async function open() {
  said.textContent = "";
  draw();
  box.showModal();
  await Promise.all([preferences(), devices()]);
}

// --- this device ----------------------------------------------------------------------------------------------

/** Show how this device stands. */
export function draw() {
  const { able, code, words } = device.status();
  const { line, switchOn } = lent;
  const works = able && line.recipient;
  here.replaceChildren(
    h("h3", {}, "This device"),
    h("p", { class: `tw-state ${works ? "good" : ""}` }, icon(works ? "bell" : "bell-off"), works ? "Notifications are on." : "Notifications are off. What is for you appears in this page."),
    ...(words ? [h("p", { class: "quiet" }, words)] : []),
    ...(line.refused ? [h("p", { class: "bad-text" }, line.refused)] : []),
    ...(line.recipient ? [h("div", { class: "tw-row" },
      ["permission", "off"].includes(code) && h("button", { type: "button", class: "main", onclick: switchOn }, "Switch on"),
      h("button", { type: "button", onclick: test }, "Send me a test"),
      able && h("button", { type: "button", onclick: () => device.switchOff().catch(() => {}) }, "Switch off here"))] : []));
}

async function test() {
  try {
    await page.ask("POST", "/notifications:test", {});
    say("Sent.");
  } catch (error) {
    say(error.message);
  }
}

function say(words) {
  said.textContent = words;
}

// --- what tells you -----------------------------------------------------------------------------------------------

let wanted = null; // as the page shows it; the daemon may be one request behind
let media = [];
let asking = null;

async function preferences() {
  const before = wanted;
  try {
    const [mine, { items }] = await Promise.all([page.ask("GET", "/preferences"), page.ask("GET", "/media")]);
    if (asking || wanted !== before) return; // somebody chose meanwhile
    [wanted, media] = [mine, items];
    drawPreferences();
  } catch (error) {
    wants.replaceChildren(h("h3", {}, "What tells you"), h("p", { class: "quiet" }, error.message));
  }
}

/** Ask the daemon for this too: one request at a time, each with all that is wanted by then. */
async function change(what) {
  wanted = { ...wanted, ...what };
  if (asking) return;
  try {
    while (asking !== wanted) {
      asking = wanted;
      const { off, quiet, time_zone, language } = asking; // all of it is said: what is left out would be as the settings say
      await page.ask("PUT", "/preferences", { off, quiet, time_zone, language });
    }
    asking = null;
    say("Saved.");
  } catch (error) {
    asking = null;
    say(error.message);
    await preferences();
  }
}

function drawPreferences() {
  const { off, quiet, time_zone: zone, language } = wanted;
  const [from, until] = (quiet || "22:00-07:00").split("-");
  const hours = () => start_.value && end.value && change({ quiet: `${start_.value}-${end.value}` });
  const start_ = h("input", { type: "time", value: from, "aria-label": "Quiet from", required: true, onchange: hours });
  const end = h("input", { type: "time", value: until, "aria-label": "Quiet until", required: true, onchange: hours });
  const has = quiet === null ? AS_SET : quiet ? OWN : NONE;
  const focused = wants.contains(document.activeElement) ? document.activeElement.id : "";
  wants.replaceChildren(
    h("h3", {}, "What tells you"),
    h("ul", { class: "tw-media" }, media.map(({ name, trouble }) => h("li", {},
      h("label", {},
        h("input", {
          id: `tw-medium-${name}`,
          type: "checkbox",
          checked: !off.includes(name),
          onchange: ({ target }) => change({ off: [...wanted.off.filter((one) => one !== name), ...(target.checked ? [] : [name])] }),
        }),
        NAMES[name] || name),
      trouble && h("p", { class: "quiet" }, trouble)))),
    h("div", { class: "tw-field" },
      h("label", { for: "tw-quiet" }, "Quiet hours"),
      choice("tw-quiet", [[AS_SET, "As your operator set them"], [NONE, "None"], [OWN, "From … until …"]], has,
        (value) => {
          change({ quiet: { [AS_SET]: null, [NONE]: "", [OWN]: `${from}-${until}` }[value] });
          drawPreferences();
        }),
      has === OWN && h("span", { class: "tw-hours" }, start_, "until", end)),
    h("p", { class: "quiet" }, "What must be answered comes through; the rest waits or is left out."),
    has === OWN && h("div", { class: "tw-field" },
      h("label", { for: "tw-zone" }, "Time zone"),
      choice("tw-zone", [[AS_SET, "As your operator set it"], ...zones(zone)], zone || AS_SET,
        (value) => change({ time_zone: value || null }))),
    h("div", { class: "tw-field" },
      h("label", { for: "tw-language" }, "Language of mails"),
      choice("tw-language", [[AS_SET, "As your operator set it"], ...LANGUAGES], language || AS_SET,
        (value) => change({ language: value || null }))));
  if (focused) document.getElementById(focused)?.focus();
}

function choice(id, options, chosen, onchange) {
  const select = h("select", { id, onchange: () => onchange(select.value) },
    options.map(([value, words]) => h("option", { value, selected: value === chosen }, words)));
  return select;
}

/** Give this machine's zone first: most people mean it. */
function zones(own) {
  const here_ = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const all = Intl.supportedValuesOf?.("timeZone") || [];
  return [...new Set([own, here_, ...all].filter(Boolean))].map((zone) => [zone, zone.replaceAll("_", " ")]);
}

// --- devices --------------------------------------------------------------------------------------------------------

async function devices() {
  let found = [];
  try {
    const answer = await fetch(DEVICES);
    if (answer.ok) ({ devices: found } = await answer.json());
  } catch {
    // the daemon is away; the page says so
  }
  list.hidden = found.length === 0;
  list.replaceChildren(
    h("h3", {}, "Your devices"),
    h("ul", { class: "tw-devices" }, found.map((one) => h("li", {},
      h("div", {},
        h("b", {}, one.name || "without a name"),
        h("p", { class: "quiet" }, [
          { page: "open page", native: "Talkwire on the desktop", push: "also while no page is open" }[one.kind],
          one.able ? "" : WHY[one.why_not] || one.why_not.replaceAll("_", " "),
          one.connected ? "here now" : `last seen ${when(one.seen_at)}`,
        ].filter(Boolean).join(" · "))),
      // A page that is open comes back by itself.
      (one.kind !== "page" || !one.connected) && h("button", { type: "button", class: "small", "aria-label": `Remove ${one.name || "this device"}`, onclick: () => remove(one) }, "Remove")))));
}

const when = (iso) => new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" }).format(new Date(iso));

async function remove({ id }) {
  const gone = await fetch(`${DEVICES}/${encodeURIComponent(id)}`, { method: "DELETE" }).catch(() => null);
  say(gone?.ok ? "Removed." : "It could not be removed.");
  await devices();
}
