// The video: loaded completely, played to its end, with measurements of the playback.
import { address, wait } from "./api.js";
import { button, h, icon, say } from "./dom.js";
import { t } from "./text.js";

const kept = new Map();

// Load a video completely and report the progress; repeated calls load it once.
function fetched(id) {
  if (kept.has(id)) return kept.get(id);
  const entry = { share: 0, url: null, listeners: new Set(), stop: new AbortController() };
  entry.done = (async () => {
    for (let tries = 0; ; tries += 1) {
      try {
        const response = await fetch(address(`/media/${id}/video`), { credentials: "omit", signal: entry.stop.signal });
        if (!response.ok) throw Object.assign(new Error("refused"), { final: response.status < 500 });
        const whole = Number(response.headers.get("content-length")) || 0;
        const parts = [];
        let size = 0;
        const reader = response.body.getReader();
        for (let next = await reader.read(); !next.done; next = await reader.read()) {
          parts.push(next.value);
          size += next.value.length;
          if (whole) entry.share = size / whole;
          entry.listeners.forEach(listen => listen(entry.share));
        }
        if (whole && size !== whole) throw new Error("cut off");
        entry.url = URL.createObjectURL(new Blob(parts, { type: response.headers.get("content-type") }));
        return entry.url;
      } catch (error) {
        if (error.final || error.name === "AbortError" || tries >= 5) throw error;
        await wait(Math.min(500 * 2 ** tries, 8000));
      }
    }
  })();
  entry.done.catch(() => kept.get(id) === entry && kept.delete(id));
  kept.set(id, entry);
  return entry;
}

// Release all other videos, because browsers hang if too many are open.
export function keep(...ids) {
  for (const [id, entry] of kept) {
    if (ids.includes(id)) continue;
    entry.stop.abort();
    if (entry.url) URL.revokeObjectURL(entry.url);
    kept.delete(id);
  }
}

export const preload = id => { fetched(id).done.catch(() => {}); };

export class Player {
  // heard: another sound must stop; ended: at every end; refused: the server refuses the video.
  // display: largest zoom of the video, and whether it counts in CSS or device pixels.
  constructor(id, replays, display, { heard, ended, loaded, refused }) {
    Object.assign(this, { id, replays, display, heard, ended, loaded, refused });
    this.measured = { play_sec: null, plays: 0, stalls: 0, stall_sec: 0, dropped_frames: null, total_frames: null };
    this.endedAt = null;
    this.running = false;
    this.video = h("video", {
      playsinline: true, preload: "auto", disablepictureinpicture: true, disableremoteplayback: true,
      "aria-label": t("video"), oncontextmenu: event => event.preventDefault(),
    });
    this.note = h("span", { class: "note" });
    this.cover = h("button", { type: "button", class: "cover", disabled: true, onclick: () => this.play() });
    this.line = h("div", { class: "elapsed" }, h("i"));
    this.element = h("div", { class: "player" }, this.video, this.cover, this.line);
    this.observe();
    this.load();
  }

  async load(direct = false) {
    this.face("loading");
    const entry = fetched(this.id);
    const listen = share => { if (!this.ready) this.note.textContent = `${Math.floor(share * 100)} %`; };
    entry.listeners.add(listen);
    try {
      const source = direct ? address(`/media/${this.id}/video`) : await entry.done;
      if (this.gone) return;
      this.video.src = source;
      this.video.load();
    } catch (error) {
      if (this.gone) return;
      this.face("broken");
      if (error.final) this.refused();
    }
    entry.listeners.delete(listen);
    this.direct = direct;
  }

  observe() {
    const video = this.video;
    const on = (name, does) => video.addEventListener(name, does);
    on("loadeddata", () => {
      if (this.ready) return;
      this.ready = true;
      this.element.style.setProperty("--shape", `${video.videoWidth || 1} / ${video.videoHeight || 1}`);
      this.element.style.setProperty("--ratio", String((video.videoWidth || 1) / (video.videoHeight || 1)));
      this.limit();
      this.face("play");
      this.loaded();
    });
    on("error", () => {
      if (this.gone) return;
      if (!this.direct) this.load(true);
      else this.face("broken");
    });
    on("playing", () => {
      if (this.stalledAt) this.measured.stall_sec += (performance.now() - this.stalledAt) / 1000;
      this.stalledAt = null;
      this.startedAt ??= performance.now();
    });
    on("waiting", () => {
      if (!this.startedAt || this.stalledAt || video.ended || !this.running) return;
      this.stalledAt = performance.now();
      if (!this.endedAt) this.measured.stalls += 1;
    });
    // Paused by a media key, a call or a locked phone: resume, because the end must be seen.
    on("pause", () => { if (!video.ended && this.running && !this.gone) { this.running = false; this.face("continue"); } });
    on("seeking", () => { if (this.running && video.currentTime > (this.reached ?? 0) + 0.5) video.currentTime = this.reached ?? 0; });
    on("timeupdate", () => {
      if (!video.seeking) this.reached = Math.max(this.reached ?? 0, video.currentTime);
      this.line.firstChild.style.width = `${100 * video.currentTime / (video.duration || 1)}%`;
    });
    on("ended", () => this.finish());
  }

  // Limit the size of the video to the study's largest zoom; at zoom 1 a pixel is a pixel.
  limit() {
    const { max_zoom, pixels } = this.display;
    if (!max_zoom || !this.video.videoWidth) return;
    const zoom = max_zoom / (pixels === "device" ? devicePixelRatio : 1);
    this.element.style.setProperty("--max-width", `${this.video.videoWidth * zoom}px`);
  }

  // The size of the picture itself, without bars beside or above it, in CSS pixels.
  get pictureWidth() {
    const { width, height } = this.video.getBoundingClientRect();
    const { videoWidth, videoHeight } = this.video;
    return videoWidth ? videoWidth * Math.min(width / videoWidth, height / videoHeight) : width;
  }

  finish() {
    const first = !this.endedAt;
    this.running = false;
    this.measured.plays += 1;
    if (first) {
      this.endedAt = performance.now();
      if (this.startedAt) this.measured.play_sec = (this.endedAt - this.startedAt) / 1000;
      const quality = this.video.getVideoPlaybackQuality?.();
      if (quality) {
        this.measured.dropped_frames = quality.droppedVideoFrames;
        this.measured.total_frames = quality.totalVideoFrames;
      }
    }
    this.face("again");
    this.ended(first);
  }

  get left() {
    return this.replays === null ? null : Math.max(0, this.replays + 1 - this.measured.plays);
  }

  async play() {
    if (this.state === "broken") { kept.delete(this.id); this.load(); return; }
    if (!this.ready || this.running || this.left === 0) return;
    if (this.state !== "continue") { this.reached = 0; this.video.currentTime = 0; }
    this.running = true;
    this.heard();
    this.face("none");
    try {
      await this.video.play();
    } catch {
      if (this.gone || !this.running) return;
      this.running = false;
      this.face("continue");
    }
  }

  face(state) {
    this.state = state;
    this.element.dataset.state = state;
    this.element.setAttribute("aria-busy", String(state === "loading"));
    this.cover.hidden = state === "none" || (state === "again" && this.left === 0);
    this.cover.disabled = state === "loading";
    const label = { loading: t("loading"), play: t("play"), again: t("again"), continue: t("continue_play"), broken: t("retry"), none: "" }[state];
    this.note.textContent = "";
    if (state === "again" && this.left !== null) this.note.textContent = t("left", { n: this.left });
    if (state === "broken") { this.note.textContent = t("broken_video"); say(t("broken_video")); }
    const sign = state === "loading" ? h("span", { class: "spinner", "aria-hidden": "true" }) : icon(state === "again" || state === "broken" ? "again" : "play");
    this.cover.replaceChildren(sign, h("span", {}, label), this.note);
  }

  leave() {
    this.gone = true;
    this.running = false;
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load();
  }
}

// The driving recording: a button and a progress line; it may be played any number of times.
export class Clip {
  constructor(id, heard) {
    this.plays = 0;
    this.heard = heard;
    this.audio = h("audio", { preload: "none" });
    this.source = address(`/media/${id}/clip`);
    this.button = button(icon("play"), () => this.toggle(), { class: "round", "aria-label": t("play_clip") });
    this.line = h("div", { class: "line" }, h("i"));
    this.element = h("div", { class: "clip-player" }, this.button, this.line);
    this.audio.addEventListener("timeupdate", () => {
      this.line.firstChild.style.width = `${100 * this.audio.currentTime / (this.audio.duration || 1)}%`;
    });
    for (const name of ["ended", "pause", "error"]) this.audio.addEventListener(name, () => this.face(false));
  }

  face(on) {
    this.on = on;
    this.button.replaceChildren(icon(on ? "stop" : "play"));
    this.button.setAttribute("aria-label", t(on ? "stop_clip" : "play_clip"));
  }

  async toggle() {
    if (this.on) { this.stop(); return; }
    this.heard();
    if (!this.audio.getAttribute("src")) this.audio.src = this.source;
    this.audio.currentTime = 0;
    this.face(true);
    this.plays += 1;
    await this.audio.play().catch(() => this.face(false));
  }

  stop() { this.audio.pause(); }

  leave() { this.audio.pause(); this.audio.removeAttribute("src"); this.audio.load(); }
}
