"use strict";
const DATA = JSON.parse(document.getElementById("data").textContent);
const PAGE = 24, PLACES = 4, MOST_DIGITS = 8, LIVE = !DATA.rows, KEPT = `albu-diffusemix review ${DATA.id}`;
const at = (id) => document.getElementById(id);
const form = document.querySelector("form"), cards = at("cards");
let start = 0, shown = [], current = 0, result = {units: 0, matching: 0}, undone = [], unsaved = new Map(), asked = 0;

function make(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name in made) made[name] = value; else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

let hiding = 0;
function say(text, lasts = false) {
  at("message").textContent = text;
  clearTimeout(hiding);
  if (!lasts) hiding = setTimeout(() => say("", true), 5000);
}
const fail = (what, error) => say(`${what}: ${error.message}`, true);
const count = (number) => number.toLocaleString("en");
function short(number) {
  const text = String(+number.toPrecision(PLACES));
  return text.length > MOST_DIGITS ? number.toExponential(1) : text;
}
const address = (name) => DATA.pictures?.[name] ?? name;

async function ask(path, body) {
  const sent = body && {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)};
  const answer = await fetch(path, sent);
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error);
  return told;
}

// What is asked for: the same fields whether this page or the server finds the rows.
function wanted() {
  const limits = {};
  for (const input of form.querySelectorAll("[data-figure]")) {
    if (input.value === "" || !Number.isFinite(Number(input.value))) continue;
    (limits[input.dataset.figure] ??= [null, null])[Number(input.dataset.end)] = Number(input.value);
  }
  const {sort, order, label, prompt, store, verdict, group} = Object.fromEntries(new FormData(form));
  return {sort, descending: order === "down", label, prompt, store, verdict, group: group === "1", limits};
}

const isIn = (value, [low, high]) => value != null && (low == null || value >= low) && (high == null || value <= high);
const hasVerdict = (row, verdict) => !verdict || (row.verdict || "none") === verdict;

function matches(row, query) {
  return (query.label === "" || row.label === Number(query.label)) && (query.prompt === "" || row.prompt === Number(query.prompt))
    && (query.store === "" || row.store === Number(query.store)) && hasVerdict(row, query.verdict)
    && Object.entries(query.limits).every(([name, limits]) => isIn(row.scores[DATA.figures.findIndex((figure) => figure.name === name)], limits));
}

function found(query) {
  const rows = DATA.rows.filter((row) => matches(row, query));
  const place = DATA.figures.findIndex((figure) => figure.name === query.sort);
  if (place >= 0) {
    const sign = query.descending ? -1 : 1, least = (row) => row.scores[place] ?? sign * Infinity;
    rows.sort((one, other) => sign * (least(one) - least(other) || 0));
  }
  if (!query.group) return rows.map((row) => [row]);
  const units = new Map();
  for (const row of rows) units.set(row.key, [...units.get(row.key) ?? [], row]);
  return [...units.values()];
}

async function rowsAt(query, first) {
  if (LIVE) return ask(`rows?${new URLSearchParams({query: JSON.stringify(query), start: first, count: PAGE})}`);
  const units = found(query);
  return {units: units.length, matching: units.flat().length, rows: units.slice(first, first + PAGE), ...counted()};
}

function counted() {
  const of = (verdict) => DATA.rows.filter((row) => row.verdict === verdict).length;
  return {total: DATA.rows.length, accepted: of("accept"), rejected: of("reject")};
}

async function show(first = 0, place = 0) {
  const number = ++asked;
  cards.setAttribute("aria-busy", "true");
  try {
    const answer = await rowsAt(wanted(), first);
    if (number !== asked) return;
    [result, start, shown] = [answer, first, answer.rows.flat()];
    const grouped = wanted().group;
    cards.classList.toggle("grouped", grouped);
    cards.replaceChildren(...answer.rows.map((rows) => grouped ? groupOf(rows) : cardOf(rows[0], true)));
    tell();
    select(place < 0 ? shown.length - 1 : place, place !== 0);
  } catch (error) { fail("Error", error); }
  if (number === asked) cards.removeAttribute("aria-busy");
}

function tell() {
  if (!LIVE) Object.assign(result, counted());
  at("counts").textContent = `${count(result.total)} counterparts, ${count(result.matching)} match; ` +
    `${count(result.rejected)} rejected, ${count(result.accepted)} accepted` + (LIVE ? "" : `; ${count(unsaved.size)} not saved yet`);
  at("place").textContent = result.units ? `${count(start + 1)} to ${count(Math.min(start + PAGE, result.units))} of ${count(result.units)}` : "Nothing matches";
  at("previous-page").disabled = start === 0;
  at("next-page").disabled = start + PAGE >= result.units;
  at("undo").disabled = !undone.length;
  at("reject-all").disabled = !result.matching;
}

function picture(caption, row, names, kind = "") {
  const frame = make("div", {className: `frame ${kind}`});
  frame.style.aspectRatio = row.ratio;
  for (const name of names) {
    const image = make("img", {alt: `${caption} of ${row.key}`, loading: "lazy", decoding: "async"});
    image.addEventListener("error", () => { image.remove(); frame.classList.add("missing"); });
    image.src = address(name);
    frame.append(image);
  }
  return make("figure", {}, frame, make("figcaption", {}, caption));
}

function cardOf(row, whole) {
  const pictures = make("div", {className: "pictures"});
  if (whole && row.source) pictures.append(picture("source", row, [row.source]));
  pictures.append(picture("counterpart", row, [row.picture]));
  if (row.source) pictures.append(picture("mixed", row, [row.source, row.picture], "mix"));
  const scores = DATA.figures.map(({name}, place) => row.scores[place] != null && `${name}\u00a0${short(row.scores[place])}`);
  const about = [row.variant, DATA.labels[row.label] && `class ${DATA.labels[row.label]}`, DATA.stores.length > 1 && DATA.stores[row.store], ...scores];
  const button = (text, verdict) => {
    const made = make("button", {type: "button", "data-verdict": verdict}, text);
    made.addEventListener("click", () => { select(shown.indexOf(row)); judge([[row, verdict]]); });
    return made;
  };
  const card = make("li", {className: "card", tabIndex: -1}, pictures,
    make("p", {}, make("strong", {}, DATA.prompts[row.prompt])), whole ? make("p", {}, row.key) : "",
    make("p", {className: "faint"}, about.filter(Boolean).join(" · ")),
    make("p", {className: "faint"}, row.said.join("; ")),
    make("div", {className: "row"}, button("Accept", "accept"), button("Reject", "reject"), make("span", {className: "verdict"})));
  card.addEventListener("focusin", () => select(shown.indexOf(row)));
  row.card = card;
  mark(row);
  return card;
}

function groupOf(rows) {
  const source = rows[0].source ? picture("source", rows[0], [rows[0].source]) : "";
  return make("li", {className: "group"}, make("h2", {}, rows[0].key), source, make("ol", {}, ...rows.map((row) => cardOf(row, false))));
}

function mark(row) {
  const text = {accept: "accepted", reject: "rejected"}[row.verdict] ?? "no verdict";
  row.card.classList.remove("accept", "reject");
  if (row.verdict) row.card.classList.add(row.verdict);
  row.card.querySelector(".verdict").textContent = text;
  for (const button of row.card.querySelectorAll("button")) button.setAttribute("aria-pressed", button.dataset.verdict === row.verdict);
  row.card.setAttribute("aria-label", `${DATA.prompts[row.prompt]}, ${row.key} ${row.variant}, ${text}`);
}

function select(place, focus = false) {
  if (!shown[place]) return;
  shown[current]?.card?.classList.remove("current");
  for (const row of shown) { row.card.tabIndex = -1; row.card.removeAttribute("aria-current"); }
  current = place;
  const {card} = shown[place];
  card.classList.add("current");
  card.tabIndex = 0;
  card.setAttribute("aria-current", "true");
  if (focus) card.focus();
}

// Judged rows may not match any longer: the next page begins where those that still do end.
function turn(step) {
  const {verdict, group} = wanted();
  const still = shown.filter((row) => hasVerdict(row, verdict));
  const length = group ? new Set(still.map((row) => row.key)).size : still.length;
  return step > 0 ? show(start + length, 0.5) : show(Math.max(0, start - PAGE), -1);
}

function move(step) {
  if (shown[current + step]) select(current + step, true);
  else if (step > 0 ? !at("next-page").disabled : start > 0) turn(step);
}

// Each change is a row and its verdict; "" takes a verdict back. Returns whether it was written.
async function judge(changes, rule = "", keep = true) {
  const seen = new Map(shown.map((row) => [row.id, row]));
  changes = changes.map(([row, verdict]) => [seen.get(row.id) ?? row, verdict]);
  const before = changes.map(([row]) => [row, row.verdict]);
  const put = (list) => list.forEach(([row, verdict]) => {
    for (const [name, is] of [["accepted", "accept"], ["rejected", "reject"]]) result[name] += (verdict === is) - (row.verdict === is);
    row.verdict = verdict;
    if (row.card) mark(row);
  });
  put(changes);
  try {
    if (LIVE) await ask("verdicts", {changes: changes.map(([row, verdict]) => [row.id, verdict]), rule});
    else for (const [row] of changes) noted(row, rule);
    if (keep) undone.push(before);
    const [row, verdict] = changes[0];
    say(changes.length > 1 ? `${count(changes.length)} changed` : `${row.key} ${row.variant}: ${verdict ? verdict + "ed" : "verdict taken back"}`);
    return true;
  } catch (error) {
    put(before);
    fail("Not written", error);
    return false;
  } finally { tell(); }
}

function noted(row, rule) {
  if (row.verdict === row.first) unsaved.delete(row.id);
  else unsaved.set(row.id, {key: row.key, variant: row.variant, verdict: row.verdict || "accept", reason: "",
    rule: row.verdict ? rule : "undo", time: Date.now() / 1000, check: row.check});
  try { localStorage.setItem(KEPT, JSON.stringify([...unsaved])); } catch { addEventListener("beforeunload", (event) => event.preventDefault()); }
}

async function undo() {
  const last = undone.pop();
  if (!last) return;
  if (!await judge(last, "", false)) undone.push(last);
  const place = shown.findIndex((row) => row.id === last[0][0].id);
  if (place >= 0) select(place, true);
  tell();
}

async function rejectAll() {
  if (!confirm(`Reject all ${count(result.matching)} counterparts that match?`)) return;
  const query = wanted(), limits = Object.entries(query.limits).map(([name, [low, high]]) => `${low ?? ""} <= ${name} <= ${high ?? ""}`);
  const rule = ["review: all that match", ...limits].join(", ");
  try {
    const rows = LIVE ? (await ask("verdicts", {query, rule})).before : found(query).flat().filter((row) => row.verdict !== "reject").map((row) => [row, "reject"]);
    if (!LIVE && rows.length) await judge(rows, rule);
    if (LIVE && rows.length) undone.push(rows.map(([id, verdict]) => [{id, key: "", variant: "", verdict: "reject"}, verdict]));
    await show();
    say(`${count(rows.length)} rejected`);
  } catch (error) { fail("Not written", error); }
}

function save() {
  DATA.stores.forEach((store, number) => {
    const lines = [...unsaved].filter(([id]) => DATA.rows[id].store === number).map(([, line]) => JSON.stringify(line) + "\n");
    if (!lines.length) return;
    const link = make("a", {href: URL.createObjectURL(new Blob(lines)), download: DATA.stores.length > 1 ? `choices-${store}.jsonl` : "choices.jsonl"});
    link.click();
  });
  say(`${count(unsaved.size)} verdicts saved: albu-diffusemix reject STORE --from choices.jsonl takes them`);
}

function restore() {
  try {
    unsaved = new Map(JSON.parse(localStorage.getItem(KEPT) ?? "[]").filter(([id, line]) => DATA.rows[id]?.check === line.check));
  } catch { return; }
  for (const [id, line] of unsaved) DATA.rows[id].verdict = line.rule === "undo" ? "" : line.verdict;
  if (unsaved.size) say(`${count(unsaved.size)} verdicts of last time are back`);
}

function drawFigure(figure) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), most = Math.max(1, ...figure.counts);
  const bars = figure.counts.map((number, place) => {
    const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [name, value] of Object.entries({x: place, y: 1 - number / most, width: 0.9, height: number / most})) bar.setAttribute(name, value);
    return bar;
  });
  svg.append(...bars);
  svg.setAttribute("viewBox", `0 0 ${figure.counts.length} 1`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `Histogram of ${figure.name}, from ${short(figure.low)} to ${short(figure.high)}`);
  const input = (end) => make("input", {type: "number", step: "any", "data-figure": figure.name, "data-end": end, placeholder: short([figure.low, figure.high][end])});
  const inputs = [input(0), input(1)], step = (figure.high - figure.low) / figure.counts.length;
  const color = () => {
    const [low, high] = inputs.map((one) => one.value === "" ? null : Number(one.value));
    bars.forEach((bar, place) => bar.classList.toggle("in", isIn(figure.low + (place + 0.5) * step, [low, high])));
  };
  inputs.forEach((one) => one.addEventListener("input", color));
  color();
  at("figures").append(make("fieldset", {}, make("legend", {}, figure.name), svg,
    make("div", {className: "row"}, make("label", {}, "from ", inputs[0]), make("label", {}, "to ", inputs[1]))));
  form.elements.sort.append(make("option", {value: figure.name}, figure.name));
}

const ACTIONS = {
  a: () => judge([[shown[current], "accept"]]).then(() => move(1)), r: () => judge([[shown[current], "reject"]]).then(() => move(1)),
  n: () => move(1), ArrowRight: () => move(1), p: () => move(-1), ArrowLeft: () => move(-1), u: undo,
  h: () => { form.elements.half.selectedIndex = (form.elements.half.selectedIndex + 1) % 4; setHalf(); },
};
let busy = Promise.resolve();
const setHalf = () => { document.body.dataset.half = form.elements.half.value; };

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input:not([type=checkbox]), select");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !form.elements.keys.checked) return;
  const act = ACTIONS[event.key];
  if (!act || (!shown.length && event.key !== "u")) return;
  event.preventDefault();
  busy = busy.then(act);  // one after the other, however fast they are pressed
});
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", (event) => {
  if (event.target.name === "half") setHalf(); else if (event.target.name !== "keys") show();
});
at("undo").addEventListener("click", undo);
at("save").addEventListener("click", save);
at("reject-all").addEventListener("click", rejectAll);
at("next-page").addEventListener("click", () => turn(1));
at("previous-page").addEventListener("click", () => turn(-1));

function fill(facets) {
  Object.assign(DATA, facets);
  for (const [name, texts] of [["label", DATA.labels], ["prompt", DATA.prompts], ["store", DATA.stores]]) {
    const {length} = form.elements[name];
    form.elements[name].append(...texts.slice(length - 1).map((text, place) => make("option", {value: place + length - 1}, text)));
    form.elements[name].parentElement.hidden = texts.length < 2;
  }
  DATA.figures.forEach(drawFigure);
}

async function begin() {
  at("name").textContent = DATA.stores.join(", ");
  at("save").hidden = LIVE;
  at("filters").open = innerWidth > 600;
  const {figures, labels} = DATA;
  if (!LIVE) { DATA.rows.forEach((row) => { row.first = row.verdict; }); restore(); }
  fill({figures, labels});
  await show();
  if (LIVE) {
    try { fill(await ask("facets")); await show(start); } catch (error) { fail("Error", error); }
  }
}
begin();
