// Modules of plugins that join this page. Which there are, the API says; the page names none.

import { at, say } from "./dom.js";
import { ask, get, now } from "./api.js";

const facts = new Set();
const freshLooks = new Set();
const opened = new Set();

/** Load what joins; `open` shows a conversation, `looksAt` names the one that is open. One that fails hurts only itself. */
export async function load({ open, looksAt }) {
  const page = {
    home: location.pathname, // where the page is, for whoever opens it again; `#c=ID` opens a conversation
    bar: at("joined"), // for one button or line
    ask, // (method, path below /api/v1, body) → JSON; throws an error with `status`, `code`, `said`
    now, // the daemon's time in milliseconds
    open, // (id of a conversation): show it
    looksAt, // gives the id of the conversation that is open, or nothing
    say, // (words) to everybody, also those who do not see the page
    onFact: (listener) => facts.add(listener), // each fact, once
    onOpen: (listener) => opened.add(listener), // (id of a conversation): somebody opened it
    onFreshLook: (listener) => freshLooks.add(listener), // facts may have been missed: look at everything
  };
  const { items } = await get("/page-modules");
  await Promise.all(items.map(async (path) => {
    try {
      const module = await import(path);
      await module.join(page);
    } catch {
      say(`${path} does not load; the rest of the page works.`);
    }
  }));
}

/** Tell the modules a fact. */
export function tell(fact) {
  for (const listener of facts) listener(fact);
}

/** Tell the modules that facts may have been missed. */
export function lookAfresh() {
  for (const listener of freshLooks) listener();
}

/** Tell the modules which conversation was opened. */
export function opens(conversation) {
  for (const listener of opened) listener(conversation);
}
