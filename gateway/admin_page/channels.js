// The view of the channels that have subscribers, and how many are present where that is known.
"use strict";

const CHANNELS_A_PAGE = 50;
const NOT_KEPT = 404; // its namespace keeps no presence
const OF_ONE_CHANNEL = [400, 409, 413]; // of these answers the next channel may get another one
const UNAVAILABLE = "not available";

class ChannelsView {
  #api;
  #onProblem;
  #pattern = "*";
  #cursor = "";
  #count = 0; // of those that were shown
  #asked = 0;

  constructor(api, onProblem) {
    this.#api = api;
    this.#onProblem = onProblem;
  }

  show(pattern) {
    this.#pattern = pattern || "*";
    element("pattern").value = this.#pattern;
    this.#cursor = "";
    this.#count = 0;
    element("channel-rows").replaceChildren();
    this.more();
  }

  async more() {
    const asked = (this.#asked += 1);
    const button = element("more-channels");
    try {
      const query = { pattern: this.#pattern, limit: CHANNELS_A_PAGE, cursor: this.#cursor };
      const { channels, unanswered, cursor = "" } = await this.#api.channels(query);
      if (asked !== this.#asked) return;
      this.#cursor = cursor;
      const rows = channels.map((it) => tableRow(it.channel, it.subscribers, NOTHING, NOTHING));
      this.#count += rows.length;
      appendRows(element("channel-rows"), rows);
      setText(element("channels-news"), this.#news(unanswered));
      this.#present(asked, channels, rows);
    } catch (problem) {
      if (asked !== this.#asked) return;
      setText(element("channels-news"), problem.message);
      this.#onProblem(problem);
    }
    const hadFocus = document.activeElement === button;
    button.hidden = !this.#cursor;
    if (hadFocus && button.hidden) element("channels-title").focus(); // or the focus would be nowhere
  }

  /**
   * Ask of one channel after the other who is there; a namespace that keeps nobody, once. What is
   * wrong with one channel does not keep the others from being asked for.
   */
  async #present(asked, channels, rows) {
    const without = new Set();
    for (const [index, { channel }] of channels.entries()) {
      const namespace = channel.includes(":") ? channel.split(":", 1)[0] : "";
      if (without.has(namespace)) continue;
      try {
        const { clients, users } = await this.#api.presence(channel);
        if (asked !== this.#asked) return;
        setCell(rows[index].cells[2], clients);
        setCell(rows[index].cells[3], users);
      } catch (problem) {
        if (asked !== this.#asked) return;
        if (problem.status === NOT_KEPT) {
          without.add(namespace);
          continue;
        }
        setCell(rows[index].cells[2], UNAVAILABLE);
        setCell(rows[index].cells[3], UNAVAILABLE);
        if (!OF_ONE_CHANNEL.includes(problem.status)) return;
      }
    }
  }

  #news(unanswered) {
    const shown = countedRows(this.#count, "channel", element("channel-rows"));
    const missing = unanswered.length
      ? ` ${counted(unanswered.length, "worker")} did not answer: what they hold is missing.`
      : "";
    return `${shown}${this.#cursor ? ", and more" : ""}.${missing}`;
  }
}
