// The lines of the window: what was sent, what came, and which answer is to which line. They know
// the view, and nothing of the socket that carries them.
"use strict";

const TRACED_FACTS = ["connection", "held-by", "answered-by"];
const roundTrips = [];
let unanswered = []; // {row, sentAt}, oldest first: answers come in the order of the lines
let goodbye = null; // a text that is the server's goodbye if its close follows

/** A line of ours is on its way. */
function asked(text) {
  const row = addRow("sent", "Sent:", text, span("waiting", "late"));
  unanswered.push({ row, sentAt: performance.now() });
}

/** One message of the server, on a connection that speaks this subprotocol. */
function received(subprotocol, message) {
  takeForReply();
  const said = read(subprotocol, message);
  if (said.connection) {
    showPlaces(TRACED_FACTS, true);
    showFact("connection", said.connection);
    showFact("held-by", workerChip(said.worker));
    showNotice("Connected to worker ", workerChip(said.worker));
  } else if (said.push !== undefined) {
    pushed(said.push);
  } else if (subprotocol !== TRACED && message === GOODBYE) {
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
  const ours = unanswered.shift(); // undefined: without trace, all that tells a push from an answer
  const meta = [];
  if (said.attempt > 1) meta.push(span(`attempt ${said.attempt}`));
  if (said.handledBy) {
    meta.push(workerChip(said.handledBy));
    showFact("answered-by", workerChip(said.handledBy));
  }
  if (ours) {
    ours.row.querySelector(".meta").textContent = "";
    meta.push(span(milliseconds(at - ours.sentAt), "time"));
    showRoundTrip(at - ours.sentAt);
  }
  if (said.error) addRow("error", "Error:", said.error, ...meta);
  else if (ours) addRow("reply", "Answer:", said.text, ...meta);
  else pushed(said.text);
}

function showRoundTrip(took) {
  roundTrips.push(took);
  if (roundTrips.length > MOST_ROUND_TRIPS) roundTrips.shift();
  const usual = span(`median ${milliseconds(median(roundTrips))}`, "aside");
  showFact("round-trip", milliseconds(took), usual);
}

/** No answer comes any more. Returns how many lines are without one. */
function giveUpUnanswered() {
  const without = unanswered;
  unanswered = [];
  for (const { row } of without) {
    row.classList.add("lost");
    row.querySelector(".meta").textContent = "no answer";
  }
  return without.length;
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
