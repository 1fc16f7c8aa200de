// Who is in a room and what they are called. It knows neither the document nor the connection.
"use strict";

const MOST_NAME = 40; // characters that are shown of a name
const MOST_NAMES = 1000; // of clients that have gone too, whose lines are still to be seen

/** What a name is cut to; empty if it is none. */
function asName(value) {
  return typeof value === "string" ? [...value.trim()].slice(0, MOST_NAME).join("") : "";
}

/** The worker that holds the socket of a client: a gateway's client ids begin with it. */
function workerOf(client) {
  return /^[a-z0-9]{16}(?=\.)/.exec(client)?.[0] ?? "";
}

/** A few characters that tell a client from others: "3f9a". */
function shortOf(client) {
  return client.slice(client.indexOf(".") + 1).slice(0, 4);
}

/** What a publication says, whoever has published it: {name, text}; both may be empty. */
function wordsOf({ data, info }) {
  const named = data !== null && typeof data === "object" && typeof data.text === "string";
  const text = named ? data.text : typeof data === "string" ? data : JSON.stringify(data);
  return { name: nameIn(info) || (named ? asName(data.name) : ""), text };
}

/** The name that the server vouches for, if there is one. */
function nameIn(info) {
  const { conn_info: connection, chan_info: channel, user } = info ?? {};
  return asName(channel?.name) || asName(connection?.name) || asName(user);
}

/** Those who are in one room. Everybody without a token is called what they call themselves. */
class People {
  #here = new Map(); // client -> its name, "" while nobody has said it
  #names = new Map(); // client -> the name under which it last spoke
  #meanwhile = null; // {joined, left} since presence was last asked for; null once answered

  get count() {
    return this.#here.size;
  }

  /** [{client, name}], oldest first. */
  list() {
    return [...this.#here.keys()].map((client) => ({ client, name: this.nameOf(client) }));
  }

  has(client) {
    return this.#here.has(client);
  }

  nameOf(client) {
    return this.#here.get(client) || this.#names.get(client) || `guest ${shortOf(client)}`;
  }

  /** Somebody speaks under a name. Returns whether that is news. */
  named(client, name) {
    if (!name || this.#names.get(client) === name) return false;
    this.#names.delete(client);
    this.#names.set(client, name);
    if (this.#names.size > MOST_NAMES) this.#names.delete(this.#names.keys().next().value);
    return true;
  }

  /** Returns whether somebody has come who was not here. */
  join(info) {
    const isNew = !this.#here.has(info.client);
    this.#here.set(info.client, nameIn(info));
    this.#meanwhile?.joined.add(info.client);
    this.#meanwhile?.left.delete(info.client);
    return isNew;
  }

  /** Returns whether somebody has gone who was here. */
  leave(info) {
    this.#meanwhile?.left.add(info.client);
    return this.#here.delete(info.client);
  }

  /**
   * Presence is asked for now; what this returns goes with the answer. Who comes or goes until then
   * may be missing there, or in it.
   */
  asking() {
    this.#meanwhile = { joined: new Set(), left: new Set() };
    return this.#meanwhile;
  }

  /** The answer: clients and what is told of them. Nothing if it was asked for again since. */
  answered(presence, meanwhile) {
    if (this.#meanwhile !== meanwhile) return;
    this.#meanwhile = null;
    const { joined, left } = meanwhile;
    for (const client of [...this.#here.keys()]) {
      if (!(client in presence) && !joined.has(client)) this.#here.delete(client);
    }
    for (const info of Object.values(presence)) if (!left.has(info.client)) this.join(info);
  }
}
