// The views of the connections: a list that is filtered and paged, and one of them with what may be
// done to it.
"use strict";

const ROWS_A_PAGE = 50;
const SEARCHED_A_PAGE = 1000; // an address is looked for in so many at once,
const PAGES_AT_ONCE = 10; // so many times before the person is asked whether to go on
const ASK_EACH_MS = 3_000;
const GONE = 410;

class ConnectionsView {
  #api;
  #onProblem;
  #query = {};
  #cursor = "";
  #found = []; // and not shown yet
  #count = 0; // of those that were shown
  #asked = 0; // of answers to what was asked before, nothing is shown

  constructor(api, onProblem) {
    this.#api = api;
    this.#onProblem = onProblem;
  }

  /** Show those of a worker, user and address; whatever is empty does not matter. */
  show({ worker, user, address }, workers) {
    const ids = worker && !workers.includes(worker) ? [...workers, worker] : workers;
    const choices = ids.sort().map((id) => new Option(id, id, false, id === worker));
    element("of-worker").replaceChildren(new Option("all", ""), ...choices);
    element("of-user").value = user;
    element("of-address").value = address;
    this.#query = { worker, user, address };
    this.#cursor = "";
    this.#found = [];
    this.#count = 0;
    element("connection-rows").replaceChildren();
    this.more();
  }

  /** Show the next ones. */
  async more() {
    const asked = (this.#asked += 1);
    const button = element("more-connections");
    let problem = null;
    try {
      await this.#find(asked);
    } catch (thrown) {
      problem = thrown;
    }
    if (asked !== this.#asked) return;
    const shown = this.#found.splice(0, ROWS_A_PAGE); // whatever has ended the search
    this.#count += shown.length;
    appendRows(element("connection-rows"), shown.map(connectionRow));
    setText(element("connections-news"), problem?.message ?? this.#news());
    if (problem) this.#onProblem(problem);
    const hadFocus = document.activeElement === button;
    button.hidden = !this.#cursor && !this.#found.length;
    if (hadFocus && button.hidden) element("connections-title").focus(); // or the focus would be nowhere
  }

  /** Find a table page's worth beyond those that were shown, if there is as much. */
  async #find(asked) {
    const first = this.#count === 0 && !this.#found.length;
    const limit = this.#query.address ? SEARCHED_A_PAGE : ROWS_A_PAGE;
    for (let page = 0; page < PAGES_AT_ONCE; page += 1) {
      if (this.#found.length >= ROWS_A_PAGE || !(this.#cursor || (first && page === 0))) return;
      const answer = await this.#api.connections({ ...this.#query, limit, cursor: this.#cursor });
      if (asked !== this.#asked) return;
      this.#cursor = answer.cursor ?? "";
      this.#found.push(...answer.connections);
      if (!this.#query.address) return;
    }
  }

  #news() {
    const shown = countedRows(this.#count, "connection", element("connection-rows"));
    if (this.#found.length) return `${shown}, and more`;
    if (!this.#cursor) return shown;
    return this.#query.address ? `${shown} so far, there are more to search` : `${shown}, and more`;
  }
}

function connectionRow({ id, worker, user, protocol, connectedAt, identity }) {
  return tableRow(
    link(id, hashOf("connection", { id })),
    link(worker, hashOf("connections", { worker })),
    user === null ? NOTHING : link(user || "(empty)", hashOf("connections", { user })),
    identity.sourceIp ? link(identity.sourceIp, hashOf("connections", { address: identity.sourceIp })) : NOTHING,
    protocol,
    asTime(connectedAt),
    identity.userAgent,
  );
}

class ConnectionView {
  #api;
  #onProblem;
  #id = "";
  #timer = 0;

  constructor(api, onProblem) {
    this.#api = api;
    this.#onProblem = onProblem;
  }

  show(id) {
    this.#id = id;
    element("connection-id").textContent = id;
    element("particulars").replaceChildren();
    setText(element("connection-news"), "");
    this.#setOpen(true);
    this.#ask();
    clearInterval(this.#timer);
    this.#timer = setInterval(() => document.hidden || this.#ask(), ASK_EACH_MS);
  }

  end() {
    clearInterval(this.#timer);
    this.#id = "";
  }

  async send(text) {
    const done = await this.#do("Sent: its socket has taken the text.", () => this.#api.send(this.#id, text));
    if (done) this.#ask();
    return done;
  }

  close(code, reason) {
    return this.#do(`Closed with ${code} ${reason}.`, () => this.#api.close(this.#id, code, reason), true);
  }

  async #do(done, call, ends = false) {
    const id = this.#id;
    try {
      await call();
      if (id !== this.#id) return true;
      if (ends) this.#over(done);
      else setText(element("connection-news"), done);
      return true;
    } catch (problem) {
      if (id === this.#id) this.#failed(problem);
      return false;
    }
  }

  async #ask() {
    const id = this.#id;
    try {
      const told = await this.#api.connection(id);
      if (id === this.#id) this.#draw(told);
    } catch (problem) {
      if (id === this.#id) this.#failed(problem);
    }
  }

  #failed(problem) {
    if (problem.status === GONE) this.#over("This connection is gone.");
    else setText(element("connection-news"), `Not done: ${problem.message}`);
    this.#onProblem(problem);
  }

  #over(why) {
    clearInterval(this.#timer);
    this.#setOpen(false);
    const held = element("connection").contains(document.activeElement);
    setText(element("connection-news"), why);
    if (held) element("connection-title").focus();
  }

  #setOpen(open) {
    for (const form of ["send", "close"]) element(form).hidden = !open;
  }

  #draw(told) {
    const facts = [
      ["User", told.user ?? NOTHING],
      ["Worker", this.#id.slice(0, 16)],
      ["Address", told.identity.sourceIp || NOTHING],
      ["User agent", told.identity.userAgent || NOTHING],
      ["Connected", asTime(told.connectedAt)],
      ["Last active", asTime(told.lastActiveAt)],
      ["Messages received", told.received ?? NOTHING],
      ["Frames sent", told.sent ?? NOTHING],
      ["Messages not answered yet", told.unanswered ?? NOTHING],
      ["Bytes waiting to be read", told.waitingBytes ?? NOTHING],
      ["Last message handled by", told.handledBy ?? NOTHING],
      ["Ping unanswered for", told.unansweredPingSeconds ? `${told.unansweredPingSeconds} s` : NOTHING],
      ["Channels", told.channels?.join(", ") || NOTHING],
    ];
    element("particulars").replaceChildren(...facts.map(([name, value]) => fact(name, String(value))));
  }
}
