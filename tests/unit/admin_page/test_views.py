"""The admin page's views without a browser: what they ask for, and how often they draw."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.resources import files
from typing import Any, Final

import pytest

# Of the document, what the views touch.
_DOCUMENT: Final = """
const elements = {};
const element = (id) => (elements[id] ??= {
  rows: [], replaceChildren() {}, insertBefore() {}, append(...rows) { this.rows.push(...rows); },
});
globalThis.document = { hidden: false };
globalThis.location = { href: "http://gateway.example/admin/" };
const NOTHING = "-";
const tableRow = (...cells) =>
  ({ dataset: {}, remove() {}, cells: cells.map((content) => ({ content })) });
const setCell = (cell, content) => { cell.content = content; };
const setText = (it, text) => { it.drawn = (it.drawn ?? 0) + 1; it.textContent = text; };
const link = (text) => text;
const hashOf = () => "#";
const asTime = String;
const counted = (number, noun) => `${number} ${noun}`;
const appendRows = (table, rows) => table.append(...rows);
const countedRows = counted;
"""


def run(script: str, *names: str) -> Any:
    """What ``told`` is in the end, of a script behind these files of the page."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on PATH")
    page = [files("gateway.admin_page").joinpath(name).read_text() for name in names]
    last = "process.on('exit', () => console.log(JSON.stringify(told)));"
    whole = "\n".join(['"use strict";', _DOCUMENT, *page, script, last])
    ran = subprocess.run(
        [node, "-"], input=whole, capture_output=True, text=True, timeout=30, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


_PRESENCE: Final = """
const told = {};
const names = ["..", ".", "none:a", "room:a/b?c#d", "room:z", "plain", "room:long", "room:zz"];
const unavailable = { "room:long": 400 };
globalThis.fetch = async (url) => {
  const answer = (status, body) => ({ ok: status === 200, status, json: async () => body });
  if (url.pathname === "/@channels") {
    const channels = names.map((channel) => ({ channel, subscribers: 1 }));
    return answer(200, { channels, unanswered: [] });
  }
  const [, name] = url.pathname.match(/^[/]@channels[/]([^/]+)[/]presence_stats$/) ?? [];
  if (name === undefined || name.startsWith("none")) return answer(404, { message: "nothing" });
  const channel = decodeURIComponent(name);
  if (channel in unavailable) return answer(unavailable[channel], { message: "no" });
  return answer(200, { clients: 2, users: 1 });
};
process.on("exit", () => {
  for (const { cells } of element("channel-rows").rows)
    told[cells[0].content] = [cells[2].content, cells[3].content];
});
new ChannelsView(new Api("key"), () => {}).show("*");
"""


def test_a_channel_that_cannot_be_asked_for_blanks_no_other() -> None:
    present, no = [2, 1], ["not available"] * 2

    assert run(_PRESENCE, "api.js", "channels.js") == {
        "..": no,
        ".": no,
        "none:a": ["-", "-"],
        "room:a/b?c#d": present,
        "room:z": present,
        "plain": present,
        "room:long": no,
        "room:zz": present,
    }


_STORM: Final = """
const told = [];
const timers = [];
globalThis.setTimeout = (draw, after_ms) => timers.push([draw, after_ms]);
globalThis.clearTimeout = () => {};
globalThis.setInterval = () => 1;
const ids = Array.from({ length: 200 }, (_, number) => `w${1000 + number}`);
const workers = ids.map((id) => ({ id, state: "live", role: "both", host: "h", pid: 1 }));
const view = new WorkersView({ workers: async () => ({ workers }) }, () => {});
const rates = { received: 1, handled: 1, pushes: 1, publications: 1, deliveries: 1 };
const report = (worker) => ({
  worker, rates, totals: rates, connections: 1, subscriptions: 1, redis: "ok", probeSeconds: 0,
});
const news = element("workers-news");
view.begin();
setImmediate(() => {
  for (let second = 0; second < 2; second += 1) {
    news.drawn = 0;
    for (const id of ids) view.take(report(id));
    told.push(news.drawn, timers.length);
    for (const [draw] of timers.splice(0)) draw();
    told.push(news.drawn, element("sum-connections").textContent);
  }
});
"""


def test_two_hundred_reports_are_drawn_at_once() -> None:
    assert run(_STORM, "workers.js") == [0, 1, 1, "200"] * 2


_SET_UP: Final = """
const told = [];
const timers = [];
globalThis.setTimeout = (draw, after_ms) => timers.push(draw);
globalThis.clearTimeout = () => {};
"""

_CHANGES: Final = (
    _SET_UP
    + """
globalThis.setInterval = () => 1;
const info = { role: "both", host: "h", pid: 1 };
const view = new WorkersView({ workers: () => workers() }, () => {});
const shown = (what) => {
  for (const draw of timers.splice(0)) draw();
  told.push([what, element("workers-news").textContent]);
};
const become = (id, state, more = {}) => {
  view.take({ changes: [{ id, state, ...more }] });
  shown(state);
};
"""
)

_TOLD: Final = """
let looks = 0;
async function workers() {
  looks += 1;
  return { workers: [{ id: "a", state: "live", ...info }, { id: "b", state: "live", ...info }] };
}
view.begin();
setImmediate(() => {
  shown("at first");
  become("c", "live", info);
  become("b", "leaving", info);
  become("b", "gone");
  become("a", "fenced");
  become("a", "swept");
  told.push(["looks", looks]);
  view.take({ changes: [{ id: "a", state: "fenced" }] });
  timers.splice(0).forEach((each) => each());
  told.push(["looks", looks]);
});
"""


def test_what_workers_become_is_shown_without_a_look_at_the_leases() -> None:
    assert run(_CHANGES + _TOLD, "workers.js") == [
        ["at first", "2 worker"],
        ["live", "3 worker"],
        ["leaving", "3 worker, 1 leaving"],
        ["gone", "2 worker"],
        ["fenced", "2 worker, 1 fenced"],
        ["swept", "1 worker"],
        ["looks", 1],
        ["looks", 2],  # who is fenced and was swept before is not brought back
    ]


_DEAF: Final = """
let time = 0;
performance.now = () => time;
let tick;
globalThis.setInterval = (called) => (tick = called);
let answered = false;
const workers = async () => {
  if (!answered) throw new ApiProblem(503, "Redis is away");
  return { workers: [] };
};
let deaf = 0;
const view = new WorkersView({ workers }, () => {}, () => (deaf += 1));
const pass = async (seconds) => {
  for (let second = 0; second < seconds; second += 1) {
    time += 1000;
    tick();
    timers.splice(0).forEach((each) => each());
    await new Promise(setImmediate);
  }
  told.push(deaf);
};
(async () => {
  view.begin();
  await pass(10); // not subscribed yet
  view.listen();
  await pass(10); // Redis is away: no other worker would tell more
  answered = true;
  await pass(3); // once
  view.listen();
  view.take({ changes: [] });
  await pass(2);
  view.take({ changes: [] });
  await pass(2);
})();
"""


def test_another_socket_is_made_where_nothing_comes_although_redis_answers() -> None:
    assert run(_SET_UP + _DEAF, "api.js", "workers.js") == [0, 0, 1, 1, 1]


_MEANWHILE: Final = """
let answer;
const workers = () => new Promise((done) => (answer = done));
view.begin();
become("b", "gone");
become("c", "live", info);
answer({ workers: [{ id: "a", state: "live", ...info }, { id: "b", state: "live", ...info }] });
setImmediate(() => told.push([...view.ids]));
"""


def test_a_look_at_the_leases_does_not_undo_what_was_told_meanwhile() -> None:
    assert run(_CHANGES + _MEANWHILE, "workers.js")[-1] == ["a", "c"]
