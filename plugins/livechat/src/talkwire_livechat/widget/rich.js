// How rich content is drawn: the server's tree and blocks become elements, never markup.

const DEPTH = 24; // deeper trees are cut off; nobody reads a quote in a quote in …

function draw_spans(spans, depth = 0) {
  return depth > DEPTH ? [] : list(spans).map((span) => draw_span(obj(span), depth + 1));
}

function draw_span(span, depth) {
  const inner = () => draw_spans(span.spans, depth);
  switch (span.type) {
    case "bold":
      return make("strong", {}, inner());
    case "italic":
      return make("em", {}, inner());
    case "strike":
      return make("s", {}, inner());
    case "code":
      return make("code", {}, str(span.text));
    case "break":
      return make("br");
    case "link": {
      const url = safe_link(span.url);
      const text = list(span.spans).length ? inner() : [str(span.url)];
      return url ? link(url, {}, text) : make("span", {}, text);
    }
    default:
      return span.spans ? make("span", {}, inner()) : str(span.text);
  }
}

function draw_nodes(nodes, depth = 0) {
  return depth > DEPTH ? [] : list(nodes).map((node) => draw_node(obj(node), depth + 1));
}

function draw_node(node, depth) {
  switch (node.type) {
    case "heading":
      return make("div", { class: "heading", role: "heading", "aria-level": 3, dir: "auto" }, draw_spans(node.spans));
    case "quote":
      return make("blockquote", { dir: "auto" }, draw_nodes(node.nodes, depth));
    case "list": {
      const numbered = Number.isInteger(node.start);
      const items = list(node.items).map((item) => make("li", { dir: "auto" }, draw_nodes(item, depth)));
      return make(numbered ? "ol" : "ul", { start: numbered && node.start }, items);
    }
    case "code_block":
      return make("pre", { tabindex: 0, role: "region", "aria-label": say("code") }, make("code", {}, str(node.text)));
    case "table": {
      const [head, ...rows] = list(node.rows);
      const row = (cells, tag, scope) =>
        make("tr", {}, list(cells).map((cell) => make(tag, { scope, dir: "auto" }, draw_spans(cell))));
      const table = make("table", {}, make("thead", {}, row(head, "th", "col")), make("tbody", {}, rows.map((one) => row(one, "td"))));
      return make("div", { class: "wide", tabindex: 0, role: "region", "aria-label": say("table") }, table);
    }
    case "rule":
      return make("hr");
    default:
      if (node.nodes) return make("div", {}, draw_nodes(node.nodes, depth));
      return make("p", { dir: "auto" }, node.spans ? draw_spans(node.spans) : str(node.text));
  }
}

function draw_text(text) {
  return str(text) ? [make("p", { dir: "auto" }, str(text))] : [];
}

// One message's content. `acts` is what can be done with it: choose(option), fresh(attachment) → Promise of an address.
function draw_blocks(entry, acts) {
  const blocks = list(entry.blocks).map(obj);
  const known = blocks.filter((block) => Object.hasOwn(BLOCKS, str(block.type)));
  let drawn = [];
  try {
    drawn = known.map((block) => BLOCKS[block.type](block, acts)).flat();
  } catch (error) {
    console.warn("talkwire: a message could not be drawn", error);
  }
  const lost = known.length < blocks.length || !drawn.length;
  return lost ? draw_text(entry.text) : drawn;
}

const BLOCKS = {
  text: (block) => draw_nodes(block.nodes),
  media: (block, acts) => [draw_media(block, acts), ...draw_nodes(block.nodes)],
  buttons: (block, acts) => [...draw_nodes(block.nodes), draw_options(block.options, acts)],
  list: (block, acts) => [...draw_nodes(block.nodes), draw_list(block, acts)],
  card: (block, acts) =>
    make(
      "div",
      { class: "card" },
      block.image && draw_media(obj(block.image), acts),
      str(block.title) && make("div", { class: "heading", role: "heading", "aria-level": 3, dir: "auto" }, str(block.title)),
      draw_nodes(block.nodes),
      list(block.options).length > 0 && draw_options(block.options, acts),
    ),
  location: draw_location,
  form_link: (block) => draw_away(block.url, str(block.label) || str(block.url)),
  choice: (block) => draw_text(block.title),
  contact: (block) => [
    ...draw_text(block.name),
    ...list(block.phones).map((phone) => make("p", {}, draw_away("tel:" + str(phone).replace(/[^+\d]/g, ""), str(phone)))),
    ...list(block.emails).map((email) => make("p", {}, draw_away("mailto:" + str(email), str(email)))),
  ],
};

function draw_away(value, label) {
  const url = safe_link(value);
  return url ? link(url, { class: "option" }, make("span", {}, label), icon("out")) : make("p", {}, label);
}

function draw_location(block) {
  const [latitude, longitude] = [Number(block.latitude), Number(block.longitude)];
  const point = `${latitude},${longitude}`;
  const map = `https://www.openstreetmap.org/?mlat=${latitude}&mlon=${longitude}#map=16/${latitude}/${longitude}`;
  const lines = [str(block.name), str(block.address)].filter(Boolean);
  return [
    make("div", { class: "place" }, icon("pin"), make("div", {}, (lines.length ? lines : [point]).map((line) => draw_text(line)))),
    draw_away(map, say("map")),
  ];
}

function draw_options(options, acts) {
  const buttons = list(options).map((option) => draw_option(obj(option), acts));
  return make("div", { class: "options", role: "group" }, buttons);
}

function draw_option(option, acts) {
  const words = [make("span", { dir: "auto" }, str(option.title))];
  if (str(option.description)) words.push(make("small", { dir: "auto" }, str(option.description)));
  const text = make("span", { class: "words" }, words);
  if (option.url) return safe_link(option.url) ? link(safe_link(option.url), { class: "option" }, text, icon("out")) : text;
  const press = (event) => {
    if (event.currentTarget.getAttribute("aria-disabled") !== "true") acts.choose(option);
  };
  return make("button", { type: "button", class: "option", "data-option": str(option.id), click: press }, text);
}

function draw_list(block, acts) {
  const options = draw_options(block.options, acts);
  options.classList.add("rows");
  options.hidden = true;
  const toggle = make("button", { type: "button", class: "option toggle", "aria-expanded": "false" });
  toggle.append(make("span", { class: "words" }, str(block.button) || "…"), icon("down"));
  toggle.addEventListener("click", () => {
    options.hidden = !options.hidden;
    toggle.setAttribute("aria-expanded", String(!options.hidden));
  });
  return make("div", { class: "choices" }, toggle, options);
}

// Show what was chosen, and that the rest can be chosen no more; `chosen` undefined: all can.
function mark_options(node, chosen) {
  for (const button of node.querySelectorAll("button[data-option]")) {
    const is_it = button.dataset.option === chosen;
    button.setAttribute("aria-disabled", String(chosen !== undefined));
    button.classList.toggle("chosen", is_it);
    button.querySelectorAll(".mark").forEach((mark) => mark.remove());
    if (is_it) button.append(make("span", { class: "mark" }, icon("kept"), hidden_text(say("chosen"))));
  }
  for (const choices of node.querySelectorAll(".choices")) {
    const rows = choices.querySelector(".options");
    if (rows.querySelector(".chosen")) {
      rows.hidden = false;
      choices.querySelector(".toggle").hidden = true;
    } else choices.querySelector(".toggle").hidden = false;
  }
}

const PICTURES = /^image\/(png|jpeg|gif|webp|avif|bmp)$/;
const FRESH = 240 * SECOND; // links are signed for five minutes

function draw_media(block, acts) {
  const type = str(block.media_type);
  const name = file_name(block.name);
  let url = str(block.url) && safe_link(block.url, BASE);
  let until = Date.now() + FRESH;
  const renew = async () => {
    url = safe_link(await acts.fresh(str(block.attachment)), BASE);
    until = Date.now() + FRESH;
    return url;
  };
  const open = async (event) => {
    if (Date.now() < until) return;
    event.preventDefault();
    const anchor = event.currentTarget;
    if (await renew()) {
      anchor.href = url;
      anchor.click();
    }
  };
  if (!url || !/^http/.test(url)) return draw_tile(block, null, str(block.url) ? say("gone_file") : say("coming"));
  const tile = () => draw_tile(block, link(url, { class: "file", download: name, click: open }));
  if (!/^(image|audio|video)\//.test(type) || (type.startsWith("image/") && !PICTURES.test(type))) return tile();

  const tag = type.startsWith("image/") ? "img" : type.slice(0, 5);
  const media = tag === "img" ? make("img", { alt: name }) : make(tag, { controls: true, preload: "metadata", "aria-label": name });
  const whole = tag === "img" ? link(url, { class: "picture", click: open }, media) : media;
  let tries = 0;
  media.addEventListener("error", async () => {
    tries += 1;
    if (tries === 1 && (await renew())) {
      media.src = url;
      if (tag === "img") whole.href = url;
    } else whole.replaceWith(tile());
  });
  media.src = url;
  return whole;
}

function draw_tile(block, holder, note) {
  const size = Number(block.size) > 0 ? size_name(Number(block.size)) : "";
  const tile = holder || make("div", { class: "file" });
  const name = make("bdi", { class: "name" }, file_name(block.name));
  tile.append(icon("file"), make("span", { class: "words" }, name, make("small", {}, note || size)));
  return tile;
}
