// The dialog that asks a person for a key, where this machine's user is not known.

import { at } from "./dom.js";

/** Ask until a key is given; `why` says what was wrong with the last one. */
export function askForKey(why) {
  const dialog = at("sign-in");
  at("sign-in-why").textContent = why;
  at("key").value = "";
  dialog.oncancel = (event) => event.preventDefault();
  if (!dialog.open) dialog.showModal();
  at("key").focus();
  return new Promise((done) => {
    at("sign-in-form").onsubmit = (event) => {
      event.preventDefault();
      const key = at("key").value.trim();
      at("key").value = "";
      dialog.close();
      done(key);
    };
  });
}
