// One dimension: a slider without an initial value, and the labels of its points.
import { h } from "./dom.js";
import { of, t } from "./text.js";

let count = 0;

export class Scale {
  constructor(dimension, scale, changed, open) {
    Object.assign(this, { dimension, scale, changed });
    this.value = null;
    const id = `d${count += 1}`;
    const points = dimension.points;
    const at = n => scale.low + n * (scale.high - scale.low) / (points.length - 1);
    this.points = points.map((point, n) => ({ value: at(n), word: of(point.word), text: of(point.text) }));
    this.slider = h("input", {
      type: "range", min: String(scale.low), max: String(scale.high), step: String(scale.step), class: "empty",
      "aria-labelledby": `${id}n`, "aria-describedby": `${id}q`, disabled: true,
      oninput: () => this.set(Number(this.slider.value)),
      onkeydown: event => this.key(event),
    });
    // A click in the middle does not change the browser's value, but it is a rating.
    this.slider.addEventListener("pointerup", () => { if (!this.slider.disabled) this.set(Number(this.slider.value)); });
    this.marks = this.points.map(point => h("button", {
      type: "button", tabindex: "-1", "aria-hidden": "true", class: "mark", disabled: true,
      onclick: () => { this.set(point.value); this.slider.focus({ preventScroll: true }); },
    }, h("b", {}, shown(point.value)), h("span", {}, point.word)));
    this.rows = this.points.map(point => h("li", {}, h("b", {}, shown(point.value)), h("span", {}, point.text)));
    const told = this.points.some(point => point.text);
    this.chosen = h("p", { class: "chosen", "aria-hidden": "true" });
    this.number = h("output", { class: "number", "aria-hidden": "true" });
    this.element = h("section", { class: "dimension" },
      h("div", { class: "name" }, h("h2", { id: `${id}n` }, of(dimension.label)), this.number),
      h("p", { id: `${id}q`, class: "question" }, of(dimension.question)),
      h("div", { class: "track" }, this.slider, h("div", { class: "marks" }, this.marks)),
      this.chosen,
      told && h("details", { class: "meaning", open }, h("summary", {}, t("meaning")), h("ol", {}, [...this.rows].reverse())));
    this.element.style.setProperty("--points", String(points.length));
    this.tell();
  }

  get nearest() {
    if (this.value === null) return -1;
    const away = this.points.map(point => Math.abs(point.value - this.value));
    return away.indexOf(Math.min(...away));
  }

  key(event) {
    if (this.value !== null || this.slider.disabled) return;
    // Without a value the arrows start at the ends, because a start in the middle would bias answers.
    const end = { ArrowRight: "low", ArrowUp: "low", Home: "low", ArrowLeft: "high", ArrowDown: "high", End: "high" }[event.key];
    if (!end) return;
    event.preventDefault();
    this.set(this.scale[end]);
  }

  set(value) {
    const { low, high, step } = this.scale;
    const steps = Math.round((Math.min(Math.max(value, low), high) - low) / step);
    this.value = Number((low + steps * step).toFixed(6));
    this.slider.value = String(this.value);
    this.tell();
    this.changed(this);
  }

  // Select the point of the scale with this number (keys 1 to 9).
  pick(number) {
    const point = this.points[number - 1];
    if (point) this.set(point.value);
    return Boolean(point);
  }

  open() {
    this.slider.disabled = false;
    this.marks.forEach(mark => { mark.disabled = false; });
    this.element.classList.add("open");
  }

  tell() {
    const near = this.nearest;
    const { low, high } = this.scale;
    this.slider.classList.toggle("empty", this.value === null);
    this.element.classList.toggle("rated", this.value !== null);
    this.slider.style.setProperty("--at", `${this.value === null ? 0 : 100 * (this.value - low) / (high - low)}%`);
    this.marks.forEach((mark, n) => mark.classList.toggle("on", n === near));
    this.rows.forEach((row, n) => row.classList.toggle("on", n === near));
    const point = this.points[near];
    this.chosen.textContent = point ? point.text : "";
    this.number.textContent = point ? `${shown(this.value)} · ${point.word}` : "–";
    this.slider.setAttribute("aria-valuetext", point ? [`${shown(this.value)}, ${point.word}`, point.text].filter(Boolean).join(": ") : t("unrated"));
  }
}

const shown = value => String(Number(value.toFixed(2)));
