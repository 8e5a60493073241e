// The socket of this tab: what PROTOCOL.md says, and how somebody looks at the page.

const PROTOCOL = 1;
const AGAIN = 30_000; // milliseconds after which the focus is said again
const IDLE = 120_000; // milliseconds without input
const REPLACED = 4001; // another tab has our name: it was made by "duplicate tab"
const PLACE = "talkwire.notify.surface";
const SOCKET = new URL("socket", import.meta.url);
const INPUT = ["pointermove", "pointerdown", "keydown", "wheel", "touchstart"];

/**
 * Hold the socket for ever. `status` gives what the device can do now: { able, why_not }; `showing` the ids that show
 * on it; `told` is called with each frame; `signIn` when nobody is known any more.
 */
export function hold({ device, status, showing, told, signIn }) {
  let socket = null;
  let wait = 500; // milliseconds
  let timer = 0;
  let heard = performance.now(); // when there was input last

  const send = (frame) => {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
  };

  // --- focus

  let said = "";
  const state = () => {
    if (document.visibilityState === "hidden") return "hidden";
    if (performance.now() - heard >= IDLE) return "idle";
    return document.hasFocus() ? "focused" : "visible";
  };
  const look = ({ again = false } = {}) => {
    const now = state();
    if (now === said && !again) return;
    said = now;
    send({ type: "focus", state: now });
  };
  for (const kind of ["focus", "blur"]) window.addEventListener(kind, () => look());
  document.addEventListener("visibilitychange", () => look());
  for (const kind of INPUT) {
    document.addEventListener(kind, () => {
      heard = performance.now();
      if (said === "idle") look();
    }, { passive: true, capture: true });
  }
  setInterval(() => look({ again: true }), AGAIN);

  // --- the socket

  const connect = async () => {
    const on = await showing();
    const mine = new WebSocket(SOCKET.href.replace(/^http/, "ws"));
    socket = mine;
    let bye = "";
    mine.onopen = () => {
      send({ type: "hello", protocol: PROTOCOL, surface: surface(), kind: "page", device, showing: on, ...status() });
      said = "";
      look();
    };
    mine.onmessage = ({ data }) => {
      const frame = JSON.parse(data);
      if (frame.type === "ready") wait = 500;
      if (frame.type === "bye") bye = frame.code;
      told(frame);
    };
    mine.onclose = async ({ code }) => {
      if (code === REPLACED) sessionStorage.removeItem(PLACE);
      if (bye === "unauthenticated") await signIn().catch(() => {});
      if (["forbidden", "protocol", "bad_frame"].includes(bye)) return; // the same again would be said
      timer = setTimeout(connect, wait * (0.5 + Math.random()));
      wait = Math.min(wait * 2, 30_000);
    };
  };
  window.addEventListener("online", () => {
    if (socket?.readyState !== WebSocket.CLOSED) return;
    clearTimeout(timer);
    connect();
  });
  connect();
  return { send };
}

/** Name this tab, the same over a reload. */
function surface() {
  let name = sessionStorage.getItem(PLACE);
  if (!name) {
    name = crypto.randomUUID();
    sessionStorage.setItem(PLACE, name);
  }
  return name;
}
