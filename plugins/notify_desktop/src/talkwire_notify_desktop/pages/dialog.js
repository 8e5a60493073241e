// The dialog behind the bell: this device, what somebody wants to be told by, their devices.

import { h, icon } from "./nodes.js";
import * as device from "./device.js";

let page = null;
let lent = null;
let box = null;
const here = h("section", { class: "tw-part" });

export function start(of, { line, switchOn, me }) {
  page = of;
  lent = { line, switchOn, me };
  box = h("dialog", { class: "tw-dialog", "aria-labelledby": "tw-dialog-title" },
    h("header", {},
      h("h2", { id: "tw-dialog-title" }, "Notifications"),
      h("button", { type: "button", class: "tw-shut", "aria-label": "Close", onclick: () => box.close() }, icon("close"))),
    here);
  document.body.append(box);
}

export function open() {
  draw();
  box.showModal();
}

/** Show how this device stands. */
export function draw() {
  const { able, code, words } = device.status();
  const { line, switchOn } = lent;
  here.replaceChildren(
    h("h3", {}, "This device"),
    h("p", { class: "tw-state" }, icon(able ? "bell" : "bell-off"), able ? "Notifications are on." : "Notifications are off. What is for you appears in this page."),
    ...(words ? [h("p", { class: "quiet" }, words)] : []),
    ...(line.refused ? [h("p", { class: "bad-text" }, line.refused)] : []),
    ...(code === "permission" ? [h("button", { type: "button", class: "main", onclick: switchOn }, "Switch on")] : []));
}
