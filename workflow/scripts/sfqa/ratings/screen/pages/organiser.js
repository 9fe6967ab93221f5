// The organiser's page: progress and checks of raters, remarks, pause, links, tables.
import { address, get, post } from "./api.js";
import { button, copier, h, say, show } from "./dom.js";
import { language, languageName, load, of, preferred, speak, t } from "./text.js";

let state = null;
let fresh = null; // the link that was made last: {rater, url}

const STEPS = [[90, 1, "s"], [5400, 60, "min"], [129600, 3600, "h"], [Infinity, 86400, "d"]];

function ago(seconds) {
  if (seconds === null) return t("never");
  const [, unit, name] = STEPS.find(([below]) => seconds < below);
  return t("since", { time: `${Math.round(seconds / unit)} ${t("units")[name]}` });
}

function bar(done, all) {
  const filled = h("span", { class: "small-bar" }, h("i"));
  filled.firstChild.style.width = `${100 * done / Math.max(1, all)}%`;
  return h("div", { class: "amount" }, filled, h("span", {}, `${done} / ${all}`));
}

async function link(rater, linked) {
  if (linked && !confirm(t("sure", { rater }))) return;
  const answer = await post("/link", { rater });
  fresh = { rater, url: location.origin + answer.path };
  await ask();
}

const number = (value, digits) => value === null || value === undefined ? t("never") : value.toFixed(digits);

const isLow = (part, all) => all > 0 && part < 0.8 * all ? "low" : "";

function sessionOf(rater) {
  if (rater.dropped_out) return h("span", { class: "low" }, t("dropped_out"));
  if (rater.session === null) return t("finished");
  const text = rater.sessions > 1 ? `${rater.session} / ${rater.sessions}` : "1";
  return rater.idle ? [text, " ", h("span", { class: "low" }, t("idle"))] : text;
}

const equipmentOf = rater => Object.entries(rater.equipment).map(([name, [correct, tasks]]) =>
  h("span", { class: `nowrap ${isLow(correct, tasks)}` }, `${t(name)} ${correct}/${tasks}`));

// The columns: heading, content of a cell, class. A phone shows each rater as a list of these.
function columns() {
  return [
    { head: t("progress"), cell: rater => bar(rater.done, rater.of) },
    { head: t("session"), cell: sessionOf },
    { head: t("consent"), cell: rater => rater.consented ? "✓" : t("never") },
    { head: t("last_answer"), cell: rater => ago(rater.answered_sec) },
    { head: t("per_video"), cell: rater => rater.video_sec === null ? t("never") : `${number(rater.video_sec, 1)} ${t("units").s}`, figure: true },
    state.has_answers && { head: t("attention"), cell: ({ attention }) => attention ? h("span", { class: isLow(...attention) }, attention.join(" / ")) : t("never"), figure: true },
    state.has_checks && { head: t("equipment"), cell: rater => Object.keys(rater.equipment).length ? equipmentOf(rater) : t("never") },
    { head: t("remarks"), cell: rater => String(rater.remarks || t("never")), figure: true },
    ...state.dimensions.map(d => ({
      head: [of(d.label), h("small", {}, t("agreement"))], label: `${of(d.label)} (${t("agreement")})`, figure: true,
      cell: rater => h("span", { class: rater.agreement[d.name] < 0.5 && rater.agreement[d.name] !== null ? "low" : "" }, number(rater.agreement[d.name], 2)),
    })),
  ].filter(Boolean);
}

function table() {
  const shown = columns();
  const cell = (column, rater) => h("td", { role: "cell", class: column.figure ? "figure" : null },
    h("span", { class: "label", "aria-hidden": "true" }, column.label ?? column.head), h("span", { class: "value" }, column.cell(rater)));
  const row = rater => h("tr", { role: "row", class: rater.dropped_out ? "gone" : null },
    h("th", { scope: "row", role: "rowheader" }, h("span", { class: rater.seen_sec !== null && rater.seen_sec < 120 ? "dot on" : "dot", "aria-hidden": "true" }), rater.rater),
    shown.map(column => cell(column, rater)),
    h("td", { role: "cell", class: "action" }, !rater.dropped_out && button(t(rater.linked ? "link" : "make"), () => link(rater.rater, rater.linked), { class: "plain", "aria-label": `${t(rater.linked ? "link" : "make")}: ${rater.rater}` })));
  return h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": t("all") }, h("table", { role: "table" },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, h("th", { scope: "col", role: "columnheader" }, t("rater")),
      shown.map(column => h("th", { scope: "col", role: "columnheader", class: column.figure ? "figure" : null }, column.head)),
      h("td", { role: "cell" }))),
    h("tbody", { role: "rowgroup" }, state.raters.map(row))));
}

function numbers() {
  const count = test => state.raters.filter(test).length;
  const people = state.raters.filter(rater => rater.linked || rater.consented).length;
  const dropped = count(rater => rater.dropped_out);
  return h("p", { class: "numbers" }, [
    t("consented", { n: count(rater => rater.consented), of: people }),
    t("finished_count", { n: count(rater => rater.session === null && !rater.dropped_out) }),
    (state.crowd || dropped > 0) && t("dropped_count", { n: dropped }),
    state.crowd && t("free_places", { n: state.free_places }),
  ].filter(Boolean).map(text => h("span", {}, text)));
}

function download(name, label) {
  return h("span", { class: "download" }, h("b", {}, label), ["csv", "parquet"].map(type =>
    h("a", { href: address(`/export/${name}.${type}`), download: `${name}.${type}`, class: "button", "aria-label": `${label}, ${type.toUpperCase()}` }, type === "csv" ? "CSV" : "Parquet")));
}

function remarks() {
  return state.remarks.length > 0 && h("section", { class: "remarks" }, h("h2", {}, t("remarks")),
    h("ul", {}, state.remarks.map(remark => h("li", {}, h("b", {}, remark.rater), " ", h("span", { class: "quiet" }, `${remark.sample_id} · ${ago(remark.ago_sec)}`), h("span", { class: "remark" }, remark.text)))));
}

function notes() {
  const keys = ["agreement_note", "per_video_note", state.has_answers ? "attention_note" : "no_answers_note", state.has_checks && "equipment_note"];
  return h("div", { class: "quiet notes" }, keys.filter(Boolean).map(key => h("p", {}, t(key))));
}

function languageChoice() {
  const others = state.languages.filter(code => code !== language());
  return others.map(code => button(languageName(code), () => { speak(code); view(); }, { class: "plain" }));
}

function view() {
  const sum = key => state.raters.reduce((total, rater) => total + (rater.dropped_out ? 0 : rater[key]), 0);
  const scrolled = document.querySelector(".wide")?.scrollLeft ?? 0;
  document.title = of(state.title);
  document.getElementById("top").replaceChildren(
    h("span", { class: "study" }, of(state.title)),
    h("span", { class: "progress" }, h("span", { class: state.paused ? "state paused" : "state" }, state.paused ? t("paused") : t("running"))),
    h("nav", {}, languageChoice()));
  const at = window.scrollY;
  show(h("section", { class: "organiser" },
    h("h1", { class: "unseen" }, of(state.title)),
    h("div", { class: "tools" },
      h("div", { class: "total" }, h("b", {}, t("all")), bar(sum("done"), sum("of"))),
      button(state.paused ? t("unpause") : t("pause"), async () => { state = await post("/pause", { paused: !state.paused }); view(); }, { class: state.paused ? "main" : "plain framed" }),
      numbers()),
    fresh && h("div", { class: "fresh", role: "status" }, h("span", {}, t("shown_once", { rater: fresh.rater })), h("code", {}, fresh.url), copier(fresh.url, t("copy"), "✓")),
    table(),
    remarks(),
    h("div", { class: "tools downloads" }, h("h2", {}, t("tables")), download("scores", t("scores")), download("score_details", t("details")), download("raters", t("raters"))),
    notes()));
  document.querySelector(".wide").scrollLeft = scrolled;
  window.scrollTo(0, at);
}

async function ask() {
  try {
    state = await get("/state");
    view();
  } catch {
    say(t("failed"));
  }
}

(async () => {
  state = await get("/state").catch(() => null);
  if (!state) return;
  load(state.words, "organiser");
  speak(preferred(state.languages));
  view();
  setInterval(() => { if (!document.hidden && !document.activeElement?.matches("button, a")) ask(); }, 10000);
})();
