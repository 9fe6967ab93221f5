// The rater's page: get the rater's state from the server and show it.
import { Refusal, get, insist, post } from "./api.js";
import { runCheck } from "./checks.js";
import { button, h, icon } from "./dom.js";
import { keep } from "./player.js";
import { htmlLanguage, language, languageName, load, of, preferred, speak, t } from "./text.js";
import { Trial } from "./trial.js";
import * as views from "./views.js";
import { WindowGuard, fillScreen } from "./window.js";

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

// The theme of the study, if it fixes one; else that of the rater, else that of the system.
function theme(chosen) {
  const fixed = study.display.theme;
  const wanted = fixed === "choice" ? chosen : fixed;
  if (wanted) document.documentElement.dataset.theme = wanted;
  else delete document.documentElement.dataset.theme;
}

function dark() {
  return (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
}

// The grey around the videos, the same for every rater and in both themes.
function surround(grey) {
  if (grey === null) return;
  document.body.classList.add("surround");
  document.body.style.setProperty("--surround", `rgb(${grey} ${grey} ${grey})`);
}

const saved = h("span", { class: "saved", "aria-hidden": "true" });

function languageChoice() {
  const others = study.languages.filter(code => code !== language());
  if (!others.length) return null;
  if (others.length === 1) {
    const name = languageName(others[0]);
    return button(name, () => change({ language: others[0] }), { class: "plain", lang: htmlLanguage(others[0]), "aria-label": `${t("language")}: ${name}` });
  }
  return h("select", { class: "languages", "aria-label": t("language"), onchange: event => change({ language: event.target.value }) },
    study.languages.map(code => h("option", { value: code, lang: htmlLanguage(code), selected: code === language() }, languageName(code))));
}

function top() {
  const progress = state?.progress;
  const share = progress ? progress.done / Math.max(1, progress.of) : state?.stage === "finished" ? 1 : 0;
  const bar = h("div", {
    class: "bar", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": String(progress?.of ?? 1),
    "aria-valuenow": String(progress?.done ?? 0), "aria-label": progress ? t("progress", progress) : of(study.title),
  }, h("i"));
  bar.firstChild.style.width = `${100 * share}%`;
  const session = progress && (progress.sessions > 1 ? t("session", { n: progress.session, of: progress.sessions }) : t("one_session"));
  const themes = study.display.theme === "choice" && button(icon("theme"), () => change({ theme: dark() ? "light" : "dark" }), { class: "plain", "aria-label": t("theme") });
  document.getElementById("top").replaceChildren(
    h("span", { class: "study" }, of(study.title)),
    progress ? h("span", { class: "progress" }, h("span", {}, session), h("b", {}, `${progress.done} / ${progress.of}`), saved) : h("span", { class: "progress" }),
    h("nav", { "aria-label": t("language") }, languageChoice() ?? "", themes || ""),
    bar, trouble);
  document.title = of(study.title);
}

// Language and theme can be changed at any time without interrupting a video.
async function change(chosen) {
  if (chosen.theme) theme(chosen.theme);
  if (chosen.language) {
    speak(chosen.language);
    if (leave.busy || (leave.trial && (leave.trial.player.startedAt || leave.trial.sending))) top();
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
  const screen = { screen_width: window.screen.width, screen_height: window.screen.height, pixel_ratio: devicePixelRatio, touch: navigator.maxTouchPoints > 0 ? 1 : 0 };
  take(await insist(() => post("/consent", { language: language(), profile, screen }), troubled));
});

const check = carefully(async (name, tasks) => {
  take(await insist(() => post("/check", { check: name, tasks }), troubled));
});

const begin = carefully(async () => {
  if (study.display.full_screen) await fillScreen();
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
  if (state.stage === "finished" && document.fullscreenElement) document.exitFullscreen().catch(quietly);
  if (state.stage === "welcome") views.welcome(study, consent);
  else if (state.stage === "check") leave = runCheck(study, state, check);
  else if (state.stage === "session") views.session(study, state, !started, begin);
  else if (state.stage === "break") leave = views.rest(state, () => { greeted = true; started = true; again(); });
  else if (state.stage === "paused") leave = views.paused(study, again);
  else if (state.stage === "finished") views.finished(study, state);
  else if (state.stage === "replaced") views.replaced(study);
  else if (!greeted || !started) views.ready(study, state, resume);
  else if (state.presentation.counts_now) views.counts(go);
  else rate();
}

function rate() {
  const trial = new Trial(study, state.presentation, answer, carefully(ask));
  const guard = new WindowGuard(study.display, () => trial.player.video.pause());
  leave = () => { trial.leave(); guard.leave(); };
  leave.trial = trial;
}

(async () => {
  try {
    const got = await get("/about");
    study = got.study;
    load(study.words);
    speak(got.state.language ?? preferred(study.languages));
    theme(got.state.theme);
    surround(study.display.surround);
    take(got.state);
  } catch (error) {
    views.failed(error instanceof Refusal && error.status === 404 ? "gone" : "fault");
  }
})();
