// How we make elements: names and attributes are ours, whatever comes from outside is a text node.

function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== false && value !== undefined) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter(Boolean));
  return node;
}

const CIRCLE = "M12 4a8 8 0 1 0 .1 0z";
const BELL = "M6 17v-6a6 6 0 0 1 12 0v6l2 2H4zM10 21.5h4";
const ICONS = {
  chat: "M4 5h16v11h-8l-5 4v-4H4z",
  down: "M6 9l6 6 6-6",
  send: "M12 19V5M6 11l6-6 6 6",
  clip: "M19 11l-8 8a5 5 0 0 1-7-7l8-8a3 3 0 0 1 5 5l-8 8a1 1 0 0 1-2-2l7-7",
  bell: BELL,
  off: BELL + "M4 4l16 16",
  leave: "M14 4h6v16h-6M9 8l-4 4 4 4M5 12h10",
  file: "M14 3H6v18h12V7zM14 3v4h4",
  cross: "M7 7l10 10M17 7L7 17",
  kept: "M6 13l4 4 8-10",
  read: "M2 13l4 4 8-10M12 16l1 1 8-10",
  pending: CIRCLE + "M12 8v4l3 2",
  failed: CIRCLE + "M12 8v5M12 16v.1",
  pin: "M12 21q-14-14 0-18 14 4 0 18zM12 9v.1",
  out: "M9 5H5v14h14v-4M13 5h6v6M19 5l-9 9",
};

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS(svg.namespaceURI, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

const calm = matchMedia("(prefers-reduced-motion: reduce)");
const phone = matchMedia("(max-width: 480px), (max-height: 420px)"); // as style.css has it
const touch = matchMedia("(pointer: coarse)");

const hidden_text = (text) => make("span", { class: "sr" }, text);

const button = (kind, click, ...children) => make("button", { type: "button", class: kind, click }, ...children);

function tool(name, label, click) {
  const node = button("tool", click, icon(name));
  node.title = label;
  node.setAttribute("aria-label", label);
  return node;
}

// Only these become links, whatever the server says.
function safe_link(value, base) {
  try {
    const url = new URL(str(value), base);
    return ["http:", "https:", "mailto:", "tel:"].includes(url.protocol) ? url.href : "";
  } catch {
    return "";
  }
}

function link(url, attributes, ...children) {
  const target = url.startsWith("http") && "_blank";
  return make("a", { href: url, rel: "noopener noreferrer", target, ...attributes }, ...children);
}

// Plain text in which addresses of the web can be clicked (notices, consent).
function linked(text) {
  const pieces = str(text).split(/(https?:\/\/[^\s<>"]*[^\s<>"'.,;:!?)\]])/);
  return pieces.map((piece, place) => (place % 2 && safe_link(piece) ? link(safe_link(piece), {}, piece) : piece));
}

// A name may try to look like another one by turning the direction of writing.
const file_name = (value) => str(value).replace(/\p{C}/gu, "") || "?";
