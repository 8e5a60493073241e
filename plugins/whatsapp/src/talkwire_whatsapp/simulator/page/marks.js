// WhatsApp's own formatting, as its phones draw it: *bold* _italic_ ~strike~ `code` ```block```, "> quote", "- item", "1. item".
// Source: Meta, "How to format your messages", read 2026-11-20. Builds nodes, never markup.
import { make } from "./frame.js";

const TAGS = { "*": "b", _: "i", "~": "s", "`": "code" };
const isWord = (c) => c !== undefined && /[\p{L}\p{N}]/u.test(c);

export function drawn(text) {
  const body = make("div", "body");
  const pieces = text.split("```");
  if (pieces.length % 2 === 0) pieces.push(`${pieces.splice(-2, 1)}\`\`\`${pieces.pop()}`); // one mark is left open
  pieces.forEach((piece, n) => {
    if (n % 2) return body.append(make("pre", "", piece.replace(/^\n|\n$/g, "")));
    const lines = (n ? piece.replace(/^\n/, "") : piece).split("\n");
    if (n < pieces.length - 1 && lines.at(-1) === "") lines.pop();
    for (const line of lines) body.append(paragraph(line));
  });
  return body;
}

function paragraph(line) {
  if (line.startsWith("> ")) return make("p", "quote", ...inline(line.slice(2)));
  const item = /^(?:[-*] |(\d+)\. )(?=\S)/.exec(line);
  if (item) return make("p", "item", item[1] ? `${item[1]}. ` : "•  ", ...inline(line.slice(item[0].length)));
  return make("p", "", ...inline(line));
}

function inline(line) {
  const nodes = [];
  let plain = "";
  const flush = () => {
    if (plain) nodes.push(...linked(plain));
    plain = "";
  };
  for (let i = 0; i < line.length; i++) {
    const mark = line[i], end = TAGS[mark] && !isWord(line[i - 1]) ? closing(line, i) : -1;
    if (end < 0) {
      plain += mark;
      continue;
    }
    flush();
    const inside = line.slice(i + 1, end);
    nodes.push(make(TAGS[mark], "", ...(mark === "`" ? [inside] : inline(inside))));
    i = end;
  }
  flush();
  return nodes;
}

function closing(line, start) {
  if (line[start + 1] === undefined || /\s/.test(line[start + 1])) return -1;
  for (let i = start + 2; i < line.length; i++) {
    if (line[i] === line[start] && !/\s/.test(line[i - 1]) && !isWord(line[i + 1])) return i;
  }
  return -1;
}

function linked(plain) {
  return plain.split(/(https?:\/\/[^\s<>"]+[^\s<>".,;:!?)\]])/).map((piece, n) => {
    if (n % 2 === 0) return piece;
    const link = make("a", "", piece);
    link.href = piece;
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    return link;
  });
}
