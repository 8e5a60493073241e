// Where we come from: the settings that the server wrote in, and the address it served us at.

const SETTINGS = null;
const SCRIPT = document.currentScript;
const FROM = /^(.*)\/c\/([^/?#]+)\/widget\.js/.exec((SCRIPT && SCRIPT.src) || "") || ["", location.origin, "site"];
const BASE = FROM[1];
const ACCOUNT = FROM[2];
const PROTOCOL = 1;

const SECOND = 1000; // milliseconds
const TEXT_LIMIT = 4000; // characters in one message; the server counts code points too
const FILES_LIMIT = 10; // files in one message

const settings = SETTINGS || {};

// What comes from outside may be anything; these three make of it what we can use.
const str = (value) => (typeof value === "string" ? value : Number.isFinite(value) ? String(value) : "");
const list = (value) => (Array.isArray(value) ? value : []);
const obj = (value) => (value && typeof value === "object" && !Array.isArray(value) ? value : {});

// `crypto.randomUUID` is missing where the host page is plain http.
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 15) | 64;
  bytes[8] = (bytes[8] & 63) | 128;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
