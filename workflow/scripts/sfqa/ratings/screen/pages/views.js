// The pages between videos: welcome, session, break, pause, end.
import { button, h, icon, paragraphs, say, show } from "./dom.js";
import { of, t } from "./text.js";

function sheet(title, ...parts) {
  show(h("section", { class: "sheet" }, h("h1", {}, title), ...parts));
}

const contact = study => study.contact && h("p", { class: "quiet" }, `${t("contact")}: ${study.contact}`);

// Three synthesized notes.
function soundTest() {
  const context = new (window.AudioContext ?? window.webkitAudioContext)();
  [523.25, 659.25, 783.99].forEach((pitch, n) => {
    const tone = context.createOscillator();
    const loud = context.createGain();
    const at = context.currentTime + 0.05 + 0.35 * n;
    tone.frequency.value = pitch;
    loud.gain.setValueAtTime(0, at);
    loud.gain.linearRampToValueAtTime(0.2, at + 0.03);
    loud.gain.exponentialRampToValueAtTime(0.001, at + 0.34);
    tone.connect(loud).connect(context.destination);
    tone.start(at);
    tone.stop(at + 0.35);
  });
  setTimeout(() => context.close(), 1600);
}

export function welcome(study, send) {
  const fields = study.profile.map(one => ({
    name: one.name,
    field: one.choices.length
      ? h("select", { id: `p-${one.name}` }, h("option", { value: "" }, t("choose")), one.choices.map(c => h("option", { value: c.value }, of(c.label))))
      : h("input", { id: `p-${one.name}`, type: "text", maxlength: "200", autocomplete: "off" }),
    label: of(one.label),
  }));
  const agreed = h("input", { type: "checkbox", id: "agree" });
  const go = button(t("start"), async () => {
    go.disabled = true;
    await send(Object.fromEntries(fields.map(one => [one.name, one.field.value])));
  }, { class: "main", disabled: true });
  agreed.addEventListener("change", () => { go.disabled = !agreed.checked; });
  sheet(of(study.title),
    h("p", { class: "lead" }, t("hello")),
    ...paragraphs(study.welcome ? of(study.welcome) : t("welcome")),
    h("ol", { class: "steps" }, t("steps").map(step => h("li", {}, step))),
    h("div", { class: "sound" }, button([icon("sound"), t("sound")], soundTest, { class: "plain" }), h("span", { class: "quiet" }, t("soundHint"))),
    fields.length && h("fieldset", {}, h("legend", {}, `${t("about")} (${t("optional")})`),
      fields.map(one => h("div", { class: "field" }, h("label", { for: `p-${one.name}` }, one.label), one.field))),
    h("label", { class: "agree" }, agreed, h("span", {}, study.consent ? of(study.consent) : t("consent"), " ", h("b", {}, `${t("agree")}${t("stop").trim()}`))),
    go, contact(study));
}

const criteria = study => study.dimensions.map(one => h("section", { class: "criteria" },
  h("h3", {}, of(one.label)),
  one.question && h("p", {}, of(one.question)),
  h("ol", {}, one.points.map((point, n) => {
    const { low, high } = study.scale;
    const value = low + n * (high - low) / (one.points.length - 1);
    return h("li", {}, h("b", {}, String(Number(value.toFixed(2)))), h("span", { class: "word" }, of(point.word)), h("span", {}, of(point.text)));
  }).reverse())));

export const keys = study => h("p", { class: "keys" }, h("b", {}, t("keys")),
  t("keyList", Math.min(9, Math.max(...study.dimensions.map(one => one.points.length)))).map(([key, does]) => h("span", {}, h("kbd", {}, key), ` ${does}`)));

export function session(study, state, fresh, send) {
  const { session: number, sessions, done, of: all } = state.progress;
  const minutes = Math.max(1, Math.round((state.seconds * 1.3 + 10 * (all - done)) / 60));
  const go = button(t("begin"), async () => { go.disabled = true; await send(); }, { class: "main" });
  sheet(sessions > 1 ? t("session", number, sessions) : t("scales"),
    number > 1 && !fresh && h("p", { class: "lead" }, `${t("sessionDone")}${t("stop")}${t("sessionDoneText")}`),
    h("p", {}, t("videos", all - done, minutes), t("stop"), state.training && t("trainingFirst")),
    h("div", { class: "all-criteria" }, criteria(study)),
    keys(study), go, contact(study));
  go.focus({ preventScroll: true });
}

export function ready(study, state, go) {
  const { done, of: all } = state.progress;
  const press = button(t("resume"), go, { class: "main" });
  sheet(t("back"), h("p", {}, t("backText", done, all)),
    h("div", { class: "all-criteria" }, criteria(study)), keys(study), press, contact(study));
  press.focus({ preventScroll: true });
}

export function counts(go) {
  const press = button(t("resume"), go, { class: "main" });
  sheet(t("trainingOver"), h("p", { class: "lead" }, t("trainingOverText")), press);
  press.focus({ preventScroll: true });
}

export function rest(state, go) {
  const ends = performance.now() + 1000 * state.seconds;
  const around = 2 * Math.PI * 54;
  const arc = h("circle", { cx: "60", cy: "60", r: "54", class: "arc" });
  const left = h("span", { class: "left", role: "timer" });
  const press = button(t("resume"), go, { class: "main", disabled: true });
  sheet(t("breakTitle"),
    h("p", {}, t("breakText")),
    h("div", { class: "clock" }, h("svg", { viewBox: "0 0 120 120", "aria-hidden": "true" }, h("circle", { cx: "60", cy: "60", r: "54" }), arc), left),
    h("p", { class: "quiet" }, t("progress", state.progress.done, state.progress.of)), press);
  const tick = () => {
    const seconds = Math.max(0, Math.ceil((ends - performance.now()) / 1000));
    left.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    arc.style.strokeDasharray = `${around * seconds / Math.max(1, state.whole)} ${around}`;
    if (seconds > 0) return;
    clearInterval(timer);
    press.disabled = false;
    press.focus({ preventScroll: true });
    say(t("breakOver"));
  };
  const timer = setInterval(tick, 250);
  tick();
  return () => clearInterval(timer);
}

export function paused(study, again) {
  sheet(t("pausedTitle"), h("p", {}, t("pausedText")), contact(study));
  const timer = setInterval(again, 5000);
  return () => clearInterval(timer);
}

export function finished(study, state) {
  sheet(t("finished"), h("div", { class: "tick" }, icon("check")),
    h("p", { class: "lead" }, t("finishedText", state.done)),
    ...(study.finish ? paragraphs(of(study.finish)) : []), contact(study));
}

export const failed = key => sheet(t(key), key === "fault" && button(t("retry"), () => location.reload(), { class: "main" }));
