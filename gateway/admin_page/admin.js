// The key, which view is shown, and the connection that keeps the numbers live.
"use strict";

const KEY = "gateway-admin-key"; // in the session's storage: gone with its window
const VIEWS = ["workers", "connections", "connection", "channels"];
const UNAUTHORIZED = 401;
const WRONG_KEY = 3500; // the close code of a key that is none
const REFUSED = "This key is not one of those that are allowed.";
const LIVE = {
  connecting: "Connecting",
  open: "Live",
  waiting: "Not live, reconnecting",
  closed: "Not live",
};

let opened = null; // what there is while a key is believed in

class Opened {
  constructor(key) {
    const api = new Api(key);
    // A worker that stands still keeps its sockets open: another one may know more.
    this.workers = new WorkersView(api, wentWrong, () => this.client.reconnect());
    this.connections = new ConnectionsView(api, wentWrong);
    this.connection = new ConnectionView(api, wentWrong);
    this.channels = new ChannelsView(api, wentWrong);
    this.client = new CentrifugeClient(endpointOf(location.href, "websocket"), {
      hello: { token: key, name: "admin page" },
      onState: (state, { code } = {}) => showLive(state, code),
    });
    this.client.subscribe(REPORTS, {
      onSubscribed: () => this.workers.listen(),
      onJoin() {},
      onLeave() {},
      onPublication: ({ data }) => this.workers.take(data),
      onEnded: () => showLive("closed"),
    });
  }

  begin() {
    this.workers.begin();
    this.client.connect();
  }

  end() {
    this.client.disconnect();
    this.workers.end();
    this.connection.end();
  }
}

function showLive(state, code) {
  const shown = element("live");
  setText(shown, LIVE[state]);
  shown.dataset.state = state;
  if (state === "closed" && code === WRONG_KEY) refuse(REFUSED);
}

/** A call went wrong, of which its view tells. A key that is not believed ends it all. */
function wentWrong(problem) {
  if (problem.status === UNAUTHORIZED) refuse(REFUSED);
}

function refuse(why) {
  if (!opened) return;
  forget();
  element("refusal").textContent = why;
  element("key").focus();
}

function forget() {
  sessionStorage.removeItem(KEY);
  opened?.end();
  opened = null;
  showView();
}

/** Believe in a key until an answer says otherwise. */
function unlock(key) {
  sessionStorage.setItem(KEY, key);
  element("refusal").textContent = "";
  opened = new Opened(key);
  opened.begin();
  showView();
}

function shownView() {
  if (document.querySelector('meta[name="gateway-keys"]').content === "none") return "no-keys";
  if (!opened) return "door";
  const { view } = placeOf(location.hash);
  return VIEWS.includes(view) ? view : "workers";
}

function showView() {
  element("confirm").close(); // it speaks of the connection that was shown
  const shown = shownView();
  for (const main of document.querySelectorAll("main")) main.hidden = main.id !== shown;
  const inside = VIEWS.includes(shown);
  for (const id of ["views", "standing"]) element(id).hidden = !inside;
  const current = shown === "connection" ? "connections" : shown;
  for (const it of document.querySelectorAll("nav a")) {
    if (it.hash === `#${current}`) it.setAttribute("aria-current", "page");
    else it.removeAttribute("aria-current");
  }
  const title = element(`${shown}-title`)?.textContent;
  document.title = title ? `${title} \u2013 Gateway admin` : "Gateway admin";
  if (!inside) return;
  const { query } = placeOf(location.hash);
  const of = (name) => query.get(name) ?? "";
  opened.connection.end();
  if (shown === "connections") {
    opened.connections.show(
      { worker: of("worker"), user: of("user"), address: of("address") },
      opened.workers.ids,
    );
  } else if (shown === "connection") opened.connection.show(of("id"));
  else if (shown === "channels") opened.channels.show(of("pattern"));
}

/** Where a person goes on who has come to a view. */
function focusView() {
  const shown = shownView();
  const place = shown === "door" ? "key" : `${shown}-title`;
  element(place).focus();
}

/** Go to a place, or do again what is there. */
function go(hash) {
  if (location.hash === hash) showView();
  else location.hash = hash;
}

element("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = element("key").value.trim();
  if (!key) return;
  element("key").value = "";
  unlock(key);
  focusView();
});

element("forget").addEventListener("click", () => {
  forget();
  focusView();
});

element("connection-filter").addEventListener("submit", (event) => {
  event.preventDefault();
  go(hashOf("connections", {
    worker: element("of-worker").value,
    user: element("of-user").value.trim(),
    address: element("of-address").value.trim(),
  }));
});

element("channel-filter").addEventListener("submit", (event) => {
  event.preventDefault();
  go(hashOf("channels", { pattern: element("pattern").value.trim() }));
});

element("more-connections").addEventListener("click", () => opened?.connections.more());
element("more-channels").addEventListener("click", () => opened?.channels.more());

element("send").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = element("text");
  if (await opened.connection.send(field.value)) field.value = "";
});

element("close").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = element("connection-id").textContent;
  element("confirm-what").textContent =
    `${id} is closed with ${element("code").value} ${element("reason").value}.`;
  element("confirm").showModal();
});

element("confirm-no").addEventListener("click", () => element("confirm").close());

element("confirm-yes").addEventListener("click", () => {
  element("confirm").close();
  opened?.connection.close(element("code").value.trim(), element("reason").value);
});

window.addEventListener("online", () => opened?.client.connect());
window.addEventListener("hashchange", () => {
  showView();
  focusView();
});

const kept = sessionStorage.getItem(KEY);
if (kept && shownView() !== "no-keys") unlock(kept);
else showView();
if (shownView() === "door") focusView();
