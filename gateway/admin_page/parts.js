// What the views draw with. Whatever comes from clients is set as text, never read as HTML.
"use strict";

const NOTHING = "\u2013";
const MOST_TABLE_ROWS = 500; // of one table

const element = (id) => document.getElementById(id);

/** An element with this text in it. */
function made(name, text = "", className = "") {
  const it = document.createElement(name);
  it.textContent = text;
  if (className) it.className = className;
  return it;
}

function link(text, hash) {
  const it = made("a", text);
  it.href = hash;
  return it;
}

/** A row: the first cell heads it. Each is a text or an element; numbers stand at the right. */
function tableRow(...cells) {
  const row = document.createElement("tr");
  cells.forEach((content, index) => {
    const cell = document.createElement(index ? "td" : "th");
    if (!index) cell.scope = "row";
    setCell(cell, content);
    row.append(cell);
  });
  return row;
}

function setCell(cell, content) {
  if (content instanceof Node) cell.replaceChildren(content);
  else setText(cell, typeof content === "number" ? content.toLocaleString("en") : content);
  if (typeof content === "number") cell.className = "number";
}

/** Put rows below the others. The first ones leave when there are more than a browser draws well. */
function appendRows(table, added) {
  table.append(...added);
  for (const first of [...table.rows].slice(0, -MOST_TABLE_ROWS)) first.remove();
}

/** "500 channels", of which only the last may be shown. */
function countedRows(count, noun, table) {
  const shown = table.rows.length;
  const hidden = shown < count ? `, the last ${shown.toLocaleString("en")} of which are shown` : "";
  return `${counted(count, noun)}${hidden}`;
}

/** Set a text only where it is another: what is set is read out, and what is selected is lost. */
function setText(it, text) {
  if (it.textContent !== text) it.textContent = text;
}

/** A fact of a list of them. */
function fact(name, value) {
  const pair = document.createElement("div");
  pair.append(made("dt", name), made("dd", value));
  return pair;
}

/** A time as people say it here, to the second. */
function asTime(when) {
  return new Date(when).toLocaleString("sv");
}

/** Where a view stands, as its fragment says it: {view, query}. */
function placeOf(hash) {
  const [view, query = ""] = hash.replace(/^#/, "").split("?", 2);
  return { view, query: new URLSearchParams(query) };
}

/** The fragment of a place; what is empty is left out. */
function hashOf(view, query = {}) {
  const said = new URLSearchParams(Object.entries(query).filter(([, value]) => value));
  return said.size ? `#${view}?${said}` : `#${view}`;
}
