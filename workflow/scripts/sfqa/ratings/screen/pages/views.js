// The pages between videos: welcome, session, break, pause, end.
import { button, copier, h, icon, linked, paragraphs, say, show } from "./dom.js";
import { of, t } from "./text.js";

function sheet(title, ...parts) {
  show(h("section", { class: "sheet" }, h("h1", {}, title), ...parts));
}

const mail = text => /^[^\s@]+@[^\s@]+$/.test(text) ? h("a", { href: `mailto:${text}` }, text) : linked(text);

const contact = study => study.contact && h("p", { class: "quiet" }, `${t("contact")}: `, mail(study.contact));

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
  const fields = study.profile.map(question => ({
    name: question.name,
    required: question.required,
    field: question.choices.length
      ? h("select", { id: `p-${question.name}`, required: question.required }, h("option", { value: "" }, t("choose")), question.choices.map(c => h("option", { value: c.value }, of(c.label))))
      : h("input", { id: `p-${question.name}`, type: "text", maxlength: "200", autocomplete: "off", required: question.required }),
    label: `${of(question.label)} (${t(question.required ? "required" : "optional")})`,
  }));
  const agreed = h("input", { type: "checkbox", id: "agree" });
  const press = button(t("start"), async () => {
    press.disabled = true;
    await send(Object.fromEntries(fields.map(question => [question.name, question.field.value])));
  }, { class: "main", disabled: true });
  const update = () => { press.disabled = !agreed.checked || fields.some(question => question.required && !question.field.value.trim()); };
  for (const input of [agreed, ...fields.map(question => question.field)]) input.addEventListener("input", update);
  sheet(of(study.title),
    h("p", { class: "lead" }, t("hello")),
    ...paragraphs(study.welcome ? of(study.welcome) : t("welcome")),
    h("ol", { class: "steps" }, t("steps").map(step => h("li", {}, step))),
    h("div", { class: "sound" }, button([icon("sound"), t("sound")], soundTest, { class: "plain" }), h("span", { class: "quiet" }, t("sound_hint"))),
    fields.length > 0 && h("fieldset", {}, h("legend", {}, t("about")),
      fields.map(question => h("div", { class: "field" }, h("label", { for: `p-${question.name}` }, question.label), question.field))),
    h("label", { class: "agree" }, agreed, h("span", {}, study.consent ? linked(of(study.consent)) : t("consent"), " ", h("b", {}, t("agree")))),
    press, contact(study));
}

const criteria = study => study.dimensions.map(one => h("section", { class: "criteria" },
  h("h2", {}, of(one.label)),
  one.question && h("p", {}, of(one.question)),
  h("ol", {}, one.points.map((point, n) => {
    const { low, high } = study.scale;
    const value = low + n * (high - low) / (one.points.length - 1);
    return h("li", {}, h("b", {}, String(Number(value.toFixed(2)))), h("span", { class: "word" }, of(point.word)), h("span", {}, of(point.text)));
  }).reverse())));

export const keys = study => h("p", { class: "keys" }, h("b", {}, t("keys")),
  t("key_list", { points: Math.min(9, Math.max(...study.dimensions.map(one => one.points.length))) }).map(([key, does]) => h("span", {}, h("kbd", {}, key), ` ${does}`)));

const sessionTitle = ({ session: n, sessions: all }) => t("session", { n, of: all });

export function session(study, state, fresh, send) {
  const { session: number, sessions, done, of: all } = state.progress;
  const n = Math.max(1, Math.round((state.seconds * 1.3 + 10 * (all - done)) / 60));
  const length = t(state.breaks ? "session_length_breaks" : "session_length", { videos: t("videos", { n: all - done }), minutes: t("minutes", { n }) });
  const go = button(t("begin"), async () => { go.disabled = true; await send(); }, { class: "main" });
  sheet(sessions > 1 ? sessionTitle(state.progress) : t("scales"),
    number > 1 && !fresh && h("p", { class: "lead" }, t("session_done")),
    h("p", {}, length, " ", state.training > 0 && t("training_first", { n: state.training })),
    h("div", { class: "all-criteria" }, criteria(study)),
    keys(study), go, contact(study));
  go.focus({ preventScroll: true });
}

export function ready(study, state, go) {
  const { done, of: all } = state.progress;
  const press = button(t("resume"), go, { class: "main" });
  sheet(t("back"), h("p", {}, t("back_text", { done, of: all })),
    h("div", { class: "all-criteria" }, criteria(study)), keys(study), press, contact(study));
  press.focus({ preventScroll: true });
}

export function counts(go) {
  const press = button(t("resume"), go, { class: "main" });
  sheet(t("training_over"), h("p", { class: "lead" }, t("training_over_text")), press);
  press.focus({ preventScroll: true });
}

export function rest(state, go) {
  const ends = performance.now() + 1000 * state.seconds;
  const around = 2 * Math.PI * 54;
  const arc = h("circle", { cx: "60", cy: "60", r: "54", class: "arc" });
  const left = h("span", { class: "left", role: "timer" });
  const press = button(t("resume"), go, { class: "main", disabled: true });
  sheet(t("break_title"),
    h("p", {}, t("break_text")),
    h("div", { class: "clock" }, h("svg", { viewBox: "0 0 120 120", "aria-hidden": "true" }, h("circle", { cx: "60", cy: "60", r: "54" }), arc), left),
    h("p", { class: "quiet" }, t("progress", state.progress)), press);
  const tick = () => {
    const seconds = Math.max(0, Math.ceil((ends - performance.now()) / 1000));
    left.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    arc.style.strokeDasharray = `${around * seconds / Math.max(1, state.whole)} ${around}`;
    if (seconds > 0) return;
    clearInterval(timer);
    press.disabled = false;
    press.focus({ preventScroll: true });
    say(t("break_over"));
  };
  const timer = setInterval(tick, 250);
  tick();
  return () => clearInterval(timer);
}

export function paused(study, again) {
  sheet(t("paused_title"), h("p", {}, t("paused_text")), contact(study));
  const timer = setInterval(again, 5000);
  return () => clearInterval(timer);
}

export const replaced = study => sheet(t("replaced_title"), h("p", {}, t("replaced_text")), contact(study));

export function finished(study, state) {
  const { code, url } = state.completion ?? {};
  sheet(t("finished"), h("div", { class: "tick" }, icon("check")),
    h("p", { class: "lead" }, t(state.completion ? "finished_text_code" : "finished_text", { n: state.done })),
    code && h("p", { class: "completion" }, h("span", {}, t("completion_code")), h("output", { id: "code" }, code), copier(code, t("copy"), t("copied"))),
    url && h("p", {}, t("return_text")),
    url && h("a", { class: "main return", href: url, rel: "noreferrer" }, t("return_link")),
    ...(study.finish ? paragraphs(of(study.finish)) : []), contact(study));
}

export const failed = key => sheet(t(key), key === "fault" && button(t("retry"), () => location.reload(), { class: "main" }));
