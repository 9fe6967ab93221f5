"use strict";
// Small helpers to build the page. Text is only ever set as text, never as markup.
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

/** The same for drawings. */
SFQA.svg = (tag, given, ...children) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(given || {})) made.setAttribute(name, value);
  made.append(...children.flat(Infinity).filter(Boolean));
  return made;
};

SFQA.say = text => { document.getElementById("say").textContent = text; };
SFQA.words = name => String(name).replace(/_/g, " ");
SFQA.count = (n, one) => `${n.toLocaleString("en")} ${one}${n === 1 ? "" : "s"}`;

const MINUS = "−", NOTHING = "–";

/** A number with so many decimals, "–" for none. */
SFQA.fixed = (value, decimals = 3) => value === null || value === undefined ? NOTHING : value.toFixed(decimals).replace(/^-(?=0\.?0*$)/, "").replace("-", MINUS);

/** A number with about four digits, however large it is. */
SFQA.short = value => {
  if (value === null || value === undefined) return NOTHING;
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return String(value).replace("-", MINUS);
  const size = Math.abs(value);
  return (size >= 1e5 || size < 1e-3 ? value.toExponential(2) : value.toPrecision(4)).replace("-", MINUS);
};

/** Decimals for MOS: one on a scale of 100, two on a scale of few steps. */
SFQA.mosDigits = () => {
  if (SFQA.digits === undefined) {
    let most = 0;
    for (const own of Object.values(SFQA.have.samples.mos)) for (const value of own.mos) if (value > most) most = value;
    SFQA.digits = most > 10 ? 1 : 2;
  }
  return SFQA.digits;
};
SFQA.mos = value => SFQA.fixed(value, SFQA.mosDigits());

/** A choice with its words; change gets the chosen value. */
SFQA.choice = (words, values, chosen, change, texts = SFQA.words) => {
  const select = SFQA.h("select", { onchange: event => change(event.target.value) },
    values.map(value => SFQA.h("option", { value, selected: value === chosen }, texts(value))));
  return SFQA.h("label", { class: "choice" }, SFQA.h("span", {}, words), select);
};

SFQA.status = word => SFQA.h("span", { class: `status ${word}` }, word);

/** The address of a part of this site with what is chosen there. */
SFQA.address = (view, chosen = {}) => {
  const given = Object.entries(chosen).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return `#${view}${given.length ? "?" + new URLSearchParams(given) : ""}`;
};
