// What this browser can do: the worker that shows notifications, the permission, the subscription to Web Push.

const WORKER = new URL("sw.js", import.meta.url);
const SUBSCRIPTIONS = new URL("subscriptions", import.meta.url);
const OFF = "talkwire.notify.off"; // somebody switched them off here; a page cannot give the permission back
const WITHIN = 10_000; // milliseconds in which the worker answers
const WHY = {
  insecure: "This page is not reached by https, and browsers show notifications only for pages that are. Pages on localhost are an exception.",
  unsupported: "This browser has no notifications for pages. On an iPhone or iPad, add the page to the home screen first.",
  permission: "Your browser was not asked yet whether it may show them.",
  off: "You switched them off.",
  denied: "This browser has been told to block them. Open the settings of this site (the icon left of the address), allow notifications, and load the page again.",
  failed: "The part of this page that shows them does not start in this browser.",
};

let registration = null;
let fault = "";
const changed = new Set();

/** Say what can be shown, and why not: { able, why_not } for the daemon, `code` and `words` for a person. */
export function status() {
  const code = trouble();
  return { able: !code, why_not: !code ? "" : ["permission", "denied", "off"].includes(code) ? "permission" : "unsupported", code, words: WHY[code] || "" };
}

function trouble() {
  if (!window.isSecureContext) return "insecure";
  if (!("Notification" in window) || !("serviceWorker" in navigator)) return "unsupported";
  if (Notification.permission === "denied") return "denied";
  if (Notification.permission !== "granted") return "permission";
  if (localStorage.getItem(OFF) !== null) return "off";
  return fault;
}

/** Call whenever the status changes. */
export function onChange(listener) {
  changed.add(listener);
}

const tell = () => { for (const listener of changed) listener(status()); };

/** Begin; `heard` is called with what the worker says of clicks. The worker learns where the page is. */
export async function start(home, heard) {
  if (["insecure", "unsupported"].includes(trouble())) return;
  navigator.serviceWorker.addEventListener("message", ({ data }) => heard(data));
  try {
    const permission = await navigator.permissions.query({ name: "notifications" });
    permission.addEventListener("change", tell);
  } catch {
    // this browser tells no changes; a fresh page sees them
  }
  try {
    registration = await navigator.serviceWorker.register(trusted(WORKER.href), { updateViaCache: "none" });
    await active(registration);
    await ask({ home });
  } catch {
    fault = "failed";
    tell();
  }
}

/** Ask a person for the permission. Call it on a gesture: browsers refuse questions that nobody asked for. */
export async function switchOn() {
  localStorage.removeItem(OFF);
  await Notification.requestPermission();
  tell();
}

/** Show nothing here any more, also by Web Push. */
export async function switchOff() {
  localStorage.setItem(OFF, "1");
  tell();
  for (const one of (await registration?.getNotifications()) || []) one.close();
  await unsubscribe();
}

/** The page's policy takes the address of a script only from here. */
function trusted(url) {
  if (!window.trustedTypes) return url;
  policy ||= window.trustedTypes.createPolicy("talkwire-notify-desktop", {
    createScriptURL: (asked) => {
      if (asked !== WORKER.href) throw new TypeError("this is not our worker");
      return asked;
    },
  });
  return policy.createScriptURL(url);
}
let policy = null;

function active(from) {
  if (from.active) return undefined;
  const worker = from.installing || from.waiting;
  return new Promise((done, failed) => {
    worker.addEventListener("statechange", () => {
      if (worker.state === "activated") done();
      if (worker.state === "redundant") failed(new Error("the worker was given up"));
    });
  });
}

// --- what the worker does -----------------------------------------------------------------------------------

function ask(what) {
  const { port1, port2 } = new MessageChannel();
  return new Promise((done, failed) => {
    const timer = setTimeout(() => failed(new Error("the worker does not answer")), WITHIN);
    port1.onmessage = ({ data }) => {
      clearTimeout(timer);
      port1.close();
      done(data);
    };
    registration.active.postMessage(what, [port2]);
  });
}

/** Show a notification; gives { shown }, { dismissed } or { refused: why }. */
export async function show(notification) {
  const { able, why_not: why } = status();
  if (!able || !registration) return { refused: why || "unsupported" };
  return await ask({ show: notification }).catch(() => ({ refused: "failed" }));
}

/** Take one away. */
export async function withdraw(id) {
  if (registration) await ask({ withdraw: id }).catch(() => {});
}

/** Name what shows now. */
export async function showing() {
  const all = (await registration?.getNotifications()) || [];
  return all.map((one) => one.data?.id).filter(Boolean);
}

// --- Web Push -------------------------------------------------------------------------------------------------

/** Let the daemon reach this browser while no page is open; nothing happens where that is not possible. */
export async function subscribe(key, device) {
  if (!key || !registration?.pushManager || !status().able) return;
  const there = await registration.pushManager.getSubscription();
  const subscription = there && same(there.options.applicationServerKey, key) ? there : await again(there, key);
  await fetch(SUBSCRIPTIONS, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...subscription.toJSON(), device }),
  });
}

/** A subscription holds for one key: the daemon's may have changed. */
async function again(old, key) {
  await old?.unsubscribe();
  return await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
}

function same(buffer, key) {
  const bytes = String.fromCharCode(...new Uint8Array(buffer || []));
  return btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "") === key.replaceAll("=", "");
}

/** Let the daemon forget this browser. */
async function unsubscribe() {
  const there = await registration?.pushManager?.getSubscription();
  if (!there) return;
  await fetch(SUBSCRIPTIONS, {
    method: "DELETE",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ endpoint: there.endpoint }),
  });
  await there.unsubscribe();
}

// --- its name ---------------------------------------------------------------------------------------------------

const BROWSERS = [["Edge", /Edg\//], ["Opera", /OPR\//], ["Firefox", /Firefox\//], ["Chromium", /Chromium\//], ["Chrome", /Chrome\//], ["Safari", /Safari\//]];
const SYSTEMS = [["Android", /Android/], ["iPhone", /iPhone/], ["iPad", /iPad/], ["Windows", /Windows/], ["Mac", /Mac OS X/], ["ChromeOS", /CrOS/], ["Linux", /Linux/]];

/** Name this browser for the list of devices: `Chrome on Linux`. */
export function name() {
  const of = (table, other) => (table.find(([, pattern]) => pattern.test(navigator.userAgent)) || [other])[0];
  return `${of(BROWSERS, "Browser")} on ${of(SYSTEMS, "this machine")}`;
}
