// What the page asks of the API, and the one stream of facts that all tabs share.

const API = "/api/v1";
const SILENCE = 45_000; // milliseconds; the server says something every 15 seconds
let signingIn = null;
let ahead = 0; // milliseconds by which the daemon's clock is ahead of this machine's

/** What the API refused. */
export class Problem extends Error {
  constructor(status, said) {
    super(said.detail || said.title || `HTTP ${status}`);
    this.status = status;
    this.code = said.code || "";
    this.said = said;
  }
}

export async function get(path, options = {}) {
  return await ask("GET", path, undefined, options);
}

export async function post(path, body, options = {}) {
  return await ask("POST", path, body, options);
}

/** Ask the API: JSON there and back. Throws `Problem`. */
export async function ask(method, path, body, { headers = {}, signal = undefined } = {}) {
  const send = () => fetch(API + path, {
    method,
    signal,
    headers: { ...headers, ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  let answer = await send();
  if (answer.status === 401 && path !== "/session") {
    await signIn();
    answer = await send();
  }
  return await read(answer);
}

/** Give the daemon's time in milliseconds, to the second: windows close by its clock. */
export const now = () => Date.now() + ahead;

async function read(answer) {
  const date = Date.parse(answer.headers.get("Date"));
  if (Math.abs(date - now()) > 2000) ahead = date - Date.now();
  if (answer.status === 204) return null;
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Problem(answer.status, said);
  return said;
}

// --- the session ----------------------------------------------------------------------------------------

/** Ask for a session: as this machine's user, else with the key that `askForKey` gets from a person. */
export function signIn() {
  signingIn ||= begin().finally(() => { signingIn = null; });
  return signingIn;
}

async function begin() {
  const answer = await fetch("/operator/session", { method: "POST" });
  if (answer.ok) return;
  let why = "";
  for (;;) {
    const key = await askForKey(why);
    try {
      await ask("POST", "/session", { key });
      return;
    } catch (error) {
      why = error.status === 401 ? "This key is not known, or no longer." : error.message;
    }
  }
}

let askForKey = () => Promise.reject(new Error("nobody can be asked for a key"));
export function keyComesFrom(asking) {
  askForKey = asking;
}

// --- the stream -----------------------------------------------------------------------------------------

const pause = (milliseconds) => new Promise((done) => { setTimeout(done, milliseconds); });

/**
 * Tell each fact after the one that `begin` names, for ever. Browsers open six connections to a server at most, so
 * one tab holds the stream and tells the others; when it closes, another one goes on from the last fact it has heard.
 */
export async function follow(begin, { fact, hint, state, gap }) {
  let seen = null; // number of the last fact; null: not known yet
  let early = [];
  let leads = "";
  const others = new BroadcastChannel("talkwire-facts");
  const take = (one) => {
    if (seen === null) early.push(one);
    else if (one.seq > seen) {
      seen = one.seq;
      fact(one);
    }
  };
  others.onmessage = ({ data }) => {
    if (data.fact) take(data.fact);
    if (data.hint) hint(data.hint);
    if (data.state) state(data.state);
    if (data.hello && leads) others.postMessage({ state: leads });
  };
  others.postMessage({ hello: true });
  seen = await begin();
  early.forEach(take);
  early = [];
  await navigator.locks.request("talkwire-facts", async () => {
    const tell = (word) => {
      leads = word;
      state(word);
      others.postMessage({ state: word });
    };
    for (let wait = 250; ; wait = Math.min(wait * 2, 10_000)) { // milliseconds
      try {
        const stop = new AbortController();
        const headers = { Accept: "text/event-stream" };
        const answer = await fetch(`${API}/events?after=${seen}&typing=true`, { headers, signal: stop.signal });
        if (answer.status === 401) await signIn();
        if (answer.status === 410) seen = await gap();
        if (answer.ok) {
          tell("live");
          wait = 250;
          for await (const { name, said } of eventsOf(answer.body, stop)) {
            if (name === "typing") hint(said);
            else take(said);
            others.postMessage(name === "typing" ? { hint: said } : { fact: said });
          }
        }
      } catch {
        // the daemon stopped, or the network did: try again
      }
      tell("lost");
      await pause(wait);
    }
  });
}

/** Read server-sent events. EventSource hears only types it was told of, and plugins have their own. */
async function* eventsOf(body, stop) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const silent = setTimeout(() => stop.abort(), SILENCE);
    const { value, done } = await reader.read().finally(() => clearTimeout(silent));
    if (done) return;
    const events = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const values = (field) => event.split("\n").filter((line) => line.startsWith(`${field}:`)).map((line) => line.slice(field.length + 1).trimStart());
      const [name] = values("event");
      const data = values("data");
      if (data.length && name !== "resync") yield { name, said: JSON.parse(data.join("\n")) };
    }
  }
}
