"use strict";
// Helpers that build the page. Values are inserted as text, never as markup.
SFQA.h = (tag, given, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter(c => c !== null && c !== undefined && c !== false).map(c => c instanceof Node ? c : String(c)));
  return made;
};

/** Create an SVG element. */
SFQA.svg = (tag, given, ...children) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(given || {})) made.setAttribute(name, value);
  made.append(...children.flat(Infinity).filter(Boolean));
  return made;
};

SFQA.say = text => { document.getElementById("say").textContent = text; };
/** A protocol as a reader says it; "all" has no split, and no regressor has rows of it. */
SFQA.protocol = name => name === "all" ? "all rated videos, zero-shot metrics only" : SFQA.words(name);
SFQA.words = name => String(name).replace(/_/g, " ");
SFQA.count = (n, one) => `${n.toLocaleString("en")} ${one}${n === 1 ? "" : "s"}`;

const MINUS = "−", NOTHING = "–";

/** A number with a fixed number of decimals; "–" if it is missing. */
SFQA.fixed = (value, decimals = 3) => value === null || value === undefined ? NOTHING : value.toFixed(decimals).replace(/^-(?=0\.?0*$)/, "").replace("-", MINUS);

/** A number with about four significant digits. */
SFQA.short = value => {
  if (value === null || value === undefined) return NOTHING;
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return String(value).replace("-", MINUS);
  const size = Math.abs(value);
  return (size >= 1e5 || size < 1e-3 ? value.toExponential(2) : value.toPrecision(4)).replace("-", MINUS);
};

/** Decimals of a MOS: one on a scale to 100, two on a short scale. */
SFQA.mosDigits = () => {
  if (SFQA.digits === undefined) {
    let most = 0;
    for (const own of Object.values(SFQA.have.samples.mos)) for (const value of own.mos) if (value > most) most = value;
    SFQA.digits = most > 10 ? 1 : 2;
  }
  return SFQA.digits;
};
SFQA.mos = value => SFQA.fixed(value, SFQA.mosDigits());

/** A labelled select box; `change` gets the selected value. */
SFQA.choice = (words, values, chosen, change, texts = SFQA.words) => {
  const select = SFQA.h("select", { onchange: event => change(event.target.value) },
    values.map(value => SFQA.h("option", { value, selected: value === chosen }, texts(value))));
  return SFQA.h("label", { class: "choice" }, SFQA.h("span", {}, words), select);
};

SFQA.status = word => SFQA.h("span", { class: `status ${word}` }, word);

/** The URL of a view with its selected options. */
SFQA.address = (view, chosen = {}) => {
  const given = Object.entries(chosen).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return `#${view}${given.length ? "?" + new URLSearchParams(given) : ""}`;
};
