// The page to try the gateway with. Three parts: rules, which know neither the document nor the
// socket; the view, which draws; and the conversation with the server, at the end.
"use strict";

// Rules

const TRACED = "gateway.trace.v1";
const GOODBYE = "Bye!!!"; // the last text of a server that closes, on connections without trace
const NOT_SHOWN = "not shown by this server";
const MOST_ROWS = 200;
const MOST_ROUND_TRIPS = 100;
const COLOURS = 6; // .worker-0 to .worker-5 of page.css
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
  3005: "its time was over",
  3008: "this page read too slowly",
  3013: "too many lines a second",
  3503: "somebody has closed it",
};

/** The address of the WebSocket endpoint beside the page: under the same prefix, wss on https. */
function endpointOf(address) {
  const url = new URL("communicate", address);
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

function milliseconds(value) {
  return value < 100 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}

function counted(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

// View

const STATES = {
  connecting: { says: "Connecting", button: "Connecting" },
  open: { says: "Connected", button: "Disconnect" },
  waiting: { says: "Reconnecting", button: "Connect now" },
  retrying: { says: "Reconnecting", button: "Connect now" },
  closing: { says: "Disconnecting", button: "Disconnect" },
  closed: { says: "Disconnected", button: "Connect again" },
};

const element = (id) => document.getElementById(id);
const log = element("log");
const line = element("line");
const colours = new Map(); // worker -> number of its colour, the latest workers only
let state = "closed";

function showState(next, detail = "") {
  state = next;
  const { says, button } = STATES[next];
  const shown = element("state");
  if (shown.textContent !== says) shown.textContent = says; // it is read out when it is set
  shown.dataset.state = next;
  element("detail").textContent = detail;
  element("switch").textContent = button;
}

/** A worker's id, in a colour of its own that other windows most likely give it too. */
function workerChip(worker) {
  if (!colours.has(worker)) {
    if (colours.size === COLOURS) colours.delete(colours.keys().next().value);
    const taken = new Set(colours.values());
    let colour = [...worker].reduce((sum, letter) => sum + letter.charCodeAt(0), 0) % COLOURS;
    while (taken.has(colour)) colour = (colour + 1) % COLOURS;
    colours.set(worker, colour);
  }
  return span(worker, `worker worker-${colours.get(worker)}`);
}

function span(text, className = "") {
  const made = document.createElement("span");
  made.className = className;
  made.textContent = text;
  return made;
}

function showFact(id, ...content) {
  element(id).replaceChildren(...content);
}

/** Add a row at the end, and follow it unless the reader has scrolled back to older ones. */
function addRow(kind, spoken, content, ...meta) {
  const following = log.scrollHeight - log.scrollTop - log.clientHeight < 16;
  const row = element("row").content.firstElementChild.cloneNode(true);
  row.className = kind;
  row.querySelector(".unseen").textContent = `${spoken} `;
  row.querySelector(".text").append(...[content].flat());
  row.querySelector(".meta").replaceChildren(...meta);
  const lines = element("lines");
  lines.append(row);
  while (lines.children.length > MOST_ROWS) lines.firstElementChild.remove();
  if (following || kind === "sent") log.scrollTop = log.scrollHeight;
  return row;
}

/** Say of a connection's facts that they are not known: yet, or ever. */
function showUnknown(ids, traced) {
  for (const id of ids) showFact(id, span(traced ? "\u2013" : NOT_SHOWN, "aside"));
}

function showNotice(...content) {
  return addRow("notice", "Note:", content);
}

// Conversation

const endpoint = endpointOf(location.href);
const roundTrips = [];
let subprotocol = document.querySelector("meta[name=gateway-subprotocol]").content;
let socket = null;
let unanswered = []; // {row, sentAt}, oldest first: answers come in the order of the lines
let goodbye = null; // a text that is the server's goodbye if its close follows
let failures = 0; // connections in a row that did not last
let toldOfRefusal = false;
let retry = { timer: 0, clock: 0 };
let seconds = 0;

function connect() {
  clearTimeout(retry.timer);
  clearInterval(retry.clock);
  const ours = new WebSocket(endpoint, subprotocol ? [subprotocol] : []);
  let openedAt = null;
  const end = (closed) => {
    clearTimeout(deadline);
    if (socket === ours) ended(closed, openedAt === null ? null : performance.now() - openedAt);
  };
  const deadline = setTimeout(() => {
    ours.close();
    end(LOST);
  }, OPEN_WITHIN_MS);
  ours.onopen = () => {
    clearTimeout(deadline);
    openedAt = performance.now();
    if (socket === ours) opened();
  };
  ours.onmessage = (event) => socket === ours && received(event.data);
  ours.onclose = end;
  socket = ours;
  if (state === "waiting") showState("retrying", `attempt ${failures + 1}`);
  else showState("connecting");
}

function opened() {
  showState("open");
  if (socket.protocol === TRACED) return; // the greeting says more
  showUnknown(["connection", "held-by", "answered-by"], false);
  showNotice("Connected.");
}

function received(message) {
  takeForReply();
  const said = read(socket.protocol, message);
  if (said.connection) {
    showFact("connection", said.connection);
    showFact("held-by", workerChip(said.worker));
    showNotice("Connected to worker ", workerChip(said.worker));
  } else if (said.push !== undefined) {
    pushed(said.push);
  } else if (socket.protocol !== TRACED && message === GOODBYE) {
    goodbye = { said, at: performance.now(), timer: setTimeout(takeForReply, GOODBYE_WITHIN_MS) };
  } else {
    answered(said, performance.now());
  }
}

/** No close followed: what looked like a goodbye was a line's answer. */
function takeForReply() {
  if (!goodbye) return;
  const { said, at, timer } = goodbye;
  clearTimeout(timer);
  goodbye = null;
  answered(said, at);
}

/** Sent by somebody out of turn: no line of ours has its answer by it. */
function pushed(text) {
  addRow("push", "Pushed:", text, span("pushed"));
}

function answered(said, at) {
  const asked = unanswered.shift(); // undefined: without trace, all that tells a push from an answer
  const meta = [];
  if (said.attempt > 1) meta.push(span(`attempt ${said.attempt}`));
  if (said.handledBy) {
    meta.push(workerChip(said.handledBy));
    showFact("answered-by", workerChip(said.handledBy));
  }
  if (asked) {
    asked.row.querySelector(".meta").textContent = "";
    meta.push(span(milliseconds(at - asked.sentAt), "time"));
    showRoundTrip(at - asked.sentAt);
  }
  if (said.error) addRow("error", "Error:", said.error, ...meta);
  else if (asked) addRow("reply", "Answer:", said.text, ...meta);
  else pushed(said.text);
}

function showRoundTrip(took) {
  roundTrips.push(took);
  if (roundTrips.length > MOST_ROUND_TRIPS) roundTrips.shift();
  const usual = span(`median ${milliseconds(median(roundTrips))}`, "aside");
  showFact("round-trip", milliseconds(took), usual);
}

/** The connection is over. ``lastedMs`` is null if it never opened. */
function ended(closed, lastedMs) {
  const byUs = state === "closing";
  socket = null;
  farewell(closed, byUs);
  const lost = unanswered;
  unanswered = [];
  for (const { row } of lost) {
    row.classList.add("lost");
    row.querySelector(".meta").textContent = "no answer";
  }
  const without = lost.length ? ` ${counted(lost.length, "line")} without an answer.` : "";
  const why = inWords(closed.code, closed.reason);
  if (lastedMs !== null) {
    showUnknown(["connection", "held-by"], subprotocol);
    const row = showNotice(`${byUs ? "You disconnected" : "Connection ended"}: ${why}.${without}`);
    row.classList.toggle("bad", !byUs);
  }
  if (byUs) {
    showState("closed");
  } else if (!mayReconnect(closed.code)) {
    showNotice("The server asked not to come back: this page will not connect again by itself.");
    showState("closed", "as the server asked");
  } else {
    const refused = lastedMs === null;
    if (refused && !toldOfRefusal) showNotice(`No connection to ${endpoint}, trying again.`);
    toldOfRefusal = refused;
    failures = failuresAfter(failures, lastedMs);
    reconnectLater(refused);
  }
}

/** A goodbye counts as one only if the server's own close came right behind it. */
function farewell(closed, byUs) {
  if (!goodbye || byUs || !closed.wasClean) {
    takeForReply();
    return;
  }
  clearTimeout(goodbye.timer);
  goodbye = null;
  showNotice(`The server says goodbye: ${GOODBYE}`);
}

function reconnectLater(refused) {
  const delayMs = reconnectDelayMs(failures);
  const due = performance.now() + delayMs;
  const show = () => {
    const leftS = Math.max(0, Math.ceil((due - performance.now()) / 1000));
    showState("waiting", `attempt ${failures + 1} in ${leftS} s`);
  };
  show();
  retry = {
    timer: setTimeout(async () => {
      if (refused) await askForSubprotocol();
      if (state === "waiting") connect();
    }, delayMs),
    clock: setInterval(show, 250),
  };
}

/** A handshake failed, and a browser does not say why: perhaps tracing was switched meanwhile. */
async function askForSubprotocol() {
  try {
    const signal = AbortSignal.timeout(OPEN_WITHIN_MS);
    const answer = await fetch(location.href, { cache: "no-store", signal });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    subprotocol = page.querySelector("meta[name=gateway-subprotocol]")?.content ?? subprotocol;
  } catch {
    // The server is away: what it offered last is the best guess.
  }
}

function send(text) {
  if (state !== "open") {
    showNotice("Not connected: the line was not sent.");
    return false;
  }
  const row = addRow("sent", "Sent:", text, span("waiting", "late"));
  unanswered.push({ row, sentAt: performance.now() });
  socket.send(text);
  return true;
}

// What the person at the page does

element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (line.value !== "" && send(line.value)) line.value = "";
  line.focus();
});

element("every-second").addEventListener("change", (event) => {
  clearInterval(seconds);
  if (!event.target.checked) return;
  let number = 0;
  seconds = setInterval(() => state === "open" && send(`line ${(number += 1)}`), 1000);
});

element("switch").addEventListener("click", () => {
  if (state === "waiting" || state === "closed") {
    connect();
  } else if (state === "open") {
    const ours = socket;
    showState("closing");
    ours.close(1000, "bye");
    setTimeout(() => socket === ours && ended(LOST, 0), CLOSE_WITHIN_MS);
  }
});

element("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(endpoint); // browsers have it on https and localhost only
    element("copy").textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(element("endpoint"));
    element("copy").textContent = "Selected";
  }
  setTimeout(() => (element("copy").textContent = "Copy"), 2000);
});

window.addEventListener("online", () => state === "waiting" && connect());

element("endpoint").textContent = endpoint;
showUnknown(["connection", "held-by", "answered-by"], subprotocol);
connect();
