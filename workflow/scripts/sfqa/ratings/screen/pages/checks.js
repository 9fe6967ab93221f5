// Checks of a rater's equipment before the first session: headphones, and colour vision.
import { button, h, show } from "./dom.js";
import { drawPlate } from "./plates.js";
import { t } from "./text.js";

const shuffle = list => {
  const mixed = [...list];
  for (let n = mixed.length - 1; n > 0; n -= 1) {
    const other = Math.floor(Math.random() * (n + 1));
    [mixed[n], mixed[other]] = [mixed[other], mixed[n]];
  }
  return mixed;
};

// Three tones of 200 Hz, after Woods et al. (2017): one 6 dB quieter, and one of the other two with
// opposite phase in the two channels. Loudspeakers cancel that one, so that it seems the quietest.
const TONE_SEC = 1, RAMP_SEC = 0.1, PAUSE_SEC = 0.5, HERTZ = 200, LEVEL = 0.25, QUIET = 10 ** (-6 / 20);

export const TONES_SEC = 3 * TONE_SEC + 2 * PAUSE_SEC + 0.2;

export function scheduleTones(context, quietest, opposite) {
  [0, 1, 2].forEach(n => {
    const at = context.currentTime + 0.1 + n * (TONE_SEC + PAUSE_SEC);
    const level = LEVEL * (n === quietest ? QUIET : 1);
    const tone = context.createOscillator();
    const loudness = context.createGain();
    const channels = context.createChannelMerger(2);
    tone.frequency.value = HERTZ;
    loudness.gain.setValueAtTime(0, at);
    loudness.gain.linearRampToValueAtTime(level, at + RAMP_SEC);
    loudness.gain.setValueAtTime(level, at + TONE_SEC - RAMP_SEC);
    loudness.gain.linearRampToValueAtTime(0, at + TONE_SEC);
    tone.connect(loudness);
    [0, 1].forEach(channel => {
      const phase = context.createGain();
      phase.gain.value = channel === 1 && n === opposite ? -1 : 1;
      loudness.connect(phase);
      phase.connect(channels, 0, channel);
    });
    channels.connect(context.destination);
    tone.start(at);
    tone.stop(at + TONE_SEC);
  });
}

function playTones(quietest, opposite) {
  const context = new (window.AudioContext ?? window.webkitAudioContext)();
  scheduleTones(context, quietest, opposite);
  return new Promise(done => setTimeout(() => { context.close(); done(); }, 1000 * TONES_SEC));
}

// Each task shows itself and calls back with the expected and the chosen answer, as texts.
const checks = {
  headphones(number, answer) {
    const quietest = Math.floor(Math.random() * 3);
    const opposite = (quietest + 1 + Math.floor(Math.random() * 2)) % 3;
    const choices = [0, 1, 2].map(n => button(t("headphones_choice", { n: n + 1 }), () => answer(String(quietest + 1), String(n + 1)), { class: "plain framed", disabled: true }));
    const play = button(t("headphones_play"), async () => {
      play.disabled = true;
      await playTones(quietest, opposite);
      choices.forEach(choice => { choice.disabled = false; });
      choices[0].focus({ preventScroll: true });
    }, { class: "main" });
    return { parts: [play, h("p", {}, h("b", {}, t("headphones_question"))), h("div", { class: "choices" }, choices)], first: play };
  },

  colour_vision(number, answer, plates) {
    const { digit, kind } = plates[number];
    const canvas = h("canvas", { width: "320", height: "320", class: "plate", role: "img", "aria-label": t("colour_vision_picture") });
    drawPlate(canvas, digit, kind);
    const expected = digit === null ? "none" : String(digit);
    const choices = Array.from({ length: 10 }, (_, n) => button(String(n), () => answer(expected, String(n)), { class: "plain framed" }));
    const none = button(t("colour_vision_none"), () => answer(expected, "none"), { class: "plain framed" });
    return { parts: [canvas, h("p", {}, h("b", {}, t("colour_vision_question"))), h("div", { class: "choices digits" }, choices), none], first: choices[0] };
  },
};

// A plate that everyone can read, four whose digit differs from its ground in red and green only,
// and one without a digit.
function choosePlates() {
  const digits = shuffle([2, 3, 4, 5, 6, 7, 8, 9]);
  const plates = shuffle([{ digit: digits[1], kind: "protan" }, { digit: digits[2], kind: "protan" }, { digit: digits[3], kind: "deutan" }, { digit: digits[4], kind: "deutan" }, { digit: null, kind: "protan" }]);
  return [{ digit: digits[0], kind: "plain" }, ...plates];
}

// Show the tasks of a check one after the other and send the answers; returns how to leave it.
export function runCheck(study, state, send) {
  const name = state.check;
  const of = study.tasks[name];
  const answers = [];
  const plates = choosePlates();
  const next = () => {
    const number = answers.length;
    let answered = false;
    const { parts, first } = checks[name](number, (expected, chosen) => {
      if (answered) return;
      answered = true;
      answers.push([expected, chosen]);
      if (answers.length < of) next();
      else send(name, answers);
    }, plates);
    show(h("section", { class: "sheet check" },
      h("p", { class: "quiet" }, t("check_number", { n: state.number, of: state.of })),
      h("h1", {}, t(`${name}_title`)),
      h("p", {}, t(`${name}_text`, { n: of })),
      h("p", { class: "quiet", role: "status" }, t(`${name}_round`, { n: number + 1, of })),
      ...parts));
    first.focus({ preventScroll: true });
  };
  next();
  const leave = () => {};
  leave.busy = true;
  return leave;
}
