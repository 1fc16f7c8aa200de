// The conversation of the page with the server. Before it: rules.js, and view.js, which draws.
"use strict";

const TRACED_FACTS = ["connection", "held-by", "answered-by"];
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
  showPlaces(TRACED_FACTS, false);
  showNotice("Connected.");
}

function received(message) {
  takeForReply();
  const said = read(socket.protocol, message);
  if (said.connection) {
    showPlaces(TRACED_FACTS, true);
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
    showUnknown(["connection", "held-by"]);
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
showPlaces(TRACED_FACTS, subprotocol !== "");
showUnknown(TRACED_FACTS);
connect();
