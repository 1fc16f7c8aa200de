// The view of the workers. Leases say which there are; what each does comes by the channel of
// reports, once a second while this page listens.
"use strict";

const REPORTS = "@admin:reports";
const SILENT_MS = 3_500; // after three reports that did not come
const LOOK_EACH_MS = 5_000;
const LOOK_AGAIN_MS = 1_000; // upon news, at most so often
const DRAW_WITHIN_MS = 500; // all that has come until then at once
const SUMMED = ["received", "handled", "pushes", "publications", "deliveries"];

class WorkersView {
  #api;
  #onProblem;
  #leases = new Map(); // by worker, as GET /@workers tells it
  #reports = new Map(); // by worker: {report, at}
  #rows = new Map(); // by worker
  #timer = 0;
  #drawing = 0; // the timer of the next time, 0 if nothing is to be drawn
  #lookedAt = -Infinity;
  #looking = false;
  #problem = null; // why the leases are not known anew

  constructor(api, onProblem) {
    this.#api = api;
    this.#onProblem = onProblem;
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
    for (const row of this.#rows.values()) row.remove();
  }

  /** A worker has told how it is. */
  take(report) {
    if (typeof report?.worker !== "string") return;
    const before = this.#reports.get(report.worker);
    this.#reports.set(report.worker, { report, at: performance.now() });
    const news = !this.#leases.has(report.worker) || before?.report.leaving !== report.leaving;
    if (news) this.#lookSoon();
    this.#drawing ||= setTimeout(() => this.#draw(), DRAW_WITHIN_MS);
  }

  #tick() {
    const silent = [...this.#leases.keys()].some((id) => this.#reports.has(id) && !this.#fresh(id));
    if (silent) this.#lookSoon();
    else if (performance.now() - this.#lookedAt >= LOOK_EACH_MS) this.#look();
    this.#draw();
  }

  #lookSoon() {
    if (performance.now() - this.#lookedAt >= LOOK_AGAIN_MS) this.#look();
  }

  async #look() {
    if (this.#looking || document.hidden) return;
    this.#looking = true;
    this.#lookedAt = performance.now();
    try {
      const { workers } = await this.#api.workers();
      this.#leases = new Map(workers.map((worker) => [worker.id, worker]));
      for (const id of this.#reports.keys()) {
        if (!this.#leases.has(id) && !this.#fresh(id)) this.#reports.delete(id);
      }
      this.#problem = null;
    } catch (problem) {
      this.#problem = problem;
      this.#onProblem(problem);
    } finally {
      this.#looking = false;
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

  /** What its lease says; and whether it tells nothing any more, which a lease shows much later. */
  #stateOf(id) {
    const { state } = this.#leases.get(id);
    if (state === "live" && this.#reports.has(id) && !this.#fresh(id)) return "silent";
    return state;
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
