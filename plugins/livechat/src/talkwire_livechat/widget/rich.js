// How rich content is drawn: the server's tree and blocks become elements, never markup.

const DEPTH = 24; // deeper trees are cut off; nobody reads a quote in a quote in …
const MARKS = { bold: "strong", italic: "em", strike: "s", quote: "blockquote", paragraph: "p" };

const draw_tree = (items, depth = 0) => (depth > DEPTH ? [] : list(items).map((item) => draw_item(obj(item), depth + 1)));

function draw_item(item, depth) {
  const inner = () => draw_tree(item.spans || item.nodes, depth);
  const { type } = item;
  switch (type) {
    case "code":
      return make("code", {}, str(item.text));
    case "break":
      return make("br");
    case "rule":
      return make("hr");
    case "link": {
      const url = safe_link(item.url);
      const text = list(item.spans).length ? inner() : str(item.url);
      return url ? link(url, {}, text) : make("span", {}, text);
    }
    case "heading":
      return heading(inner());
    case "list": {
      const numbered = Number.isInteger(item.start);
      const items = list(item.items).map((one) => make("li", { dir: "auto" }, draw_tree(one, depth)));
      return make(numbered ? "ol" : "ul", { start: numbered && item.start }, items);
    }
    case "code_block":
      return make("pre", { tabindex: 0 }, str(item.text));
    case "table": {
      const cells = (row, tag) => list(row).map((cell) => make(tag, { dir: "auto" }, draw_tree(cell, depth)));
      const rows = list(item.rows).map((row, place) => make("tr", {}, cells(row, place ? "td" : "th")));
      return make("div", { class: "scroll", tabindex: 0 }, make("table", {}, rows));
    }
    default:
      if (Object.hasOwn(MARKS, str(type))) return make(MARKS[type], { dir: /^[pq]/.test(type) && "auto" }, inner());
      return item.spans || item.nodes ? make("div", {}, inner()) : str(item.text);
  }
}

const heading = (...text) => make("div", { class: "heading", role: "heading", "aria-level": 3, dir: "auto" }, ...text);

const draw_text = (text) => (str(text) ? [make("p", { dir: "auto" }, str(text))] : []);

// One message's content. `acts` is what can be done with it: choose(option), fresh(attachment) → Promise of an address.
function draw_blocks(entry, acts) {
  let drawn = [];
  let lost = false;
  for (const block of list(entry.blocks).map(obj)) {
    try {
      drawn = drawn.concat(BLOCKS[str(block.type)](block, acts));
    } catch {
      lost = true; // a type that is newer than this page
    }
  }
  return lost || !drawn.length ? draw_text(entry.text) : drawn;
}

const BLOCKS = {
  __proto__: null,
  text: (block) => draw_tree(block.nodes),
  media: (block, acts) => [draw_media(block, acts), ...draw_tree(block.nodes)],
  buttons: (block, acts) => [...draw_tree(block.nodes), draw_options(block.options, acts)],
  list: (block, acts) => [...draw_tree(block.nodes), draw_list(block, acts)],
  card: (block, acts) => [
    make(
      "div",
      { class: "card" },
      block.image && draw_media(obj(block.image), acts),
      heading(str(block.title)),
      draw_tree(block.nodes),
      draw_options(block.options, acts),
    ),
  ],
  location(block) {
    const [latitude, longitude] = [Number(block.latitude), Number(block.longitude)];
    const map = `https://www.openstreetmap.org/?mlat=${latitude}&mlon=${longitude}`;
    const words = [block.name, block.address].map(draw_text).flat();
    return [make("div", { class: "place" }, icon("pin"), make("div", {}, words)), draw_away(map, say("map"))];
  },
  "form_link": (block) => [draw_away(block.url, str(block.label) || str(block.url))],
  choice: (block) => draw_text(block.title),
  contact: (block) => [
    ...draw_text(block.name),
    ...list(block.phones).map((phone) => draw_away(`tel:${str(phone)}`, str(phone))),
    ...list(block.emails).map((email) => draw_away(`mailto:${str(email)}`, str(email))),
  ],
};

function draw_away(value, label) {
  const url = safe_link(value);
  return url ? link(url, { class: "option" }, make("span", { class: "words" }, label), icon("out")) : make("p", {}, label);
}

const draw_options = (options, acts) =>
  make("div", { class: "options", role: "group" }, list(options).map((option) => draw_option(obj(option), acts)));

function draw_option(option, acts) {
  const title = make("span", { dir: "auto" }, str(option.title));
  const more = str(option.description) && make("small", { dir: "auto" }, str(option.description));
  if (option.url) return draw_away(option.url, [title, more]);
  const press = () => node.getAttribute("aria-disabled") === "true" || acts.choose(option);
  const node = button("option", press, make("span", { class: "words" }, title, more));
  node.dataset.option = str(option.id);
  return node;
}

function draw_list(block, acts) {
  const options = draw_options(block.options, acts);
  const open = (is_open) => {
    options.hidden = !is_open;
    toggle.setAttribute("aria-expanded", is_open);
  };
  const toggle = button("option toggle", () => open(options.hidden), make("span", { class: "words" }, str(block.button) || "…"), icon("down"));
  open(false);
  return make("div", { class: "choices" }, toggle, options);
}

// Show what was chosen, and that the rest can be chosen no more; `chosen` undefined: all can.
function mark_options(node, chosen) {
  const is_over = chosen !== undefined;
  for (const option of node.querySelectorAll("[data-option]")) {
    const is_it = option.dataset.option === chosen;
    option.setAttribute("aria-disabled", is_over);
    if (is_it === option.classList.contains("chosen")) continue;
    option.classList.toggle("chosen", is_it);
    if (is_it) option.append(make("span", { class: "mark" }, icon("kept"), hidden_text(say("chosen"))));
    else option.lastChild.remove();
  }
  for (const toggle of node.querySelectorAll(".toggle")) {
    if (is_over) toggle.nextSibling.hidden = false;
    toggle.hidden = is_over;
  }
}

const FRESH = 240 * SECOND; // links are signed for five minutes

function draw_media(block, acts) {
  const name = file_name(block.name);
  const kind = /^(image|audio|video)\/(?!svg)/.exec(str(block.media_type));
  let url = str(block.url) && safe_link(block.url, BASE);
  let until = Date.now() + FRESH;
  if (!url.startsWith("http")) return draw_tile(block, make("div", { class: "file" }), say("coming"));

  const renew = async (node, attribute) => {
    url = safe_link(await acts.fresh(str(block.attachment)), BASE);
    until = Date.now() + FRESH;
    if (url) node[attribute] = url;
    return url;
  };
  const click = async (event) => {
    if (Date.now() < until) return;
    event.preventDefault();
    if (await renew(anchor, "href")) anchor.click();
  };
  const anchor = link(url, { class: kind ? "picture" : "file", download: name, click });
  if (!kind) return draw_tile(block, anchor);

  const is_image = kind[1] === "image";
  const media = make(is_image ? "img" : kind[1], is_image ? { alt: name } : { controls: true, preload: "metadata", "aria-label": name });
  const whole = is_image ? anchor : media;
  if (is_image) anchor.append(media);
  let tries = 0;
  media.addEventListener("error", async () => {
    tries += 1;
    if (tries === 1 && (await renew(media, "src"))) return void (anchor.href = url);
    anchor.className = "file";
    anchor.replaceChildren();
    whole.replaceWith(draw_tile(block, anchor));
  });
  media.src = url;
  return whole;
}

function draw_tile(block, tile, note) {
  const size = Number(block.size) > 0 && size_name(Number(block.size));
  const name = make("bdi", { class: "name" }, file_name(block.name));
  tile.append(icon("file"), make("span", { class: "words" }, name, make("small", {}, note || size)));
  return tile;
}
