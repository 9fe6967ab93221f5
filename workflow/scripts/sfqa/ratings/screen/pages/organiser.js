// The organiser's page: progress and agreement of raters, pause, links, tables.
import { address, get, post } from "./api.js";
import { button, h, say, show } from "./dom.js";
import { language, of, speak } from "./text.js";

const words = {
  en: {
    other: "中文", running: "running", paused: "paused", pause: "Pause the study", go: "Go on", scores: "Scores (Parquet)", details: "With all details",
    head: ["Rater", "Progress", "Session", "Last answer"], agreement: "Agreement", note: "Agreement: SRCC of a rater's test scores with the mean of the others' scores of the same videos.",
    link: "New link", make: "Make a link", sure: rater => `Make a new link for ${rater}? The old one stops working.`, shown: rater => `Link of ${rater}, shown this once:`, copy: "Copy",
    never: "–", since: time => `${time} ago`, ago: [[90, 1, "s"], [5400, 60, "min"], [129600, 3600, "h"], [Infinity, 86400, "d"]], done: "finished", all: "All raters", failed: "The server did not answer; trying again.",
  },
  zh: {
    other: "English", running: "进行中", paused: "已暂停", pause: "暂停实验", go: "恢复实验", scores: "评分表（Parquet）", details: "含全部细节",
    head: ["评分者", "进度", "场次", "最近评分"], agreement: "一致性", note: "一致性：该评分者的正式评分与其他人对同一视频平均分的 SRCC。",
    link: "更换链接", make: "生成链接", sure: rater => `为 ${rater} 生成新链接？旧链接将失效。`, shown: rater => `${rater} 的链接，仅显示一次：`, copy: "复制",
    never: "–", since: time => `${time}前`, ago: [[90, 1, "秒"], [5400, 60, "分"], [129600, 3600, "时"], [Infinity, 86400, "天"]], done: "已完成", all: "全部评分者", failed: "服务器没有响应，正在重试。",
  },
};
const w = () => words[language()];

let state = null;
let fresh = null; // the link that was made last: {rater, url}

function ago(seconds) {
  if (seconds === null) return w().never;
  const [, unit, name] = w().ago.find(([below]) => seconds < below);
  return w().since(`${Math.round(seconds / unit)} ${name}`);
}

function bar(done, all) {
  const made = h("span", { class: "small-bar" }, h("i"));
  made.firstChild.style.width = `${100 * done / Math.max(1, all)}%`;
  return h("div", { class: "amount" }, made, h("span", {}, `${done} / ${all}`));
}

function agreement(value) {
  if (value === null || value === undefined) return h("td", { class: "figure" }, w().never);
  return h("td", { class: `figure ${value < 0.5 ? "low" : ""}` }, value.toFixed(2));
}

async function link(rater, linked) {
  if (linked && !confirm(w().sure(rater))) return;
  const got = await post("/link", { rater });
  fresh = { rater, url: location.origin + got.path };
  await ask();
}

function row(one) {
  const where = one.session === null ? w().done : one.sessions > 1 ? `${one.session} / ${one.sessions}` : "1";
  return h("tr", {},
    h("th", { scope: "row" }, h("span", { class: one.seen_sec !== null && one.seen_sec < 120 ? "dot on" : "dot", "aria-hidden": "true" }), one.rater),
    h("td", {}, bar(one.done, one.of)), h("td", {}, where), h("td", {}, ago(one.answered_sec)),
    state.dimensions.map(d => agreement(one.agreement[d.name])),
    h("td", {}, button(w()[one.linked ? "link" : "make"], () => link(one.rater, one.linked), { class: "plain" })));
}

function view() {
  const total = key => state.raters.reduce((sum, one) => sum + one[key], 0);
  document.title = of(state.title);
  const other = state.languages.length > 1 && button(w().other, () => { speak(state.languages.find(one => one !== language())); view(); }, { class: "plain" });
  document.getElementById("top").replaceChildren(
    h("span", { class: "study" }, of(state.title)),
    h("span", { class: "progress" }, h("span", { class: state.paused ? "state paused" : "state" }, state.paused ? w().paused : w().running)),
    h("nav", {}, other));
  const at = window.scrollY;
  show(h("section", { class: "organiser" },
    h("div", { class: "tools" },
      h("div", { class: "total" }, h("b", {}, w().all), bar(total("done"), total("of"))),
      button(state.paused ? w().go : w().pause, async () => { state = await post("/pause", { paused: !state.paused }); view(); }, { class: state.paused ? "main" : "plain framed" }),
      h("a", { href: address("/export/scores.parquet"), download: "scores.parquet", class: "button" }, w().scores),
      h("a", { href: address("/export/score_details.parquet"), download: "score_details.parquet", class: "button" }, w().details)),
    fresh && h("div", { class: "fresh", role: "status" }, h("span", {}, w().shown(fresh.rater)), h("code", {}, fresh.url),
      navigator.clipboard && button(w().copy, () => navigator.clipboard.writeText(fresh.url), { class: "plain framed" })),
    h("div", { class: "wide" }, h("table", {},
      h("thead", {}, h("tr", {}, w().head.map(text => h("th", { scope: "col" }, text)),
        state.dimensions.map(d => h("th", { scope: "col", class: "figure" }, of(d.label), h("small", {}, w().agreement))), h("th", {}))),
      h("tbody", {}, state.raters.map(row)))),
    h("p", { class: "quiet" }, w().note)));
  window.scrollTo(0, at);
}

async function ask() {
  try {
    state = await get("/state");
    view();
  } catch {
    say(w().failed);
  }
}

(async () => {
  state = await get("/state").catch(() => null);
  if (!state) return;
  speak(navigator.languages.map(one => one.split("-")[0]).find(one => state.languages.includes(one)) ?? state.languages[0]);
  view();
  setInterval(() => { if (!document.hidden && !document.activeElement?.matches("button, a")) ask(); }, 10000);
})();
