// The rules of the page to try the gateway with: they know neither the document nor the socket.
"use strict";

const TRACED = "gateway.trace.v1";
const GOODBYE = "Bye!!!"; // the last text of a server that closes, on connections without trace
const MOST_ROWS = 200;
const MOST_ROUND_TRIPS = 100;
const COLOURS = 6; // .worker-0 to .worker-5 of page.css
const MARKS = ["\u25cf", "\u25b2", "\u25a0", "\u25c6", "\u2605", "\u271a"]; // for those who see no colours
const OPEN_WITHIN_MS = 10_000;
const CLOSE_WITHIN_MS = 3_000;
const GOODBYE_WITHIN_MS = 1_000; // between a server's goodbye and its close
const LASTED_MS = 5_000;

const LOST = { code: 1006, reason: "", wasClean: false }; // as a browser says it of a dead network

const CLOSE_CODES = {
  1000: "closed on purpose",
  1001: "the server goes away",
  1002: "protocol error",
  1003: "the server takes text only",
  1005: "closed without a code",
  1006: "its worker or the network went away",
  1007: "text that is not UTF-8",
  1008: "against the server's rules",
  1009: "the line was too long for this server",
  1011: "the server failed at a line",
  1012: "the server restarts",
  1013: "the server is busy",
  3001: "its worker is leaving",
  3004: "the server has lost its broker",
  3005: "its time was over",
  3008: "this page read too slowly",
  3012: "this page was silent for too long",
  3013: "too many lines a second",
  3500: "its token is not valid",
  3501: "the server takes this page for a broken client",
  3503: "somebody has closed it",
};

/**
 * The address of a WebSocket endpoint beside the page: under the same prefix, wss on https, and
 * with the page's query, in which a token may be.
 */
function endpointOf(address, path = "communicate") {
  const url = new URL(path, address);
  url.search = new URL(address).search;
  url.protocol = url.protocol.replace("http", "ws");
  return url.href;
}

/** Milliseconds to wait before attempt 0, 1, 2, ... to connect again. */
function reconnectDelayMs(attempt, random = Math.random) {
  // Full jitter, not a fixed delay: when a worker dies all its clients get here in the same
  // second, and a fixed delay only moves the stampede.
  return random() * Math.min(30_000, 500 * 2 ** attempt);
}

/** How many connections in a row did not last, after one that lasted so long; null: not opened. */
function failuresAfter(failures, lastedMs) {
  return lastedMs >= LASTED_MS ? 0 : failures + 1;
}

/** Whether a client may come back after this close code. */
function mayReconnect(code) {
  return !((code >= 3500 && code <= 3999) || (code >= 4500 && code <= 4999));
}

/** A close code and reason as a person would say it, with the code for those who look it up. */
function inWords(code, reason) {
  const otherwise = mayReconnect(code) ? "closed by the server" : "refused by the server";
  const meaning = CLOSE_CODES[code] ?? otherwise;
  return `${meaning} (${code}${reason ? ` ${reason}` : ""})`;
}

/** What one message of the server says: {connection, worker}, {text, ...}, {push} or {error}. */
function read(subprotocol, message) {
  if (subprotocol !== TRACED) return { text: message };
  try {
    const said = JSON.parse(message);
    if ([said.connection, said.push, said.error].some((it) => typeof it === "string")) return said;
    if (typeof said.text === "string") {
      return { text: said.text, handledBy: said.handled_by, attempt: said.attempt };
    }
  } catch {
    // Not JSON after all: shown as it is.
  }
  return { text: message };
}

/**
 * How the worker with this number looks: a colour and a mark. The first COLOURS have a colour of
 * their own each, and no two of the first COLOURS * MARKS.length have both in common.
 */
function looksOf(number) {
  const colour = number % COLOURS;
  return { colour, mark: MARKS[(colour + Math.floor(number / COLOURS)) % MARKS.length] };
}

/** The number of a worker's looks: most likely the same in other windows, and none that is taken. */
function numberOf(worker, taken) {
  const begin = [...worker].reduce((sum, letter) => sum + letter.charCodeAt(0), 0) % COLOURS;
  for (let step = 0; step < COLOURS * MARKS.length; step += 1) {
    const number = ((begin + step) % COLOURS) + Math.floor(step / COLOURS) * COLOURS;
    if (!taken.has(number)) return number;
  }
  return begin;
}

function milliseconds(value) {
  return value < 100 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}

function counted(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}
