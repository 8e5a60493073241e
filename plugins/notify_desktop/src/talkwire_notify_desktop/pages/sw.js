// The service worker: the one place of a browser where notifications are shown, so that two tabs never double.
// Pages hand over what their socket told them, Web Push what comes while no page is open.

const API = "/api/v1";
const SUBSCRIPTIONS = "/p/notify_desktop/subscriptions";
const SHOWN = "/p/notify_desktop/shown";
const MEMORY = "talkwire-notify-desktop"; // a cache: all that a worker keeps over its sleep
const MOST = 200; // notifications that are remembered as closed here

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

// --- what is remembered ----------------------------------------------------------------------------------

let turn = Promise.resolve();
/** Do one thing after the other: two tabs ask for the same at the same moment. */
function inTurn(work) {
  const done = turn.then(work);
  turn = done.catch(() => {});
  return done;
}

async function remembered() {
  const found = await (await caches.open(MEMORY)).match("/memory");
  return { home: "/", closed: [], ...(found ? await found.json() : {}) };
}

async function remember(change) {
  const kept = { ...(await remembered()), ...change };
  await (await caches.open(MEMORY)).put("/memory", new Response(JSON.stringify(kept)));
}

// --- what pages ask -------------------------------------------------------------------------------------

self.addEventListener("message", (event) => {
  const [port] = event.ports;
  const said = (words) => port?.postMessage(words);
  event.waitUntil(inTurn(() => asked(event.data)).then(said, (error) => said({ refused: error?.name === "TypeError" ? "permission" : "failed" })));
});

async function asked({ home, show: one, withdraw: id }) {
  if (home) await remember({ home });
  if (one) return await show(one);
  if (id) await close(id);
  return {};
}

/** Show a notification; says `shown` only once the browser has it among those that are shown. */
async function show(one) {
  if ((await remembered()).closed.includes(one.id)) return { dismissed: true };
  const [there] = await shown(one.tag);
  // The same again would be heard again by some desktops.
  if (!there || there.title !== one.title || there.body !== body(one)) {
    await self.registration.showNotification(one.title, {
      tag: one.tag,
      body: body(one),
      actions: (one.actions || []).slice(0, Notification.maxActions ?? 2).map(({ id, label }) => ({ action: id, title: label })),
      requireInteraction: one.style === "alert",
      data: { id: one.id, conversation: one.conversation || "", opens: one.opens || [] },
    });
  }
  return (await shown(one.tag)).length ? { shown: true } : { refused: "not_shown" };
}

const shown = (tag) => self.registration.getNotifications({ tag });
const body = ({ text, details }) => [text, ...(details || []).map(({ label, value }) => `${label}: ${value}`)].filter(Boolean).join("\n");

async function close(id) {
  for (const one of await self.registration.getNotifications()) if (one.data?.id === id) one.close();
}

// --- what a person does -----------------------------------------------------------------------------------

self.addEventListener("notificationclick", (event) => {
  const { notification, action } = event;
  notification.close();
  const { data } = notification;
  event.waitUntil(action && !data.opens.includes(action) ? press(notification, action) : front(data));
});

self.addEventListener("notificationclose", (event) => {
  event.waitUntil(inTurn(() => dismiss(event.notification.data.id)));
});

async function dismiss(id) {
  const { closed } = await remembered();
  await remember({ closed: [id, ...closed].slice(0, MOST) });
  (await pages())[0]?.postMessage({ dismissed: id });
}

/** Give the pages that joined, the one that was looked at last first. */
async function pages() {
  const { home } = await remembered();
  const all = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  return all.filter((one) => new URL(one.url).pathname === home);
}

/** Bring a page to the front, on the conversation; opens one where there is none. */
async function front({ id, conversation }) {
  const [page] = await pages();
  if (page) {
    await page.focus().catch(() => {}); // the browser may refuse, the page is told all the same
    page.postMessage({ open: conversation, id });
    return;
  }
  const { home } = await remembered();
  await self.clients.openWindow(conversation ? `${home}#c=${encodeURIComponent(conversation)}` : home);
}

/** Answer by a button; where that cannot be done from here, a page comes to the front and asks again. */
async function press(notification, action) {
  const { data } = notification;
  let answer = null;
  try {
    answer = await send(`${API}/notifications/${encodeURIComponent(data.id)}:answer`, { action, surface: "browser" });
  } catch {
    // the daemon is not there
  }
  if (answer?.ok) {
    const all = await pages();
    for (const page of all) page.postMessage({ won: data.id, action });
    // Who accepts wants to see what; a button that only settles something leaves people where they are.
    if (data.conversation && action === "accept") await front(data);
    return;
  }
  if (answer?.status === 409 || answer?.status === 404) {
    const { detail = "It was answered meanwhile." } = await answer.json().catch(() => ({}));
    const all = await pages();
    for (const page of all) page.postMessage({ lost: data.id, text: detail });
    if (!all.some((page) => page.visibilityState === "visible")) {
      await self.registration.showNotification(notification.title, { tag: notification.tag, body: detail, data: { ...data, opens: [] } });
    }
    return;
  }
  await front(data);
}

// --- Web Push ---------------------------------------------------------------------------------------------

self.addEventListener("push", (event) => {
  const said = event.data?.json() ?? {};
  if (said.withdraw) event.waitUntil(inTurn(() => close(said.withdraw)));
  else if (said.id) event.waitUntil(inTurn(() => pushed(said)));
});

async function pushed(one) {
  const done = await show(one);
  // No socket is there to say it: Web Push tells nobody what became of a message.
  if (done.shown) await send(SHOWN, { id: one.id }).catch(() => {});
}

function send(path, body) {
  return fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

/** The browser gave the subscription another address: the daemon has to know. */
self.addEventListener("pushsubscriptionchange", (event) => {
  event.waitUntil((async () => {
    const fresh = event.newSubscription || await self.registration.pushManager.subscribe(event.oldSubscription.options);
    await send(SUBSCRIPTIONS, fresh.toJSON());
  })());
});
