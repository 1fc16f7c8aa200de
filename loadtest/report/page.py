"""The page of a run: plots and figures in one file that needs no network."""

from __future__ import annotations

from html import escape
from typing import Final

from loadtest.arguments import SCENARIOS
from loadtest.report.charts import SERIES, Charts, colours
from loadtest.report.kept import Kept
from loadtest.report.plots import Plot
from loadtest.verdict import headline

STYLE: Final = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif;
  --paper: #fff; --ink: #1a1a1a; --shade: #f4f4f4; --good: #007a58; --bad: #c04a00; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #15171a; --ink: #e6e6e6; --shade: #23262b; --good: #2fd0a0; --bad: #ff9a4d; }
}
body { max-width: 60rem; margin: 0 auto; padding: 1rem; background: var(--paper);
  color: var(--ink); overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; padding: .6rem 1rem; border-left: .5rem solid; background: var(--shade); }
h1.clean { border-color: var(--good); } h1.not { border-color: var(--bad); }
h2 { font-size: 1.1rem; margin: 0; }
table { border-collapse: collapse; } th { font-weight: 600; overflow-wrap: normal; }
th, td { text-align: left; vertical-align: top; padding: .15rem 1rem .15rem 0; }
figure { margin: 1.6rem 0; }
figcaption ul { display: flex; flex-wrap: wrap; gap: 0 1.2rem; margin: 0; padding: 0;
  list-style: none; }
figcaption li::before { content: ""; display: inline-block; width: 1.2rem; height: .25rem;
  margin-right: .4rem; vertical-align: middle; background: var(--colour); }
.plot { overflow-x: auto; } svg { display: block; width: 100%; min-width: 50rem; height: auto; }
@media (max-width: 40rem) {
  th, td { display: block; padding: 0; } td { padding-bottom: .5rem; }
}
"""


def page_of(kept: Kept) -> str:
    """The same of the same: nothing but what was kept is looked at."""
    charts = Charts(kept.events, kept.long_s)
    rows = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in kept.figures.items()
    )
    plots = "\n".join(_figure(plot, charts.svg(plot)) for plot in kept.plots)
    lists = "\n".join(
        f"<h2>{escape(title)}</h2>\n<ul>{''.join(f'<li>{escape(row)}</li>' for row in rows)}</ul>"
        for title, rows in kept.lists().items()
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(kept.title)}</title>
<link rel="icon" href="data:,">
<style>{STYLE}{colours()}</style>
</head>
<body>
<h1 class="{"not" if kept.reasons else "clean"}">{escape(headline(kept.reasons))}</h1>
<p><strong>{escape(kept.title)}</strong>: {escape(SCENARIOS[kept.scenario].about)}.</p>
<table>
{rows}
</table>
{plots}
{lists}
</body>
</html>
"""


def _figure(plot: Plot, svg: str) -> str:
    """The plot scrolls by itself where it is wider than the page; its words stand still."""
    names = plot.series if plot.kind != "bars" else ()
    series = "".join(
        f'<li style="--colour: var(--s{number % len(SERIES)})">{escape(name)}</li>'
        for number, name in enumerate(names)
    )
    return (
        f'<figure aria-label="{escape(plot.title)}">\n'
        f"<figcaption><h2>{escape(plot.title)} ({escape(plot.unit)})</h2>"
        f"<ul>{series}</ul></figcaption>\n"
        f'<div class="plot" tabindex="0">{svg}</div></figure>'
    )
