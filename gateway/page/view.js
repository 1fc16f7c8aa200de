// What the page draws. It knows the document, and nothing of the socket.
"use strict";

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
const numbers = new Map(); // worker -> number of its looks, the latest workers only
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

/** A worker's id, in a colour and with a mark of its own, most likely those of other windows too. */
function workerChip(worker) {
  if (!numbers.has(worker)) {
    if (numbers.size === COLOURS * MARKS.length) numbers.delete(numbers.keys().next().value);
    numbers.set(worker, numberOf(worker, new Set(numbers.values())));
  }
  const { colour, mark } = looksOf(numbers.get(worker));
  const chip = span(worker, `worker worker-${colour}`);
  chip.dataset.mark = mark; // drawn by page.css, so that a copied id is nothing but the id
  return chip;
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

function addRow(kind, spoken, content, ...meta) {
  return addRowTo(log, kind, spoken, content, ...meta);
}

/** Add a row at a log's end, and follow it unless the reader has scrolled back to older ones. */
function addRowTo(log, kind, spoken, content, ...meta) {
  const following = log.scrollHeight - log.scrollTop - log.clientHeight < 16;
  const row = element("row").content.firstElementChild.cloneNode(true);
  row.className = kind;
  row.querySelector(".unseen").textContent = `${spoken} `;
  row.querySelector(".text").append(...[content].flat());
  row.querySelector(".meta").replaceChildren(...meta);
  const lines = log.querySelector("ol");
  lines.append(row);
  while (lines.children.length > MOST_ROWS) lines.firstElementChild.remove();
  if (following || kind === "sent" || kind === "said own") log.scrollTop = log.scrollHeight;
  return row;
}

/** Whether this server tells these facts of a connection: what it never tells has no place. */
function showPlaces(ids, told) {
  for (const id of ids) element(id).parentElement.hidden = !told;
}

/** Say of a connection's facts that they are not known yet. */
function showUnknown(ids) {
  for (const id of ids) showFact(id, span("\u2013", "aside"));
}

function showNotice(...content) {
  return addRow("notice", "Note:", content);
}
