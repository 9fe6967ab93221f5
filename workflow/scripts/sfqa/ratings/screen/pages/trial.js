// One video: its references, the player, the scales, and sending the answer.
import { address } from "./api.js";
import { button, h, say, show } from "./dom.js";
import { Clip, Player, keep, preload } from "./player.js";
import { Scale } from "./scale.js";
import { nameOfLanguage, of, t } from "./text.js";
import { inFullScreen } from "./window.js";
import { keys } from "./views.js";

// The server refuses markup, so "<b" is sent as "< b".
const plain = text => text.trim().replace(/<(?=[a-z/!?])/gi, "< ") || null;

// True only the first time, so that a refused video is not requested forever.
let refusedLast = null;
const once = id => refusedLast !== id && Boolean(refusedLast = id);

const typing = element => element?.matches?.("textarea, select, input:not([type=range])");

export class Trial {
  // send: sends the answer; lost: the server refuses this video.
  constructor(study, shown, send, lost) {
    Object.assign(this, { study, shown, send });
    this.losses = 0;
    this.sending = false;
    keep(shown.id, shown.next);
    const quiet = sound => () => sound()?.stop();
    this.player = new Player(shown.id, study.replays, study.display, {
      heard: quiet(() => this.clip),
      ended: first => { if (first) this.open(); },
      refused: () => once(shown.id) && lost(),
      loaded: () => { if (shown.next) preload(shown.next); },
    });
    if (shown.clip) this.clip = new Clip(shown.id, () => {});
    // The lists of points are open where the window has space for them and the save button.
    const least = study.dimensions.length > 2 ? 980 : study.dimensions.length > 1 ? 780 : 560;
    const room = matchMedia("(min-width: 700px)").matches && innerHeight >= least;
    this.scales = study.dimensions.map(one => new Scale(one, study.scale, scale => this.rated(scale), room));
    this.hint = h("p", { class: "hint" }, t("watch"));
    this.submit = button(t("save"), () => this.answer(), { class: "main", disabled: true });
    this.comment = h("textarea", { rows: "2", maxlength: "500", placeholder: t("problem_hint"), "aria-label": t("problem") });
    this.trouble = h("p", { class: "trouble", role: "alert", hidden: true });
    const reference = this.reference();
    this.element = h("div", { class: reference ? "trial" : "trial bare" }, h("h1", { class: "unseen" }, of(study.title)), reference, this.stage(), this.panel());
    this.listen();
    show(this.element);
  }

  reference() {
    const { id, image, title, spoken, style, prompt } = this.shown;
    const tags = [spoken && nameOfLanguage(spoken), style].filter(Boolean);
    const parts = [
      image && h("figure", {}, h("img", { src: address(`/media/${id}/image`), alt: t("image"), decoding: "async" }), h("figcaption", {}, t("image"))),
      (this.clip || title || tags.length > 0) && h("div", { class: "clip" },
        h("h2", {}, t("clip"), h("span", { class: "tags" }, tags.map(text => h("span", { class: "tag" }, text)))),
        title && h("p", { class: "title" }, title),
        this.clip?.element),
      prompt && h("div", { class: "clip" }, h("h2", {}, t("prompt")), h("p", {}, prompt)),
    ].filter(Boolean);
    return parts.length > 0 && h("aside", { class: "reference" }, parts);
  }

  stage() {
    const text = this.study.training ? of(this.study.training) : t("training_text");
    return h("div", { class: "stage" },
      this.shown.training && h("p", { class: "training" }, h("b", {}, t("training")), text),
      this.player.element, keys(this.study));
  }

  panel() {
    return h("div", { class: "panel" },
      this.scales.map(scale => scale.element),
      h("div", { class: "send" },
        this.trouble, this.hint, this.submit,
        h("details", { class: "problem" }, h("summary", {}, t("problem")), this.comment)));
  }

  listen() {
    this.off = new AbortController();
    const { signal } = this.off;
    document.addEventListener("keydown", event => this.key(event), { signal });
    document.addEventListener("visibilitychange", () => { if (document.hidden) this.losses += 1; }, { signal });
    window.addEventListener("resize", () => this.player.limit(), { signal });
    window.addEventListener("blur", () => { if (!document.hidden) this.losses += 1; }, { signal });
  }

  key(event) {
    if (document.getElementById("main").inert) return; // the window does not fit
    if (event.ctrlKey || event.altKey || event.metaKey || typing(event.target)) return;
    const pressed = event.target.closest?.("button, summary");
    if (event.key === " " && !pressed) {
      event.preventDefault();
      this.player.play();
    } else if (event.key === "Enter" && (!pressed || pressed === this.submit) && !event.repeat) {
      event.preventDefault();
      this.answer();
    } else if (/^[1-9]$/.test(event.key) && this.player.endedAt && !event.repeat) {
      const chosen = this.scales.find(scale => scale.slider === document.activeElement)
        ?? this.scales.find(scale => scale.value === null);
      if (!chosen?.pick(Number(event.key))) return;
      event.preventDefault();
      const next = this.scales.find(scale => scale.value === null);
      (next?.slider ?? this.submit).focus({ preventScroll: true });
    }
  }

  open() {
    this.scales.forEach(scale => scale.open());
    this.hint.textContent = t("rate");
    say(t("rate"));
    this.element.classList.add("open");
    if (typing(document.activeElement)) return;
    this.scales[0].slider.focus({ preventScroll: true });
    const panel = this.element.querySelector(".panel");
    const place = panel.getBoundingClientRect();
    if (place.top > innerHeight / 3) panel.scrollIntoView({ behavior: "smooth", block: place.height > innerHeight - 60 ? "start" : "end" });
  }

  rated() {
    const missing = this.scales.filter(scale => scale.value === null).map(scale => of(scale.dimension.label));
    this.submit.disabled = missing.length > 0 || this.sending;
    this.hint.textContent = missing.length ? t("missing", { names: missing.join(", ") }) : t("ready");
  }

  get answerBody() {
    const round = value => value === null ? null : Number(value.toFixed(3));
    const { play_sec, stall_sec, ...counted } = this.player.measured;
    return {
      presentation: this.shown.id,
      scores: Object.fromEntries(this.scales.map(scale => [scale.dimension.name, scale.value])),
      details: {
        ...counted, play_sec: round(play_sec), stall_sec: round(stall_sec),
        answer_sec: round((performance.now() - this.player.endedAt) / 1000),
        focus_losses: this.losses, clip_plays: this.clip?.plays ?? 0,
        window_width: innerWidth, window_height: innerHeight,
        video_width: Math.round(this.player.pictureWidth), pixel_ratio: round(devicePixelRatio),
        native_width: this.player.video.videoWidth || null, full_screen: inFullScreen() ? 1 : 0,
      },
      comment: plain(this.comment.value),
    };
  }

  async answer() {
    if (this.sending || !this.player.endedAt || this.scales.some(scale => scale.value === null)) return;
    this.sending = true;
    this.submit.disabled = true;
    this.submit.textContent = t("saving");
    this.player.video.pause();
    // Measured once, because a repeated request must contain the same answer.
    await this.send(this.answerBody, on => {
      this.trouble.hidden = !on;
      this.trouble.textContent = on ? t("offline") : "";
    });
  }

  leave() {
    this.off.abort();
    this.player.leave();
    this.clip?.leave();
  }
}
