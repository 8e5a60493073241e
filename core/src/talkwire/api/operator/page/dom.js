// Nodes and words. Text goes in as text, never as markup: the page's policy refuses markup from strings.

export const at = (id) => document.getElementById(id);

/** Make an element: attributes by name, `on…` as listeners, null and false left out; children are nodes or text. */
export function h(tag, given, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(given || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false && child !== ""));
  return node;
}

const SVG = "http://www.w3.org/2000/svg";
const PATHS = { // 24 × 24, stroked
  warning: "M12 3.5 22 20.5H2ZM12 10v4.6M12 17.4v.2",
  clock: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M12 7.5V12l3 2",
  check: "M5 12.5l4.5 4.5L19 7.5",
  checks: "M2.5 12.5 7 17l8-9M12 16l1 1 8.5-9.5",
  failed: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M9 9l6 6M15 9l-6 6",
  uncertain: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M9.6 9.6c0-3 4.8-3 4.8 0 0 1.9-2.4 2-2.4 4M12 16.6v.2",
  back: "M14.5 5.5 8 12l6.5 6.5",
  send: "M12 20V5M5 12l7-7 7 7",
  paused: "M9 5.5v13M15 5.5v13",
  person: "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8M4.5 20.5c0-8 15-8 15 0",
  place: "M12 21.5s7-6.4 7-11.5a7 7 0 0 0-14 0c0 5.1 7 11.5 7 11.5ZM12 7.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5",
  file: "M6 3.5h8l4 4v13H6ZM14 3.5v4h4",
};

/** Draw an icon. With words it stands for them (role img); without, the words stand beside it. */
export function icon(name, words = "", size = 16) {
  const svg = document.createElementNS(SVG, "svg");
  const told = words ? { role: "img", "aria-label": words } : { "aria-hidden": "true" };
  const looks = { class: `icon ${name}`, viewBox: "0 0 24 24", width: size, height: size, focusable: "false", ...told };
  for (const [key, value] of Object.entries(looks)) svg.setAttribute(key, value);
  if (words) {
    const title = document.createElementNS(SVG, "title");
    title.textContent = words;
    svg.append(title);
  }
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

// --- words for times and codes ------------------------------------------------------------------------

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const EXACT = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
const SHORT = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const WHOLE = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
const midnight = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
const daysAgo = (date) => Math.round((midnight(new Date()) - midnight(date)) / 86_400_000);

export const clockTime = (iso) => TIME.format(new Date(iso));
export const exactTime = (iso) => EXACT.format(new Date(iso));
export const dayKey = (iso) => midnight(new Date(iso));

export function dayName(iso) {
  const date = new Date(iso);
  return { 0: "Today", 1: "Yesterday" }[daysAgo(date)] || DAY.format(date);
}

/** Say a moment shortly: a time today, a date before. */
export function moment(iso) {
  const date = new Date(iso);
  return daysAgo(date) === 0 ? TIME.format(date) : `${SHORT.format(date)}, ${TIME.format(date)}`;
}

export function time(iso, words = moment(iso), given = {}) {
  return h("time", { datetime: iso, title: WHOLE.format(new Date(iso)), ...given }, words);
}

export const plain = (code) => String(code).replaceAll("_", " ");

/** Name a customer; of a long id that a channel made up, its end is enough to know it again. */
export function nameOf(conversation) {
  const { kind, name, value } = conversation.address;
  if (name || value.length <= 16 || kind === "email" || kind === "phone") return name || value;
  const whose = plain(kind);
  return `${whose[0].toUpperCase()}${whose.slice(1)} …${value.slice(-5)}`;
}

let clearing = 0;
/** Tell everybody, also those who do not see the page. */
export function say(words, { lasting = false } = {}) {
  clearTimeout(clearing);
  at("said").textContent = words;
  if (words && !lasting) clearing = setTimeout(() => { at("said").textContent = ""; }, 8000);
}
