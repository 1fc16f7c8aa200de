// A small client of the Centrifuge protocol in JSON: one connection that is kept up. It needs three
// rules of rules.js (how long to wait, when to stay away), and knows nothing of the document.
//
// A frame holds messages, one a line. A client sends commands, {"id": 1, "connect": {...}}, the first
// of a connection being connect. The server sends replies, {"id": 1, "connect": {...}} or
// {"id": 1, "error": {...}}, in any order; pushes, {"push": {...}}; and pings, {}, to be answered
// with {}.
"use strict";

const ANSWER_WITHIN_MS = 10_000;
const PING_LATE_MS = 10_000; // beyond its interval
const TOO_BIG = 1009; // the same message would be too big again

/** Codes under 100 are not the server's: no reply came, and what was asked may be done or not. */
const NO_ANSWER = { code: 1, message: "no answer", temporary: true };
const NOT_CONNECTED = { code: 2, message: "not connected", temporary: true };

/** Whether a client may ask again by itself after this error of a connect or subscribe. */
function mayAskAgain({ code, temporary }) {
  return temporary === true || code < 100 || code === 109;
}

/** An error in reply to a call, with the protocol's ``code``. */
class CallError extends Error {
  constructor({ code, message, temporary = false }) {
    super(message);
    Object.assign(this, { code, temporary });
  }
}

class CentrifugeClient {
  client = ""; // the id that the server gave to this connection; empty while there is none
  #endpoint;
  #hello;
  #onState;
  #socket = null; // not null from connect() until its end is known
  #takers = new Map(); // the id of a command -> what takes its error or its result
  #lastId = 0;
  #subscriptions = new Map(); // by channel
  #openedAt = 0;
  #failures = 0; // connections in a row that did not last
  #retryTimer = 0;
  #silenceTimer = 0;
  #silenceMs = 0; // how long the server may be silent; 0: it does not ping
  #pongs = false;

  /**
   * ``hello`` goes into the connect command: {token, data}. ``onState(state, facts)`` is told of
   * "connecting" {attempt}, "open" {client}, "waiting" {attempt, delayMs, lasted, code, reason},
   * and "closed" {code, reason}, after which only connect() connects again.
   */
  constructor(endpoint, { hello = {}, onState = () => {} } = {}) {
    this.#endpoint = endpoint;
    this.#hello = hello;
    this.#onState = onState;
  }

  /** Connect, at once if it is waiting to. Nothing if there is a connection, or one is being made. */
  connect() {
    if (this.#socket) return;
    clearTimeout(this.#retryTimer);
    const ours = new WebSocket(this.#endpoint);
    this.#socket = ours;
    this.#silenceMs = 0;
    this.#endUnlessHeardWithin(OPEN_WITHIN_MS);
    ours.onopen = () => this.#socket === ours && this.#connect();
    ours.onmessage = (event) => this.#takeFrame(ours, event.data);
    ours.onclose = (closed) => this.#socket === ours && this.#ended(closed);
    this.#onState("connecting", { attempt: this.#failures + 1 });
  }

  /** Close the connection, and stay away. */
  disconnect() {
    clearTimeout(this.#retryTimer);
    this.#ended({ code: 1000, reason: "" }, false);
  }

  /** Give a connection up that does not answer, and make another. */
  reconnect() {
    if (this.#socket) this.#ended(LOST);
  }

  /** Stay subscribed to a channel. ``told``: see Subscription. Nothing if it is already. */
  subscribe(channel, told) {
    if (this.#subscriptions.has(channel)) return;
    const subscription = new Subscription(this, channel, told);
    this.#subscriptions.set(channel, subscription);
    if (this.client) subscription.begin();
  }

  /** For a subscription that is over. */
  forget(channel) {
    this.#subscriptions.delete(channel);
  }

  /** Ask "publish", "presence", "history", "rpc"...: a promise of the result, or a CallError. */
  call(method, request) {
    return new Promise((resolve, reject) => {
      const take = (error, result) => (error ? reject(new CallError(error)) : resolve(result));
      if (this.client) this.ask(method, request, take);
      else take(NOT_CONNECTED);
    });
  }

  /**
   * Send a command. Exactly once comes ``take(error)`` or ``take(null, result)``: a call and not a
   * promise, because a push behind the reply in the same frame must find what the reply changes.
   */
  ask(method, request, take) {
    const id = (this.#lastId += 1);
    const answer = (error, result) => {
      clearTimeout(timer);
      this.#takers.delete(id);
      take(error, result);
    };
    const timer = setTimeout(() => answer(NO_ANSWER), ANSWER_WITHIN_MS);
    this.#takers.set(id, answer);
    this.#socket.send(JSON.stringify({ id, [method]: request }));
  }

  #connect() {
    this.#openedAt = performance.now();
    this.ask("connect", this.#hello, (error, result) => {
      if (!error) this.#connected(result);
      else if (error !== NO_ANSWER) {
        this.#ended({ code: error.code, reason: error.message }, mayAskAgain(error));
      } // without an answer its silence ends it
    });
  }

  #connected({ client, ping = 0, pong = false }) {
    this.client = client;
    this.#pongs = pong;
    this.#silenceMs = ping && ping * 1000 + PING_LATE_MS;
    this.#endUnlessHeardWithin(this.#silenceMs);
    this.#onState("open", { client });
    for (const subscription of this.#subscriptions.values()) subscription.begin();
  }

  #takeFrame(ours, frame) {
    try {
      for (const line of frame.split("\n")) {
        if (this.#socket !== ours) return; // a message before has ended it
        if (this.client) this.#endUnlessHeardWithin(this.#silenceMs);
        if (line) this.#takeMessage(JSON.parse(line));
      }
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      this.#ended({ code: 1002, reason: "not JSON" });
    }
  }

  #takeMessage(message) {
    if (message.push) this.#subscriptions.get(message.push.channel)?.takePush(message.push);
    else if (!message.id) this.#takePing();
    else {
      const { id, error = null, ...result } = message;
      this.#takers.get(id)?.(error, Object.values(result)[0] ?? {});
    }
  }

  #takePing() {
    if (this.#pongs) this.#socket.send("{}");
  }

  #endUnlessHeardWithin(ms) {
    clearTimeout(this.#silenceTimer);
    if (ms) this.#silenceTimer = setTimeout(() => this.reconnect(), ms);
  }

  /** The connection is over; a dead network may tell the browser so only much later. */
  #ended({ code, reason }, mayReturn = mayReconnect(code) && code !== TOO_BIG) {
    clearTimeout(this.#silenceTimer);
    const lastedMs = this.client ? performance.now() - this.#openedAt : null;
    const ours = this.#socket;
    this.#socket = null;
    this.client = "";
    ours?.close();
    for (const subscription of this.#subscriptions.values()) subscription.lost();
    for (const answer of [...this.#takers.values()]) answer(NO_ANSWER);
    if (!mayReturn) {
      this.#onState("closed", { code, reason });
      return;
    }
    this.#failures = failuresAfter(this.#failures, lastedMs);
    const delayMs = reconnectDelayMs(this.#failures);
    this.#retryTimer = setTimeout(() => this.connect(), delayMs);
    const attempt = this.#failures + 1;
    this.#onState("waiting", { attempt, delayMs, lasted: lastedMs !== null, code, reason });
  }
}
