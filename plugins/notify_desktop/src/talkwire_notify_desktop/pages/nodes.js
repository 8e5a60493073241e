// Nodes. Text goes in as text, never as markup.

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
  bell: "M6 16.5V11a6 6 0 0 1 12 0v5.5l1.5 2h-15ZM10 21.5h4",
  "bell-off": "M6 16.5V11a6 6 0 0 1 12 0v5.5l1.5 2h-15ZM10 21.5h4M3 3l18 18",
  close: "M6.5 6.5l11 11M17.5 6.5l-11 11",
  info: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M12 11v5.5M12 7.6v.2",
  alert: "M12 3.5 22 20.5H2ZM12 10v4.6M12 17.4v.2",
};

export function icon(name, size = 18) {
  const svg = document.createElementNS(SVG, "svg");
  const looks = { viewBox: "0 0 24 24", width: size, height: size, "aria-hidden": "true", focusable: "false", class: "tw-icon" };
  for (const [key, value] of Object.entries(looks)) svg.setAttribute(key, value);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** Say how long it is: minutes and seconds. */
export function span(milliseconds) {
  const seconds = Math.max(0, Math.ceil(milliseconds / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
