// The rater's page: get the rater's state from the server and show it.
import { Refusal, get, insist, post } from "./api.js";
import { button, h, icon } from "./dom.js";
import { keep } from "./player.js";
import { language, of, speak, t } from "./text.js";
import { Trial } from "./trial.js";
import * as views from "./views.js";

let study = null;
let state = null;
let leave = () => {};
let started = false; // something was answered or begun since this page was opened
let greeted = false; // the rater has pressed a button: sound may be played

const quietly = () => {};

const trouble = h("p", { class: "trouble", role: "alert", hidden: true });

function troubled(on) {
  trouble.hidden = !on;
  trouble.textContent = on ? t("retrying") : "";
}

function theme(chosen) {
  if (chosen) document.documentElement.dataset.theme = chosen;
  else delete document.documentElement.dataset.theme;
}

function dark() {
  return (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
}

const saved = h("span", { class: "saved", "aria-hidden": "true" });

function top() {
  const progress = state?.progress;
  const languages = study.languages.length > 1 && button(t("other"), () => change({ language: study.languages.find(one => one !== language()) }),
    { class: "plain", lang: language() === "zh" ? "en" : "zh", "aria-label": `${t("language")}: ${t("other")}` });
  const share = progress ? progress.done / Math.max(1, progress.of) : state?.stage === "finished" ? 1 : 0;
  const bar = h("div", {
    class: "bar", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": String(progress?.of ?? 1),
    "aria-valuenow": String(progress?.done ?? 0), "aria-label": progress ? t("progress", progress.done, progress.of) : of(study.title),
  }, h("i"));
  bar.firstChild.style.width = `${100 * share}%`;
  document.getElementById("top").replaceChildren(
    h("span", { class: "study" }, of(study.title)),
    progress ? h("span", { class: "progress" }, h("span", {}, t("session", progress.session, progress.sessions)), h("b", {}, `${progress.done} / ${progress.of}`), saved) : h("span", { class: "progress" }),
    h("nav", {}, languages, button(icon("theme"), () => change({ theme: dark() ? "light" : "dark" }), { class: "plain", "aria-label": t("theme") })),
    bar, trouble);
  document.title = of(study.title);
}

// Language and theme can be changed at any time without interrupting a video.
async function change(chosen) {
  if (chosen.theme) theme(chosen.theme);
  if (chosen.language) {
    speak(chosen.language);
    if (leave.trial && (leave.trial.player.startedAt || leave.trial.sending)) top();
    else view();
  }
  await post("/settings", chosen).catch(quietly);
}

function take(next) {
  state = next;
  view();
}

async function ask() {
  take(await insist(() => get("/state"), troubled));
}

// The state on the server has changed: rated in another window, paused, or a new plan.
const behind = error => error instanceof Refusal && (error.status === 409 || error.word === "no_such_presentation");

// Errors are shown. If a request was refused because the page is out of date, reload the state.
const carefully = does => async (...given) => {
  try {
    await does(...given);
  } catch (error) {
    if (behind(error)) await ask().catch(() => views.failed("fault"));
    else views.failed(error instanceof Refusal && error.word === "no_such_link" ? "gone" : "fault");
  }
};

const consent = carefully(async profile => {
  greeted = true;
  take(await insist(() => post("/consent", { language: language(), profile }), troubled));
});

const begin = carefully(async () => {
  greeted = true;
  started = true;
  take(await insist(() => post("/begin"), troubled));
});

const answer = carefully(async (body, troubled) => {
  const got = await insist(() => post("/score", body), troubled);
  started = true;
  saved.replaceChildren(icon("check"), t("saved"));
  saved.classList.remove("flash");
  void saved.offsetWidth;
  saved.classList.add("flash");
  take(got.state);
});

function view() {
  leave();
  leave = () => {};
  top();
  const again = carefully(ask);
  const go = () => { greeted = true; started = true; rate(); };
  const resume = () => { greeted = true; started = true; view(); };
  document.body.dataset.stage = state.stage;
  if (state.stage !== "rate" && state.stage !== "break") keep();
  if (state.stage === "welcome") views.welcome(study, consent);
  else if (state.stage === "session") views.session(study, state, !started, begin);
  else if (state.stage === "break") leave = views.rest(state, () => { greeted = true; started = true; again(); });
  else if (state.stage === "paused") leave = views.paused(study, again);
  else if (state.stage === "finished") views.finished(study, state);
  else if (!greeted || !started) views.ready(study, state, resume);
  else if (state.presentation.counts_now) views.counts(go);
  else rate();
}

function rate() {
  const trial = new Trial(study, state.presentation, answer, carefully(ask));
  leave = () => trial.leave();
  leave.trial = trial;
}

(async () => {
  try {
    const got = await get("/about");
    study = got.study;
    const wanted = navigator.languages.map(one => one.split("-")[0]).find(one => study.languages.includes(one));
    speak(got.state.language ?? wanted ?? study.languages[0]);
    theme(got.state.theme);
    take(got.state);
  } catch (error) {
    views.failed(error instanceof Refusal && error.status === 404 ? "gone" : "fault");
  }
})();
