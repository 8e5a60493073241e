// What joins a page of ours: notifications in it and, by the worker and the socket, on the desktop around it.

import { h, icon } from "./nodes.js";
import * as device from "./device.js";
import * as dialog from "./dialog.js";
import * as inbox from "./inbox.js";
import { hold } from "./line.js";

const LATER = "talkwire.notify.later"; // somebody said "not now" on this device

/** Join a page: it lends what core's operator page documents (`joined.js`). */
export async function join(page) {
  const look = h("link", { rel: "stylesheet", href: new URL("notifications.css", import.meta.url).href });
  document.head.append(look);
  const line = { recipient: "", refused: "", pushKey: null };

  const bell = h("button", { type: "button", class: "tw-bell", onclick: () => dialog.open() });
  const ask = h("span", { class: "tw-ask", hidden: true },
    h("span", { class: "quiet" }, "Notifications are off on this device"),
    h("button", { type: "button", class: "small", onclick: switchOn }, "Switch on"),
    h("button", { type: "button", class: "tw-shut", "aria-label": "Not now", title: "Not now", onclick: later }, icon("close", 14)));
  page.bar.append(ask, bell);

  let waiting = 0;
  function draw() {
    const { able, code } = device.status();
    ask.hidden = able || code !== "permission" || !line.recipient || localStorage.getItem(LATER) !== null;
    const words = `Notifications${waiting ? `: ${waiting} to answer` : ""}${able ? "" : ", off on this device"}`;
    bell.setAttribute("aria-label", words);
    bell.title = words;
    bell.replaceChildren(icon(able ? "bell" : "bell-off", 20), ...(waiting ? [h("span", { class: "tw-count" }, String(waiting))] : []));
    dialog.draw();
  }

  async function switchOn() {
    await device.switchOn();
    const { able, code } = device.status();
    if (able) page.say("Notifications are on, on this device.");
    else if (code === "denied") dialog.open();
  }

  function later() {
    localStorage.setItem(LATER, "1");
    draw();
  }

  const { principal } = await page.ask("GET", "/session");
  const me = principal.slice(principal.indexOf(":") + 1);
  dialog.start(page, { line, switchOn });
  await inbox.start(page, me, (count) => {
    waiting = count;
    draw();
  });
  draw();

  // --- the desktop around the page

  let socket = null;
  await device.start(page.home, (said) => {
    if ("open" in said) {
      if (said.open) page.open(said.open);
      inbox.reveal(said.id);
      socket?.send({ type: "seen", id: said.id });
    }
    if (said.dismissed) socket?.send({ type: "dismissed", id: said.dismissed });
    if (said.won) inbox.won(said.won);
    if (said.lost) inbox.lost(said.lost, said.text);
  });

  const subscribe = () => device.subscribe(line.pushKey, device.name()).catch(() => {}); // the socket goes without
  device.onChange(({ able, why_not: why }) => {
    socket?.send({ type: "able", able, why_not: why });
    subscribe();
    draw();
  });

  socket = hold({
    device: device.name(),
    status: () => {
      const { able, why_not: why } = device.status();
      return { able, why_not: why };
    },
    showing: device.showing,
    signIn: () => page.ask("GET", "/session"),
    told: async (frame) => {
      if (frame.type === "ready") {
        Object.assign(line, { recipient: frame.recipient, refused: "", pushKey: frame.push_key });
        subscribe();
        draw();
      }
      if (frame.type === "show") {
        const { id } = frame.notification;
        const done = await device.show(frame.notification);
        if (done.shown) socket.send({ type: "shown", id });
        else if (done.dismissed) socket.send({ type: "dismissed", id });
        else socket.send({ type: "refused", id, why: done.refused });
      }
      if (frame.type === "withdraw") await device.withdraw(frame.id);
      if (frame.type === "bye") {
        Object.assign(line, { recipient: "", refused: frame.text });
        draw();
      }
    },
  });
}
