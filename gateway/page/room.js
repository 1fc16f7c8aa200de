// One stay in a room: who is here, what is said, and what was missed. It asks a client of the
// Centrifuge protocol, and tells the view.
"use strict";

const HISTORY_LINES = 50;
const PRESENCE_EVERY_MS = 30_000; // a join or a leave that was lost is made good by then
const MOST_ANNOUNCED = 20; // people in a room in which it is still said who comes and goes
const MOST_OURS = 20;
const FIRST_OF_SERVER = 100; // of an error's code; those below say that no answer came

class Room {
  #channel;
  #name;
  #onOver;
  #client;
  #people = new People();
  #ours = new Set(); // ids of this window's connections, the latest last
  #early = null; // publications that came before the history; null: it has been shown
  #entered = false;
  #recovered = 0; // of the next publications, how many have been recovered
  #isOver = false;
  #lines = 0; // that we have said
  #wasTooBig = false; // the last of them: the server has not taken it, and ended the stay
  #clock = 0; // of the time until the next attempt
  #presenceTimer = 0;

  /** ``onOver(words)`` is called when the server ends the stay, or does not let it begin. */
  constructor({ endpoint, token, channel, name, onOver }) {
    this.#channel = channel;
    this.#name = name;
    this.#onOver = onOver;
    const hello = { ...(token && { token }), data: { name } };
    const onState = (state, facts) => this.#connection(state, facts);
    this.#client = new CentrifugeClient(endpoint, { hello, onState });
    this.#client.subscribe(channel, {
      onSubscribed: (facts) => this.#subscribed(facts),
      onPublication: (publication) => this.#publication(publication),
      onJoin: (info) => this.#joined(info),
      onLeave: (info) => this.#left(info),
      onEnded: (error) => this.#over(refusalInWords(error, channel)),
    });
  }

  /** Go in, or do not wait any longer for the next attempt. */
  enter() {
    this.#client.connect();
  }

  leave() {
    this.#isOver = true;
    clearInterval(this.#clock);
    clearInterval(this.#presenceTimer);
    this.#client.disconnect();
  }

  /** Returns whether the line is done with; if not, it was not said. */
  async say(text) {
    const number = (this.#lines += 1);
    try {
      const data = { name: this.#name, text };
      await this.#client.call("publish", { channel: this.#channel, data });
      return true;
    } catch (error) {
      const wasTooBig = this.#wasTooBig && number === this.#lines;
      const unknown = error.code === NO_ANSWER.code && !wasTooBig;
      if (this.#isOver) return unknown;
      if (unknown) showRoomNotice(`No answer: \u201c${text}\u201d may have been said or not.`);
      else showRoomNotice(`The line was not sent: ${error.message}.`);
      return unknown;
    }
  }

  // What the connection does

  #connection(state, facts) {
    if (this.#isOver) return;
    clearInterval(this.#clock);
    if (state === "connecting") {
      if (facts.attempt === 1) showRoomState("connecting");
      else showRoomState("waiting", `attempt ${facts.attempt}`);
    } else if (state === "open") {
      this.#connected(facts.client);
    } else if (state === "waiting") {
      this.#waiting(facts);
    } else {
      this.#wasTooBig = facts.code === TOO_BIG;
      this.#over(inWords(facts.code, facts.reason));
    }
  }

  #connected(client) {
    this.#ours.add(client);
    if (this.#ours.size > MOST_OURS) this.#ours.delete(this.#ours.values().next().value);
    this.#people.named(client, this.#name);
    showRoomState("entering");
    showHolder(client);
  }

  #waiting({ attempt, delayMs, lasted, code, reason }) {
    clearInterval(this.#presenceTimer);
    showHolder("");
    if (lasted) showRoomNotice(`Connection ended: ${inWords(code, reason)}.`).classList.add("bad");
    else if (!this.#entered) this.#askWhetherThereIsAny();
    const due = performance.now() + delayMs;
    const show = () => {
      const leftS = Math.max(0, Math.ceil((due - performance.now()) / 1000));
      showRoomState("waiting", `attempt ${attempt} in ${leftS} s`);
    };
    show();
    this.#clock = setInterval(show, 250);
  }

  /** A handshake failed, and a browser does not say why: perhaps there is no such endpoint. */
  async #askWhetherThereIsAny() {
    try {
      const signal = AbortSignal.timeout(OPEN_WITHIN_MS);
      const answer = await fetch(roomsEndpoint.replace(/^ws/, "http"), { signal });
      if (answer.status === 404) this.#over("This server has no rooms: there is no /connection/websocket.");
    } catch {
      // The server is away, and may have some when it is back.
    }
  }

  #over(words) {
    if (this.#isOver) return;
    this.leave();
    this.#onOver(words);
  }

  // What the channel tells

  #subscribed({ wasRecovering, recovered, count, position }) {
    showRoomState("in");
    this.#askPresence();
    clearInterval(this.#presenceTimer);
    this.#presenceTimer = setInterval(() => this.#askPresence(), PRESENCE_EVERY_MS);
    if (!this.#entered) {
      this.#entered = true;
      this.#early = [];
      showRecovery("nothing yet");
      this.#askHistory(position);
    } else if (wasRecovering && recovered) {
      this.#recovered = count;
      showRecovery(`${counted(count, "line")} recovered`);
      showRoomNotice(`Back in the room: ${counted(count, "line")} recovered, nothing was missed.`);
    } else {
      showRecovery("some lines were missed");
      showRoomNotice("Back in the room: some lines were missed.").classList.add("bad");
    }
  }

  /** What was said up to this position; what came after it waits for the answer. */
  async #askHistory({ epoch, offset }) {
    let said = [];
    try {
      const since = { epoch, offset: offset + 1 };
      const request = { channel: this.#channel, limit: HISTORY_LINES, since, reverse: true };
      const found = offset ? await this.#client.call("history", request) : {};
      said = (found.publications ?? []).reverse();
      if (!said.length) showRoomNotice("Nothing was said here before, or it is not kept.");
    } catch (error) {
      if (this.#isOver) return;
      showRoomNotice(`What was said before cannot be read: ${error.message}.`);
    }
    for (const publication of said) this.#show(publication, "earlier");
    const early = this.#early;
    this.#early = null;
    for (const publication of early) this.#show(publication);
  }

  #publication(publication) {
    const how = this.#recovered > 0 ? "recovered" : "";
    if (how) this.#recovered -= 1;
    if (this.#early) this.#early.push(publication);
    else this.#show(publication, how);
  }

  #show(publication, how = "") {
    const client = publication.info?.client ?? "";
    const { name, text } = wordsOf(publication);
    const who = name || (client ? this.#people.nameOf(client) : "the server");
    if (client && this.#people.named(client, name)) this.#showPeople();
    showSaid({ who, text, how, ours: this.#ours.has(client) });
  }

  // Who is here

  #joined(info) {
    if (this.#people.join(info)) this.#announce(info.client, "came");
    this.#showPeople();
  }

  #left(info) {
    if (this.#people.leave(info)) this.#announce(info.client, "left");
    this.#showPeople();
  }

  #announce(client, what) {
    if (this.#ours.has(client) || this.#people.count > MOST_ANNOUNCED) return;
    showRoomNotice(`${this.#people.nameOf(client)} ${what}.`);
  }

  async #askPresence() {
    const meanwhile = this.#people.asking();
    try {
      const { presence } = await this.#client.call("presence", { channel: this.#channel });
      this.#people.answered(presence, meanwhile);
    } catch (error) {
      if (this.#isOver || error.code < FIRST_OF_SERVER) return;
      clearInterval(this.#presenceTimer);
      showRoomNotice(`Who is here is not told: ${error.message}.`);
    }
    this.#showPeople();
  }

  #showPeople() {
    if (this.#isOver) return;
    const us = this.#client.client;
    // A connection of ours that has ended is known here before the server knows it.
    const here = this.#people.list().filter(({ client }) => client === us || !this.#ours.has(client));
    showPeople(here, us);
  }
}

/** Why there is no way into a room, for somebody who may be able to change that. */
function refusalInWords({ code, message }, channel) {
  const [namespace, rest] = channel.split(":");
  const kind = rest === undefined ? "a name without \u201c:\u201d" : `names that begin with \u201c${namespace}:\u201d`;
  const meanings = {
    102: `This server has no rooms for ${kind}: its setting \u201cchannel\u201d has no such namespace`,
    103: `This server does not let you into ${channel}`,
    107: `No room can be called ${channel}`,
    108: "This server has no rooms",
  };
  return `${meanings[code] ?? `The way into ${channel} is closed`} (${code} ${message}).`;
}
