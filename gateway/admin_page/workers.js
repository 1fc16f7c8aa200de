// The view of the workers. The channel of reports tells who comes and goes, as it happens, and what
// each does, once a second while this page listens. The leases say who was there before; they are
// looked at once in a while only, in case that a change was not told.
"use strict";

const REPORTS = "@admin:reports";
const SILENT_MS = 3_500; // after three reports that did not come
const LOOK_EACH_MS = 15_000;
const LOOK_FAILED_MS = 3_000; // after one that was not answered
const LOOK_AGAIN_MS = 1_000; // if something is not understood, at most so often
const ENDED = ["gone", "swept"];
const DRAW_WITHIN_MS = 500; // all that has come until then at once
const SUMMED = ["received", "handled", "pushes", "publications", "deliveries"];

class WorkersView {
  #api;
  #onProblem;
  #onDeaf;
  #leases = new Map(); // by worker, as GET /@workers tells it
  #reports = new Map(); // by worker: {report, at}
  #rows = new Map(); // by worker
  #changes = new Map(); // by worker, told since the last look was begun: it may not know them
  #silent = new Set(); // for whom the leases have been looked at
  #timer = 0;
  #drawing = 0; // the timer of the next time, 0 if nothing is to be drawn
  #lookingSoon = 0; // likewise
  #lookedAt = -Infinity;
  #looking = false;
  #lookAgain = false; // once this one is answered
  #problem = null; // why the leases are not known anew
  #heardAt = Infinity; // by the channel; never before it is subscribed

  /** ``onDeaf`` is told if nothing comes by the channel, and Redis is not known to be away. */
  constructor(api, onProblem, onDeaf) {
    this.#api = api;
    this.#onProblem = onProblem;
    this.#onDeaf = onDeaf;
  }

  /** The ids of those that hold connections, or may. */
  get ids() {
    return [...this.#leases.keys()];
  }

  begin() {
    this.#look();
    this.#timer = setInterval(() => this.#tick(), 1000);
  }

  end() {
    clearInterval(this.#timer);
    clearTimeout(this.#drawing);
    clearTimeout(this.#lookingSoon);
    for (const row of this.#rows.values()) row.remove();
  }

  /** What came by the channel: how a worker is, or what some have become. */
  take(told) {
    this.#heardAt = performance.now();
    if (Array.isArray(told?.changes)) {
      for (const change of told.changes) {
        this.#changes.set(change.id, change);
        this.#apply(change);
      }
    } else if (typeof told?.worker === "string") {
      this.#reports.set(told.worker, { report: told, at: performance.now() });
      if (!this.#leases.has(told.worker)) this.lookSoon();
    } else return;
    this.#drawing ||= setTimeout(() => this.#draw(), DRAW_WITHIN_MS);
  }

  /** It listens to the channel: what was told before is not known. */
  listen() {
    this.#heardAt = performance.now();
    this.lookSoon();
  }

  /** Look at the leases: changes may not have been told. */
  lookSoon() {
    const wait_ms = Math.max(0, this.#lookedAt + LOOK_AGAIN_MS - performance.now());
    this.#lookingSoon ||= setTimeout(() => {
      this.#lookingSoon = 0;
      this.#look();
    }, wait_ms);
  }

  #apply({ id, state, ...info }) {
    const lease = this.#leases.get(id);
    if (ENDED.includes(state)) {
      this.#leases.delete(id);
      this.#reports.delete(id);
    } else if (lease || info.role) this.#leases.set(id, { ...lease, ...info, id, state });
    else this.lookSoon(); // it is fenced: whoever tells its end may have been faster
  }

  #tick() {
    const silent = this.ids.filter((id) => this.#stateOf(id) === "silent");
    if (silent.some((id) => !this.#silent.has(id))) this.lookSoon();
    this.#silent = new Set(silent);
    if (this.#deaf) this.lookSoon();
    const each_ms = this.#problem ? LOOK_FAILED_MS : LOOK_EACH_MS;
    if (performance.now() - this.#lookedAt >= each_ms) this.#look();
    this.#draw();
  }

  /** The worker of this page's socket tells more often how it is, if it and Redis are well. */
  get #deaf() {
    return performance.now() - this.#heardAt >= SILENT_MS;
  }

  async #look() {
    if (document.hidden) return;
    if (this.#looking) {
      this.#lookAgain = true;
      return;
    }
    this.#looking = true;
    this.#lookedAt = performance.now();
    this.#changes.clear();
    const wasDeaf = this.#deaf;
    try {
      const { workers } = await this.#api.workers();
      this.#leases = new Map(workers.map((worker) => [worker.id, worker]));
      for (const change of this.#changes.values()) this.#apply(change);
      for (const id of this.#reports.keys()) {
        if (!this.#leases.has(id) && !this.#fresh(id)) this.#reports.delete(id);
      }
      this.#problem = null;
    } catch (problem) {
      this.#problem = problem;
      this.#onProblem(problem);
    } finally {
      this.#looking = false;
      // What is answered that it cannot be told: no other worker would tell more.
      if (wasDeaf && this.#deaf && !this.#problem?.status) {
        this.#heardAt = Infinity;
        this.#onDeaf();
      }
      if (this.#lookAgain) this.lookSoon();
      this.#lookAgain = false;
      this.#draw();
    }
  }

  /** The report of a worker that has told one lately. */
  #fresh(id) {
    const told = this.#reports.get(id);
    return told && performance.now() - told.at < SILENT_MS ? told.report : null;
  }

  #draw() {
    clearTimeout(this.#drawing);
    this.#drawing = 0;
    const rows = element("worker-rows");
    for (const [id, row] of this.#rows) {
      if (!this.#leases.has(id)) {
        row.remove();
        this.#rows.delete(id);
      }
    }
    for (const id of [...this.#leases.keys()].sort()) {
      const cells = this.#cells(id);
      const row = this.#rows.get(id);
      if (row) cells.forEach((content, index) => index && setCell(row.cells[index], content));
      else {
        const first = link(id, hashOf("connections", { worker: id }));
        const added = tableRow(first, ...cells.slice(1));
        added.dataset.worker = id;
        this.#rows.set(id, added);
        const next = [...rows.rows].find((other) => other.dataset.worker > id);
        rows.insertBefore(added, next ?? null);
      }
      this.#rows.get(id).dataset.state = this.#stateOf(id);
    }
    this.#sum();
    setText(element("workers-news"), this.#news());
  }

  #cells(id) {
    const lease = this.#leases.get(id);
    const report = this.#fresh(id);
    const rate = (name) => report?.rates[name] ?? NOTHING;
    return [
      id,
      this.#stateOf(id),
      report?.connections ?? NOTHING,
      ...SUMMED.map(rate),
      report ? redisOf(report) : NOTHING,
      lease.role,
      `${lease.host} (${lease.pid})`,
      report?.bind ?? NOTHING,
      report?.version ?? NOTHING,
      report ? asTime(report.startedAtMs) : NOTHING,
    ];
  }

  /** What its lease says, or itself; or that it tells nothing any more, which leases show later. */
  #stateOf(id) {
    const { state } = this.#leases.get(id);
    if (state !== "live" || !this.#reports.has(id)) return state;
    const report = this.#fresh(id);
    if (!report) return "silent";
    return report.leaving ? "leaving" : "live";
  }

  #sum() {
    const reports = [...this.#leases.keys()].map((id) => this.#fresh(id)).filter(Boolean);
    const total = (of) => reports.reduce((sum, report) => sum + of(report), 0);
    const show = (name, sum, ...more) =>
      setText(element(`sum-${name}`), reports.length ? said(sum, ...more) : NOTHING);
    show("connections", total((report) => report.connections));
    show("subscriptions", total((report) => report.subscriptions));
    for (const name of SUMMED) {
      show(name, total((report) => report.rates[name]), total((report) => report.totals[name]));
    }
  }

  /** In words, and only what rarely changes: it is read out. */
  #news() {
    if (this.#problem) return `Not up to date: ${this.#problem.message}`;
    const states = this.ids.map((id) => this.#stateOf(id));
    const count = (state) => states.filter((it) => it === state).length;
    const parts = [counted(states.length, "worker")];
    for (const state of ["leaving", "silent", "lapsed", "fenced"]) {
      if (count(state)) parts.push(`${count(state)} ${state}`);
    }
    return this.ids.length ? parts.join(", ") : "";
  }
}

function redisOf({ redis, probeSeconds, mastersAway, sentinelsAway, slotsUncovered }) {
  if (redis !== "ok") return "lost";
  const away = [
    [mastersAway, "master"],
    [sentinelsAway, "Sentinel"],
  ].filter(([number]) => number);
  const parts = away.map(([number, noun]) => `${counted(number, noun)} away`);
  if (slotsUncovered) parts.push(`${counted(slotsUncovered, "slot")} without a master`);
  return [parts.join(", ") || "ok", `heard ${probeSeconds.toFixed(1)} s ago`].join(", ");
}

/** A rate, and how many there were since the workers have started. */
function said(rate, since = null) {
  const shown = rate.toLocaleString("en", { maximumFractionDigits: 1 });
  return since === null ? shown : `${shown} (${since.toLocaleString("en")} in all)`;
}
