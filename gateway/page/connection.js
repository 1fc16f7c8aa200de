// The connection of the page: it is opened, it ends, and it is opened again. What it carries is told
// to lines.js.
"use strict";

const endpoint = endpointOf(location.href);
let subprotocol = document.querySelector("meta[name=gateway-subprotocol]").content;
let socket = null;
let failures = 0; // connections in a row that did not last
let toldOfRefusal = false;
let retry = { timer: 0, clock: 0 };

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
  ours.onmessage = (event) => socket === ours && received(ours.protocol, event.data);
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

/** Send a line, if there is a connection. Returns whether it was sent. */
function send(text) {
  if (state !== "open") {
    showNotice("Not connected: the line was not sent.");
    return false;
  }
  asked(text);
  socket.send(text);
  return true;
}

/** Close it on purpose; the network may be dead, and then nobody answers. */
function disconnect() {
  const ours = socket;
  showState("closing");
  ours.close(1000, "bye");
  setTimeout(() => socket === ours && ended(LOST, 0), CLOSE_WITHIN_MS);
}

/** The connection is over. ``lastedMs`` is null if it never opened. */
function ended(closed, lastedMs) {
  const byUs = state === "closing";
  socket = null;
  farewell(closed, byUs);
  const many = giveUpUnanswered();
  const without = many ? ` ${counted(many, "line")} without an answer.` : "";
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
