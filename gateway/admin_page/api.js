// The HTTP API of the port that this page came from, called with the key. It knows nothing of the
// document.
"use strict";

const CALL_WITHIN_MS = 10_000;
const LOOK_WITHIN_MS = 3_000; // one look at Redis: a worker that stands still is not waited for

/** Why a call was not done: ``status`` of the answer, 0 if there was none. */
class ApiProblem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/**
 * A name as one segment of a path. Browsers take ``.`` and ``..`` for steps however they are written
 * (URL Standard), and would ask for something else: these are an ApiProblem.
 */
function segment(name) {
  if (name === "." || name === "..") throw new ApiProblem(400, `no address can name ${name}`);
  return encodeURIComponent(name);
}

class Api {
  #key;

  constructor(key) {
    this.#key = key;
  }

  get key() {
    return this.#key;
  }

  /**
   * Call ``path``, written as a template with what belongs to it encoded. What comes back is the
   * body of the answer, null if it has none; whatever went wrong is an ApiProblem.
   */
  async call(method, path, { query = {}, body, within_ms = CALL_WITHIN_MS } = {}) {
    const url = new URL(`../${path}`, location.href);
    url.hash = "";
    url.search = new URLSearchParams(
      Object.entries(query).filter(([, value]) => value !== ""),
    ).toString();
    let answer;
    try {
      answer = await fetch(url, {
        method,
        body,
        headers: { authorization: `Bearer ${this.#key}` },
        cache: "no-store",
        signal: AbortSignal.timeout(within_ms),
      });
    } catch {
      throw new ApiProblem(0, "the gateway does not answer");
    }
    if (answer.status === 204) return null;
    let said;
    try {
      said = await answer.json();
    } catch {
      throw new ApiProblem(answer.status, `the answer is no JSON (${answer.status})`);
    }
    if (!answer.ok) throw new ApiProblem(answer.status, said.message ?? `${answer.status}`);
    return said;
  }

  workers() {
    return this.call("GET", "@workers", { query: { fenced: "true" }, within_ms: LOOK_WITHIN_MS });
  }

  connections(query) {
    return this.call("GET", "@connections", { query });
  }

  async connection(id) {
    return this.call("GET", `@connections/${segment(id)}`);
  }

  async send(id, text) {
    return this.call("POST", `@connections/${segment(id)}`, { body: text });
  }

  async close(id, code, reason) {
    const query = { code, reason };
    return this.call("DELETE", `@connections/${segment(id)}`, { query });
  }

  channels(query) {
    return this.call("GET", "@channels", { query });
  }

  async presence(channel) {
    return this.call("GET", `@channels/${segment(channel)}/presence_stats`);
  }
}
