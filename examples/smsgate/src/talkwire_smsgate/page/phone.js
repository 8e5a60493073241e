// The customer's phone: draws what the simulator streams, sends what is typed.
import { at, clock, composer, live, make, post, talk } from "./frame.js";

const GSM = new Set("@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà\f^{}\\[~]|€");
const ESCAPED = new Set("\f^{}\\[~]|€"); // two septets each
const number = at("number");
const bare = (one) => one.trim().replace(/^\+/, "");

number.value = new URLSearchParams(location.search).get("number") || "+6281234567890";

function bubble(message) {
  const size = message.segments === 1 ? "" : `${message.segments} segments`;
  const about = [clock(message.at), message.coding, size, message.note].filter(Boolean).join(" · ");
  return make(
    "article",
    "bubble" + (message.to_phone ? "" : " mine") + (message.failed ? " failed" : ""),
    make("div", "said", message.text),
    make("div", "quiet", about),
  );
}

function measure(said) {
  const isGsm = [...said].every((c) => GSM.has(c));
  const width = isGsm ? [...said].reduce((sum, c) => sum + (ESCAPED.has(c) ? 2 : 1), 0) : said.length;
  const [alone, joined] = isGsm ? [160, 153] : [70, 67];
  const count = width <= alone ? 1 : Math.ceil(width / joined);
  at("count").textContent = said ? `${width} / ${count === 1 ? alone : count * joined} · ${isGsm ? "GSM-7" : "UCS-2"}${count > 1 ? ` · ${count} segments` : ""}` : "";
}

const log = talk(bubble, (message) => bare(message.number) === bare(number.value));
number.addEventListener("input", log.redraw);
composer((text) => post("sim/messages", { from: number.value.trim(), text }), measure);
live((told) => {
  if (told.all) log.all(told.all);
  if (told.message) log.show(told.message);
}, () => "SMS, by a simulated Kannel");
