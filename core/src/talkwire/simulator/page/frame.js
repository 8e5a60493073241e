// What every simulator's page has. Builds nodes, never markup. A page takes what it needs of it:
//   import { at, clock, complain, composer, live, make, post, talk } from "./frame.js";
// live(…)      needs  <p id="line" role="status"> and <form id="faults"></form>, in which it draws the knobs
// talk(…)      needs  <div id="log" class="log" role="log" aria-label="Messages" tabindex="0"> and <p id="empty">
// composer(…)  needs  <form id="form" class="composer"> with <textarea id="text"> and a button of type submit

export const at = (id) => document.getElementById(id);
export const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

export function make(tag, className, ...inside) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...inside.filter((one) => one !== undefined && one !== null));
  return node;
}

// Gives the JSON of the answer, or raises an Error with its words.
export async function post(path, body) {
  const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  return answer.ok ? answer.json() : Promise.reject(new Error((await answer.text()) || `the simulator answered ${answer.status}`));
}

export function complain(error) {
  at("line").textContent = error.message;
}

// Follows the feed: each event goes to `take`, the first one holds everything; `words()` is what the line says meanwhile.
export async function live(take, words) {
  const form = at("faults");
  const boxes = () => [...form.querySelectorAll("input")];
  knobs(form, (await (await fetch("sim/faults")).json()).all);
  form.addEventListener("change", () => post("sim/faults", { on: boxes().filter((box) => box.checked).map((box) => box.value) }).catch(complain));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    post("sim/faults", { on: [] }).catch(complain);
  });
  const stream = new EventSource("sim/stream");
  stream.onopen = () => { at("line").textContent = words(); };
  stream.onerror = () => { at("line").textContent = "the simulator does not answer; trying again…"; };
  stream.onmessage = (event) => {
    const told = JSON.parse(event.data);
    if (told.faults) for (const box of boxes()) box.checked = told.faults.includes(box.value);
    take(told);
  };
}

function knobs(form, all) {
  const groups = Object.entries(all).map(([who, these], n) => {
    const title = make("h3", "", who);
    title.id = `who-${n}`;
    const group = make("div", "group", title);
    group.setAttribute("role", "group");
    group.setAttribute("aria-labelledby", title.id);
    for (const [name, words] of Object.entries(these)) {
      const box = make("input");
      box.type = "checkbox";
      box.value = name;
      group.append(make("label", "", box, make("span", "", words)));
    }
    return group;
  });
  const well = make("button", "", "All is well");
  well.type = "reset";
  form.append(make("fieldset", "", make("legend", "", "What goes wrong"), make("div", "knobs", ...groups)), well);
}

// The bubbles of a talk: `bubble(message)` draws one, `belongs(message)` says whether it is this phone's.
export function talk(bubble, belongs = () => true) {
  const log = at("log"), messages = new Map();
  function draw(message) {
    if (!belongs(message)) return;
    const node = bubble(message);
    node.dataset.id = message.id;
    const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
    const old = log.querySelector(`[data-id="${CSS.escape(message.id)}"]`);
    if (old) {
      const held = old.contains(document.activeElement) ? document.activeElement.dataset.keep : "";
      old.replaceWith(node);
      if (held) node.querySelector(`[data-keep="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
    } else log.append(node);
    at("empty").hidden = true;
    if (isAtEnd || (!old && node.classList.contains("mine"))) log.scrollTop = log.scrollHeight;
  }
  function redraw() {
    log.replaceChildren();
    at("empty").hidden = false;
    for (const message of messages.values()) draw(message);
    log.scrollTop = log.scrollHeight;
  }
  return {
    get: (id) => messages.get(id),
    redraw,
    show(message) {
      messages.set(message.id, message);
      draw(message);
    },
    all(them) {
      messages.clear();
      for (const message of them) messages.set(message.id, message);
      redraw();
    },
  };
}

// What is typed goes to `send(text)`; nothing typed is lost where that fails. Gives a function that looks at the box again.
export function composer(send, typed = () => {}) {
  const form = at("form"), text = at("text"), button = form.querySelector("[type=submit]");
  const look = () => {
    button.disabled = !text.value.trim();
    typed(text.value);
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const said = text.value;
    if (!said.trim()) return;
    text.value = "";
    look();
    try {
      await send(said);
    } catch (error) {
      text.value = said;
      look();
      complain(error);
    }
    text.focus();
  });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  text.addEventListener("input", look);
  look();
  return look;
}
