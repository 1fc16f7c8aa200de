// One channel of a client of the Centrifuge protocol: it stays subscribed, knows its position, and
// recovers from there what it has missed.
"use strict";

const UNRECOVERABLE_POSITION = 112;
const COMES_BACK_FROM = 2500; // codes of unsubscribe pushes after which a client subscribes again
// After those: soon, because what is published meanwhile may be lost where the history was lost; and
// not in the same millisecond as every other page.
const COMES_BACK_WITHIN_MS = 100;

class Subscription {
  #client;
  #channel;
  #told;
  #live = false; // subscribed on this connection
  #position = null; // {epoch, offset} of the last publication, where the channel has a history
  #failures = 0;
  #retryTimer = 0;

  /**
   * ``told`` has functions that are called in the order in which things happen:
   *   onSubscribed({wasRecovering, recovered, count, position})   before ``count`` recovered ones
   *   onPublication({data, info, offset, ...}), onJoin(info), onLeave(info)
   *   onEnded({code, message})                                    for good
   */
  constructor(client, channel, told) {
    this.#client = client;
    this.#channel = channel;
    this.#told = told;
  }

  /** Subscribe, now that the client is connected. */
  begin() {
    const request = { channel: this.#channel, positioned: true, recoverable: true, join_leave: true };
    if (this.#position) Object.assign(request, { recover: true, ...this.#position });
    this.#client.ask("subscribe", request, (error, result) => {
      if (error) this.#refused(error);
      else this.#subscribed(result);
    });
  }

  /** The connection is over: the client begins again on the next one. */
  lost() {
    clearTimeout(this.#retryTimer);
    this.#live = false;
  }

  takePush({ pub, join, leave, unsubscribe }) {
    if (!this.#live) return; // of a subscription that has just ended
    if (pub) this.#publication(pub);
    else if (join) this.#told.onJoin(join.info);
    else if (leave) this.#told.onLeave(leave.info);
    else if (unsubscribe) this.#unsubscribed(unsubscribe);
  }

  #subscribed(result) {
    this.#live = true;
    this.#failures = 0;
    const { recovered = false, was_recovering: wasRecovering = false } = result;
    const publications = result.publications ?? [];
    const position = { epoch: result.epoch ?? "", offset: result.offset ?? 0 };
    this.#position = result.recoverable ? position : null;
    const count = publications.length;
    this.#told.onSubscribed({ wasRecovering, recovered, count, position });
    for (const publication of publications) this.#publication(publication);
  }

  #publication(publication) {
    if (this.#position && publication.offset) this.#position.offset = publication.offset;
    this.#told.onPublication(publication);
  }

  #unsubscribed({ code, reason }) {
    this.#live = false;
    if (code >= COMES_BACK_FROM) this.#beginIn(Math.random() * COMES_BACK_WITHIN_MS);
    else this.#ended({ code, message: reason });
  }

  #refused(error) {
    if (error === NO_ANSWER) {
      this.#client.reconnect(); // it may be subscribed or not, and would be refused as both
    } else if (error.code === UNRECOVERABLE_POSITION) {
      this.#position = null;
      this.begin();
    } else if (mayAskAgain(error)) {
      this.#beginIn(reconnectDelayMs(this.#failures));
      this.#failures += 1;
    } else {
      this.#ended(error);
    }
  }

  #beginIn(delayMs) {
    this.#retryTimer = setTimeout(() => this.begin(), delayMs);
  }

  #ended(error) {
    this.#client.forget(this.#channel);
    this.#told.onEnded(error);
  }
}
