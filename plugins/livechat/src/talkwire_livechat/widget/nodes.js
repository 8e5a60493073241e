// How we make elements: names and attributes are ours, whatever comes from outside is a text node.

function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child || child === 0));
  return node;
}

const ICONS = {
  chat: "M4 6.5A2.5 2.5 0 0 1 6.5 4h11A2.5 2.5 0 0 1 20 6.5v7a2.5 2.5 0 0 1-2.5 2.5H11l-4.6 3.8a.4.4 0 0 1-.7-.3V15.8A2.5 2.5 0 0 1 4 13.5z",
  down: "M6 9.5l6 6 6-6",
  send: "M12 19V5.5M6 11l6-6 6 6",
  clip: "M19.5 11.5l-7.6 7.6a4.8 4.8 0 0 1-6.8-6.8l8-8a3.2 3.2 0 0 1 4.5 4.5l-8 8a1.6 1.6 0 0 1-2.3-2.3l7.3-7.2",
  bell: "M6.5 16v-5.2a5.5 5.5 0 0 1 11 0V16l1.5 2H5zM10 20.8h4",
  off: "M6.5 16v-5.2a5.5 5.5 0 0 1 11 0V16l1.5 2H5zM10 20.8h4M4 4l16 16",
  leave: "M14 4h4.5A1.5 1.5 0 0 1 20 5.5v13a1.5 1.5 0 0 1-1.5 1.5H14M9 8l-4 4 4 4M5 12h10",
  file: "M13.5 3.5H7A1.5 1.5 0 0 0 5.5 5v14A1.5 1.5 0 0 0 7 20.5h10a1.5 1.5 0 0 0 1.5-1.5V8.5zM13.5 3.5v5h5",
  cross: "M6.5 6.5l11 11M17.5 6.5l-11 11",
  kept: "M6 12.5l4 4 8.5-9",
  read: "M2.5 12.5l4 4 8.5-9M12 15.2l1.3 1.3 8.5-9",
  pending: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 8v4.3l2.8 1.7",
  failed: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 8v4.6M12 15.6v.200",
  pin: "M12 20.5s-6.5-5.8-6.5-10.7a6.5 6.5 0 0 1 13 0c0 4.9-6.5 10.7-6.5 10.7zM12 7.6a2.2 2.2 0 1 0 0 4.4 2.2 2.2 0 0 0 0-4.4z",
  out: "M9 5H6.5A1.5 1.5 0 0 0 5 6.5v11A1.5 1.5 0 0 0 6.5 19h11a1.5 1.5 0 0 0 1.5-1.5V15M13 5h6v6M19 5l-8.5 8.5",
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

function tool(name, label, click) {
  return make("button", { type: "button", class: "tool", "aria-label": label, title: label, click }, icon(name));
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
  const leaves = /^http/.test(url);
  const safe = { href: url, rel: "noopener noreferrer", target: leaves && "_blank" };
  return make("a", Object.assign(safe, attributes), ...children);
}

// Plain text in which addresses of the web can be clicked (notices, consent).
function linked(text) {
  return str(text)
    .split(/(https?:\/\/[^\s<>"]*[^\s<>"'.,;:!?)\]])/)
    .map((piece, place) => (place % 2 && safe_link(piece) ? link(safe_link(piece), {}, piece) : piece));
}

// A name may try to look like another one by turning the direction of writing.
const file_name = (value) => str(value).replace(/[\u0000-\u001f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "") || "?";
