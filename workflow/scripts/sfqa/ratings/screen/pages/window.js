// The window that a study asks for: a least size, and full screen where the browser has it.
import { button, h } from "./dom.js";
import { t } from "./text.js";

export const inFullScreen = () => Boolean(document.fullscreenElement);

const canFillScreen = () => Boolean(document.fullscreenEnabled && document.documentElement.requestFullscreen);

// What the study asks for and the window does not have: "full_screen", "window" or null.
export function findFault(display) {
  if (display.full_screen && canFillScreen() && !inFullScreen()) return "full_screen";
  if (document.activeElement?.matches("textarea")) return null; // a phone shows its keyboard
  const least = display.window;
  return least && (innerWidth < least.width || innerHeight < least.height) ? "window" : null;
}

export const fillScreen = () => document.documentElement.requestFullscreen().catch(() => {});

// Cover the page while the window does not fit; the video pauses and continues by a click.
export class WindowGuard {
  constructor(display, paused) {
    Object.assign(this, { display, paused });
    this.text = h("p", {});
    this.title = h("h2", {});
    this.press = button(t("full_screen_button"), fillScreen, { class: "main" });
    this.element = h("div", { class: "window-guard", role: "alertdialog", "aria-modal": "true", hidden: true }, h("div", { class: "sheet" }, this.title, this.text, this.press));
    this.off = new AbortController();
    const { signal } = this.off;
    window.addEventListener("resize", () => this.check(), { signal });
    document.addEventListener("fullscreenchange", () => this.check(), { signal });
    document.body.append(this.element);
    this.check();
  }

  check() {
    const fault = findFault(this.display);
    const appeared = Boolean(fault) && this.element.hidden;
    this.element.hidden = !fault;
    for (const part of [document.getElementById("main"), document.getElementById("top")]) part.inert = Boolean(fault);
    if (!fault) return;
    this.title.textContent = t(`${fault}_title`);
    this.text.textContent = fault === "window" ? t("window_text", { ...this.display.window, now_width: innerWidth, now_height: innerHeight }) : t("full_screen_text");
    this.press.hidden = fault !== "full_screen";
    this.element.setAttribute("aria-label", this.title.textContent);
    if (appeared) this.paused();
    if (appeared && fault === "full_screen") this.press.focus({ preventScroll: true });
  }

  leave() {
    this.off.abort();
    this.element.remove();
    for (const part of [document.getElementById("main"), document.getElementById("top")]) part.inert = false;
  }
}
