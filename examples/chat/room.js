// One room over the Centrifuge protocol in JSON: commands and answers, one a line. With the SDK of npm (`centrifuge`)
// this file is a subscription; see the README.

const SUBSCRIBE = 2;

export class Room {
  #channel;
  #on;
  #socket = null;
  #left = false;
  #attempts = 0;
  #id = 10; // of the last command
  #unanswered = new Map(); // id -> what we said
  #position = { offset: 0, epoch: "" }; // how far we have come; at first nothing
  #members = new Map(); // client -> user
  #gone = new Set(); // who left while we asked who is here

  constructor(channel, on) {
    this.#channel = channel;
    this.#on = on;
    this.#connect();
  }

  say(text) {
    const id = ++this.#id;
    this.#unanswered.set(id, text);
    this.#send({ id, publish: { channel: this.#channel, data: text } });
  }

  leave() {
    this.#left = true;
    this.#socket?.close();
  }

  async #connect() {
    this.#on.state("connecting");
    let token;
    try {
      token = await this.#on.token();
    } catch {
      return this.#later();
    }
    if (this.#left) return;
    const url = new URL("chat/connection/websocket", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = this.#socket = new WebSocket(url);
    socket.onopen = () => { this.#send({ id: 1, connect: { token } }); this.#subscribe(); };
    socket.onmessage = ({ data }) => {
      for (const line of data.split("\n").filter(Boolean)) this.#heard(JSON.parse(line));
    };
    socket.onclose = ({ code, reason }) => {
      if (this.#left) return;
      for (const text of this.#unanswered.values()) {
        this.#on.refused(`No answer: \u201c${text}\u201d may have been said or not.`);
      }
      this.#unanswered.clear();
      if ((code >= 3500 && code < 4000) || code >= 4500) this.#on.state(`${code} ${reason}`); // to stay away
      else this.#later();
    };
  }

  #later() { // a random time, longer after every failure: all others have lost their connection as well
    this.#on.state("connecting");
    setTimeout(() => this.#left || this.#connect(), Math.random() * Math.min(20000, 500 * 2 ** this.#attempts++));
  }

  #send(...commands) {
    if (this.#socket.readyState === WebSocket.OPEN) {
      this.#socket.send(commands.map((command) => JSON.stringify(command)).join("\n"));
    }
  }

  #subscribe() {
    this.#send({ id: SUBSCRIBE, subscribe: { channel: this.#channel, recover: true, ...this.#position } });
  }

  #heard(message) {
    const push = message.push ?? {};
    this.#unanswered.delete(message.id);
    if (Object.keys(message).length === 0) this.#send({}); // a ping
    else if (message.error) this.#refused(message);
    else if (message.subscribe) this.#subscribed(message.subscribe);
    else if (message.presence) this.#present(message.presence.presence ?? {});
    else if (push.pub) this.#publication(push.pub);
    else if (push.join) this.#joined(push.join.info);
    else if (push.leave) this.#hasLeft(push.leave.info);
    else if (push.unsubscribe) this.#subscribe(); // something was lost on the way: recover it
  }

  #refused({ id, error }) {
    if (id > SUBSCRIBE) this.#on.refused(error.message); // what we said
    else if (error.temporary || error.code === 109) this.#socket.close(); // come again, with a new token
    else { this.leave(); this.#on.state(error.message); }
  }

  #subscribed({ recovered, publications = [], offset = 0, epoch }) {
    if (!recovered) this.#on.forgotten();
    this.#position = { offset, epoch };
    publications.forEach((each) => this.#publication(each));
    this.#attempts = 0;
    this.#on.state("live");
    this.#members.clear();
    this.#gone.clear();
    this.#send({ id: ++this.#id, presence: { channel: this.#channel } });
  }

  #publication(publication) {
    this.#position.offset = publication.offset;
    this.#on.said(publication);
  }

  #present(members) {
    for (const { client, user } of Object.values(members)) {
      if (!this.#gone.has(client)) this.#members.set(client, user);
    }
    this.#tellWho();
  }

  #joined({ client, user }) {
    this.#gone.delete(client);
    this.#members.set(client, user);
    this.#tellWho();
  }

  #hasLeft({ client }) { // the same one may leave twice, after a crash
    this.#gone.add(client);
    this.#members.delete(client);
    this.#tellWho();
  }

  #tellWho() {
    this.#on.who([...new Set(this.#members.values())].sort());
  }
}
