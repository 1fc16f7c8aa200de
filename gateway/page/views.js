// Which of the views is shown, by the fragment of the address (page.css shows it), and what a person
// does in the view Room. It begins what a view needs when it is shown for the first time.
"use strict";

const roomsEndpoint = endpointOf(location.href, "connection/websocket");
let room = null; // a Room while one is in it, or on the way into it
let echoBegun = false;

function shownView() {
  return location.hash === "#room" ? "room" : "echo";
}

function showView() {
  const shown = shownView();
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${shown}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = shown === "room" ? "Room \u2013 Gateway" : "Gateway";
  if (shown === "echo" && !echoBegun) {
    echoBegun = true;
    connect();
  }
}

/** Where a person who has come to a view begins to type. */
function focusView() {
  const field = shownView() === "echo" ? "line" : room ? "words" : "name";
  element(field).focus();
}

function leaveRoom(refusal) {
  room.leave();
  room = null;
  showDoor(refusal);
  if (shownView() === "room") element(refusal ? "channel" : "name").focus();
}

element("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = asName(element("name").value);
  const channel = element("channel").value.trim();
  if (!name || !channel) { // blanks: they are shown as the nothing that they are
    if (!name) element("name").value = "";
    if (!channel) element("channel").value = "";
    element("enter").reportValidity();
    return;
  }
  const token = new URLSearchParams(location.search).get("token");
  showInside(channel, name);
  room = new Room({ endpoint: roomsEndpoint, token, channel, name, onOver: leaveRoom });
  room.enter();
  element("words").focus();
});

element("enter").addEventListener("input", () => {
  element("refusal").textContent = ""; // of what was there before
});

element("leave").addEventListener("click", () => leaveRoom(""));

element("say").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = element("words");
  const text = field.value;
  field.focus();
  if (text === "" || !room) return;
  field.value = "";
  const done = await room.say(text);
  if (!done && field.value === "") field.value = text; // it is not lost with the connection
});

window.addEventListener("online", () => room?.enter());
window.addEventListener("hashchange", () => {
  showView();
  focusView();
});

showView();
if (shownView() === "room") focusView();
