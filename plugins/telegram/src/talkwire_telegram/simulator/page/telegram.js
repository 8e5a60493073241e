// The customer's Telegram: draws what the simulator streams, does what is pressed. Builds nodes, never markup.
import { at, clock, complain, composer, live, make, post, talk } from "./frame.js";

const chat = at("chat"), who = at("who"), menu = at("menu"), attach = at("attach"), file = at("file"), log = at("log");
const HAND = { photo: "Photo", album: "Album", voice: "Voice note", document: "File", location: "Location", live: "Live location", venue: "Venue", contact: "Contact", sticker: "Sticker", dice: "Dice", large: "Large film" };
const LINES = {
  photo: "M4 5h16v14H4zM4 16l5-5 4 4 2-2 5 5M15.5 9.5h.01", album: "M7 4h13v12H7zM4 8v12h13M7 13l4-4 5 5",
  voice: "M12 4a2.5 2.5 0 0 1 2.5 2.5v5a2.5 2.5 0 0 1-5 0v-5A2.5 2.5 0 0 1 12 4zM6.5 11a5.5 5.5 0 0 0 11 0M12 16.5V20", document: "M6 3h8l4 4v14H6zM14 3v4h4",
  location: "M12 3a6 6 0 0 0-6 6c0 4.5 6 12 6 12s6-7.5 6-12a6 6 0 0 0-6-6zM12 9h.01", live: "M12 8a4 4 0 0 0-4 4c0 3 4 8 4 8s4-5 4-8a4 4 0 0 0-4-4zM5 8a8 8 0 0 1 14 0", venue: "M4 10l8-6 8 6v10H4zM10 20v-6h4v6",
  contact: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM5 20a7 7 0 0 1 14 0", sticker: "M4 4h16v9l-7 7H4zM20 13h-7v7M9 9h.01M14 9h.01", dice: "M5 5h14v14H5zM9 9h.01M15 15h.01M12 12h.01",
  large: "M4 6h16v12H4zM8 6v12M16 6v12M4 12h4M16 12h4", own: "M19.5 11.5l-7.6 7.6a4.6 4.6 0 0 1-6.5-6.5l8-8a3.1 3.1 0 0 1 4.4 4.4l-8 8a1.5 1.5 0 0 1-2.2-2.2l7.3-7.3",
};
const EMOJI = ["👍", "❤", "🔥", "🎉", "👎"];
const DOING = { typing: "typing…", upload_photo: "sending a photo…", upload_document: "sending a file…", upload_video: "sending a video…", record_voice: "recording a voice note…" };
let chats = [], about = null, opened = "";

const here = () => {
  const [id, topic] = chat.value.split("/").map(Number);
  return { chat: id, topic: topic || 0 };
};
const found = () => chats.find((one) => one.id === here().chat);
const place = () => ({ ...here(), who: Number(who.value) || 0 });
const act = (deed, more = {}) => post("sim/deeds", { deed, ...place(), ...more });
const nameOf = (user) => [user.first_name, user.last_name].filter(Boolean).join(" ");
const bytes = (size) => (size < 1000 ? `${size} bytes` : size < 1e6 ? `${Math.round(size / 1000)} kB` : `${(size / 1e6).toFixed(1)} MB`);

function icon(name, size = 20) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", width: size, height: size, "aria-hidden": "true", focusable: "false" })) svg.setAttribute(key, value);
  for (const [key, value] of Object.entries({ d: LINES[name], fill: "none", stroke: "currentColor", "stroke-width": 1.9, "stroke-linecap": "round", "stroke-linejoin": "round" })) path.setAttribute(key, value);
  svg.append(path);
  return svg;
}

// --- text ----------------------------------------------------------------------------------------------------

const TAGS = { bold: "b", italic: "i", underline: "u", strikethrough: "s", code: "code", pre: "pre", blockquote: "blockquote", expandable_blockquote: "blockquote" };
const BLOCKS = new Set(["pre", "blockquote", "expandable_blockquote"]);

function link(href, inside) {
  if (!/^(https?|mailto|tel|tg):/i.test(href)) return make("span", "", ...inside);
  const node = make("a", "", ...inside);
  Object.assign(node, { href, target: "_blank", rel: "noopener" });
  return node;
}

function plain(text) { // Telegram itself makes links of addresses
  return text.split(/(https?:\/\/[^\s<>"]*[^\s<>".,;:!?)])/).map((piece, n) => (n % 2 ? link(piece, [piece]) : piece));
}

function dressed(entity, text, inside) {
  const tag = TAGS[entity.type];
  if (tag) return make(tag, "", ...inside);
  if (entity.type === "text_link") return link(entity.url, inside);
  if (entity.type === "url") return link(/^\w+:/.test(text) ? text : `https://${text}`, [text]);
  if (entity.type === "email") return link(`mailto:${text}`, [text]);
  if (entity.type === "spoiler") {
    const node = make("span", "spoiler", ...inside);
    node.tabIndex = 0;
    return node;
  }
  return make("span", entity.type === "bot_command" ? "command" : "", ...inside);
}

// Offsets are UTF-16 code units, as those of our strings are.
function rich(text, entities = [], from = 0, to = text.length) {
  const nodes = [];
  let done = from;
  const between = (start, end, isAfterBlock, isBeforeBlock) => { // a block breaks the line by itself
    const piece = text.slice(start, end);
    return plain(isAfterBlock || isBeforeBlock ? piece.replace(isAfterBlock ? /^\n/ : "", "").replace(isBeforeBlock ? /\n$/ : "", "") : piece);
  };
  let isBlock = false;
  for (let n = 0; n < entities.length; n += 1) {
    const one = entities[n], end = one.offset + one.length;
    if (one.offset < done) continue; // lies in the one before
    const within = entities.slice(n + 1).filter((other) => other.offset >= one.offset && other.offset + other.length <= end);
    nodes.push(...between(done, one.offset, isBlock, BLOCKS.has(one.type)), dressed(one, text.slice(one.offset, end), one.type === "text_link" ? spread(text, within, one.offset, end) : rich(text, within, one.offset, end)));
    done = end;
    isBlock = BLOCKS.has(one.type);
  }
  return [...nodes, ...between(done, to, isBlock, false)];
}
const spread = (text, within, from, to) => (within.length ? rich(text, within, from, to) : [text.slice(from, to)]); // no link in a link

const words = (text, entities) => (text ? make("div", "words", ...rich(text, entities)) : null);

// --- what is not text ------------------------------------------------------------------------------------------

function picture(of, className, alt) {
  const node = make("img", className);
  Object.assign(node, { src: `sim/files/${encodeURIComponent(of.file_id)}`, alt, width: of.width || 64, height: of.height || 64 });
  node.style.height = "auto";
  return node;
}

function thing(sign, title, small) {
  return make("div", "thing", make("span", "disc", sign), make("div", "", make("b", "", title), make("small", "", small)));
}

function pin() {
  return make("div", "shown map", icon("location", 36));
}

function voice(of) {
  const play = make("button", "disc", "▶");
  play.type = "button";
  play.setAttribute("aria-label", "Play the voice note");
  play.addEventListener("click", () => new Audio(`sim/files/${encodeURIComponent(of.file_id)}`).play().catch(complain));
  const wave = make("div", "wave");
  for (let n = 0; n < 26; n += 1) {
    const bar = make("i");
    bar.style.height = `${4 + ((n * 7919 + of.file_size) % 17)}px`;
    wave.append(bar);
  }
  wave.setAttribute("aria-hidden", "true");
  return make("div", "thing", play, make("div", "", wave, make("small", "", `0:${String(of.duration).padStart(2, "0")}`)));
}

function content(said) {
  if (said.photo) return [picture(said.photo.at(-1), "shown", said.caption ? "Photo" : "Photo without words")];
  if (said.sticker) return [picture(said.sticker, "sticker", `Sticker ${said.sticker.emoji || ""}`)];
  if (said.dice) return [make("div", "dice", said.dice.emoji === "🎲" ? "⚀⚁⚂⚃⚄⚅"[said.dice.value - 1] : said.dice.emoji), make("span", "hidden", `shows ${said.dice.value}`)];
  if (said.voice) return [voice(said.voice)];
  if (said.venue) return [pin(), thing(icon("venue", 22), said.venue.title, said.venue.address)];
  if (said.location) return [pin(), make("small", "meta", `${said.location.live_period ? "Live: " : ""}${said.location.latitude.toFixed(5)}, ${said.location.longitude.toFixed(5)}`)];
  if (said.contact) return [thing(said.contact.first_name[0], nameOf(said.contact), said.contact.phone_number)];
  if (said.video || said.animation) {
    const of = said.video || said.animation, node = make("video", "shown");
    Object.assign(node, { src: `sim/files/${encodeURIComponent(of.file_id)}`, controls: true, preload: "metadata" });
    return [node];
  }
  const of = said.audio || said.document;
  if (!of) return [];
  const row = make("a", "thing", make("span", "disc", said.audio ? "♪" : "↓"), make("div", "", make("b", "", of.file_name || "file"), make("small", "", bytes(of.file_size || 0))));
  Object.assign(row, { href: `sim/files/${encodeURIComponent(of.file_id)}`, download: of.file_name || "file" });
  return [row];
}

function service(said) {
  if (said.forum_topic_created) return `The topic “${said.forum_topic_created.name}” was opened`;
  if (said.migrate_to_chat_id) return "This group was upgraded to a supergroup";
  if (said.migrate_from_chat_id) return "This supergroup was a group before";
  return "";
}

// --- a message -------------------------------------------------------------------------------------------------

const gist = (said) => said.text || said.caption || (said.photo ? "Photo" : said.voice ? "Voice note" : said.document ? said.document.file_name : said.venue ? said.venue.title : said.location ? (said.location.live_period ? "Live location" : "Location") : "Message");

function answered(said) {
  const of = said.reply_to_message;
  return of ? make("div", "answered", make("b", "", nameOf(of.from)), make("span", "", gist(of))) : null;
}

function keys(line) {
  const rows = line.message.reply_markup?.inline_keyboard;
  if (!rows || line.gone) return null;
  const draw = (button) => {
    if (button.url) {
      const node = link(button.url, [button.text]);
      node.className = "key";
      const out = make("span", "out", "↗");
      out.setAttribute("aria-hidden", "true");
      node.append(out);
      return node;
    }
    const waits = line.pressed.includes(button.callback_data);
    const node = make("button", "key" + (waits ? " waits" : ""), button.text);
    node.type = "button";
    node.dataset.keep = `key ${button.callback_data}`;
    if (waits) node.setAttribute("aria-busy", "true");
    node.addEventListener("click", () => act("press", { message: line.message.message_id, data: button.callback_data }).catch(complain));
    return node;
  };
  return make("div", "keys", ...rows.map((row) => make("div", "", ...row.map(draw))));
}

function tool(words, press, label) {
  const node = make("button", "", words);
  node.type = "button";
  node.dataset.keep = `tool ${words}`;
  if (label) node.setAttribute("aria-label", label);
  node.addEventListener("click", press);
  return node;
}

function tools(line) {
  const id = line.message.message_id;
  const close = () => {
    opened = "";
    talked.show(talked.get(line.id));
  };
  const answer = tool("Reply", () => begin("reply", line, close));
  const edit = line.mine && (line.message.text || line.message.caption) ? tool("Edit", () => begin("edit", line, close)) : null;
  const emoji = EMOJI.map((one) => {
    const isOn = line.chosen.includes(one);
    const node = tool(one, () => {
      opened = "";
      act("react", { message: id, emoji: isOn ? "" : one }).catch(complain);
    }, `React with ${one}`);
    node.setAttribute("aria-pressed", String(isOn));
    return node;
  });
  const change = (words, deed, more = {}) => tool(words, () => act(deed, { message: id, ...more }).catch(complain));
  const swap = line.mine && line.message.photo ? change("Swap photo", "swap") : null;
  const isLive = line.mine && line.message.location?.live_period;
  const live = isLive ? [change("Move on", "move"), change("Stop sharing", "move", { stop: true })] : [];
  return make("div", "tools", answer, edit, swap, ...live, ...emoji);
}

function more(line) {
  const node = make("button", "more", "⋯");
  node.type = "button";
  node.dataset.keep = "more";
  node.setAttribute("aria-label", `What can be done with: ${gist(line.message).slice(0, 40)}`);
  node.setAttribute("aria-expanded", String(opened === line.id));
  node.addEventListener("click", () => {
    const before = opened;
    opened = opened === line.id ? "" : line.id;
    for (const one of [before, line.id]) if (one && talked.get(one)) talked.show(talked.get(one));
  });
  return node;
}

function bubble(line) {
  const said = line.message;
  if (service(said)) return make("p", "service", service(said));
  const isBare = Boolean(said.sticker || said.dice);
  const wide = said.photo || said.location || said.video || said.animation ? " wide" : "";
  const meta = make("div", "meta", said.edit_date && !line.gone ? make("span", "", "edited") : null, make("time", "", clock(said.date)));
  const sender = line.mine && !said.media_group_id && found()?.type !== "private" ? make("div", "sender", nameOf(said.from)) : null;
  const inside = line.gone
    ? [make("div", "words", "This message was deleted")]
    : [sender, answered(said), ...content(said), words(said.text || said.caption, said.entities || said.caption_entities)];
  const marks = line.reactions.length ? make("div", "reactions", ...line.reactions.map((one) => make("span", "", one))) : null;
  const node = make(
    "article",
    `bubble${line.mine ? " mine" : ""}${line.gone ? " gone" : ""}${isBare ? " bare" : ""}${wide}`,
    make("div", "said", ...inside, marks, meta),
    line.gone ? null : more(line),
    keys(line),
    line.toast ? make("div", "toast", line.toast) : null,
    opened === line.id && !line.gone ? tools(line) : null,
    line.note ? make("div", "note", line.note) : null,
  );
  if (said.media_group_id) node.dataset.group = said.media_group_id;
  return node;
}

const talked = talk(bubble, (line) => line.chat === here().chat && (line.topic || 0) === here().topic);

function gather() { // the pictures of an album stand together
  for (const node of [...log.querySelectorAll(":scope > [data-group]")]) {
    if (node.classList.contains("album")) continue;
    let album = log.querySelector(`.album[data-group="${CSS.escape(node.dataset.group)}"]`);
    if (!album) {
      album = make("div", "album" + (node.classList.contains("mine") ? " mine" : ""));
      album.dataset.group = node.dataset.group;
      node.before(album);
    }
    album.append(node);
  }
}

// --- the composer ------------------------------------------------------------------------------------------------

function begin(what, line, close) {
  about = { what, line };
  const said = line.message;
  at("about-words").textContent = `${what === "edit" ? "Edit" : `Reply to ${nameOf(said.from)}`}: ${gist(said)}`;
  at("about").hidden = false;
  if (what === "edit") at("text").value = said.text || said.caption;
  close();
  look();
  at("text").focus();
}

function drop() {
  if (about?.what === "edit") at("text").value = "";
  about = null;
  at("about").hidden = true;
  look();
}

const look = composer(async (text) => {
  const message = about?.line.message.message_id;
  if (about?.what === "edit") await act("edit", { message, text });
  else await act("write", { message, text });
  about = null;
  at("about").hidden = true;
});
at("drop").addEventListener("click", () => {
  drop();
  at("text").focus();
});

function unfold(isOpen) {
  menu.hidden = !isOpen;
  attach.setAttribute("aria-expanded", String(isOpen));
  if (isOpen) menu.querySelector("button").focus();
}
attach.addEventListener("click", () => unfold(menu.hidden));
at("form").addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if (!menu.hidden) {
    unfold(false);
    attach.focus();
  } else if (about) drop();
});
document.addEventListener("click", (event) => {
  if (!menu.hidden && !event.target.closest(".attach")) unfold(false);
});
function marked(kind, button) {
  button.prepend(icon(kind));
  return button;
}
for (const [kind, title] of Object.entries(HAND)) {
  menu.append(marked(kind, tool(title, () => {
    unfold(false);
    const text = at("text"), caption = ["photo", "album", "document"].includes(kind) ? text.value.trim() : "";
    act("send", { kind, caption }).then(() => {
      if (caption) text.value = "";
      look();
    }).catch(complain);
    text.focus();
  })));
}
menu.append(marked("own", tool("A file of yours", () => {
  unfold(false);
  file.click();
})));
file.addEventListener("change", async () => {
  const [one] = file.files;
  file.value = "";
  if (!one) return;
  const query = new URLSearchParams({ ...place(), name: one.name });
  const answer = await fetch(`sim/files?${query}`, { method: "POST", headers: { "Content-Type": one.type || "application/octet-stream", "X-Simulator": "1" }, body: one });
  if (!answer.ok) complain(new Error(await answer.text()));
});

// --- chats -------------------------------------------------------------------------------------------------------

function line() {
  const one = found();
  if (!one) return "connecting…";
  if (one.doing) return DOING[one.doing] || "is busy…";
  return one.business ? "business" : one.type === "private" ? "bot" : `${one.people.length + 1} members`;
}

function introduce() {
  const one = found();
  if (!one) return;
  const topic = one.topics.find((each) => each.id === here().topic);
  at("title").textContent = one.type === "private" ? "Kopi Kita" : topic ? `${topic.name} · ${one.title}` : one.title;
  at("avatar").textContent = at("title").textContent[0];
  at("line").textContent = line();
  at("who-field").hidden = one.direct || one.people.length < 2;
  const before = who.value;
  who.replaceChildren(...one.people.map((each) => new Option(each.name, each.id)));
  if ([...who.options].some((option) => option.value === before)) who.value = before;
  const isShut = one.shut || Boolean(one.moved_to);
  at("form").hidden = isShut;
  at("shut").hidden = !isShut;
  at("unblock").hidden = Boolean(one.moved_to);
  at("unblock").textContent = one.type === "private" ? "Unblock" : "Take it in again";
  at("shut-words").textContent = one.moved_to ? "This group became a supergroup." : one.type === "private" ? "You have blocked this bot." : "The bot was thrown out.";
  deeds(one);
}

function deeds(one) {
  const all = [];
  const go = (deed, more) => () => act(deed, more).catch(complain);
  if (!one.shut && !one.moved_to && !one.business) all.push(tool(one.type === "private" ? "Block the bot" : "Throw the bot out", go("shut", { on: true })));
  if (one.type === "group" && !one.moved_to) {
    all.push(tool("Become a supergroup", () => act("migrate").then((told) => { chosen = `${told.chat}/0`; fill(); }).catch(complain)));
  }
  if (one.forum) {
    all.push(tool("Open a topic", () => act("topic", { name: `Topic ${one.topics.length + 1}` }).then((told) => { chosen = `${one.id}/${told.topic}`; fill(); }).catch(complain)));
  }
  const held = document.activeElement?.closest("#deeds") ? document.activeElement.dataset.keep : "";
  at("deeds").replaceChildren(...all);
  if (held) at("deeds").querySelector(`[data-keep="${CSS.escape(held)}"]`)?.focus();
}

let chosen = new URLSearchParams(location.search).get("chat") || "";

function fill() {
  const before = chosen || chat.value;
  const places = chats.flatMap((one) => [
    ...(one.direct ? [] : [[`${one.id}/0`, one.business ? `${one.title}, with the business` : one.type === "private" ? `${one.title}, with the bot` : one.title + (one.moved_to ? " (before)" : "")]]),
    ...one.topics.map((topic) => [`${one.id}/${topic.id}`, `${one.title}: ${topic.name}`]),
  ]);
  chat.replaceChildren(...places.map(([value, title]) => new Option(title, value)));
  const isThere = places.some(([value]) => value === before);
  if (isThere) chat.value = before;
  if (isThere && chosen) {
    chosen = "";
    move();
  } else introduce();
}

function move() {
  opened = "";
  drop();
  introduce();
  talked.redraw();
  gather();
}
chat.addEventListener("change", move);
at("unblock").addEventListener("click", () => act("shut", { on: false }).catch(complain));

live((told) => {
  if (told.chats) {
    chats = told.chats;
    fill();
  }
  if (told.messages) talked.all(told.messages);
  if (told.message) talked.show(told.message);
  gather();
}, line);
