// What the view Room draws. It knows the document, and nothing of the connection.
"use strict";

const MOST_PEOPLE = 100; // shown by name
const ROOM_STATES = {
  out: { says: "Not in a room", looks: "closed" },
  connecting: { says: "Connecting", looks: "connecting" },
  entering: { says: "Entering", looks: "connecting" },
  in: { says: "In the room", looks: "open" },
  waiting: { says: "Reconnecting", looks: "waiting" },
};

function showRoomState(next, detail = "") {
  const { says, looks } = ROOM_STATES[next];
  const shown = element("room-state");
  if (shown.textContent !== says) shown.textContent = says; // it is read out when it is set
  shown.dataset.state = looks;
  element("room-detail").textContent = detail;
}

/** Show the inside of a room, empty. */
function showInside(channel, name) {
  element("enter").hidden = true;
  for (const id of ["inside", "leave"]) element(id).hidden = false;
  element("said").querySelector("ol").replaceChildren();
  showFact("room-name", channel);
  showFact("room-you", name);
  showHolder("");
  showRecovery("nothing yet");
  showPeople([], "");
}

/** Show the way in, and why it was not one; empty if nobody has to know. */
function showDoor(refusal) {
  element("enter").hidden = false;
  for (const id of ["inside", "leave"]) element(id).hidden = true;
  element("refusal").textContent = refusal;
  showRoomState("out");
}

/** Who holds the socket of this client; empty while there is none. */
function showHolder(client) {
  const worker = workerOf(client);
  showFact("room-held-by", worker ? workerChip(worker) : span("\u2013", "aside"));
}

function showRecovery(words) {
  showFact("room-recovery", words);
}

/** [{client, name}] of those who are here, ``us`` being our client. */
function showPeople(people, us) {
  element("here-count").textContent = people.length;
  const rows = people.slice(0, MOST_PEOPLE).map(({ client, name }) => {
    const row = document.createElement("li");
    const short = name.endsWith(shortOf(client)) ? "" : shortOf(client);
    row.append(span(name, "who"), span(client === us ? "you" : short, "aside"));
    return row;
  });
  element("people").replaceChildren(...rows);
  const more = people.length - rows.length;
  element("more-people").textContent = more ? `and ${more} more` : "";
}

/** A line of somebody. ``how``: "earlier" or "recovered", if it did not come as it was said. */
function showSaid({ who, text, how, ours }) {
  const content = [span(who, "who"), ` ${text}`];
  return addRowTo(element("said"), ours ? "said own" : "said", "Said:", content, span(how, how));
}

function showRoomNotice(...content) {
  return addRowTo(element("said"), "notice", "Note:", content);
}
