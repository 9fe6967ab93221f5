// Helpers that build the page. Values are inserted as text, never as HTML.
const SVG = "http://www.w3.org/2000/svg";

export function h(tag, given = {}, ...children) {
  const drawn = tag === "svg" || tag === "path" || tag === "circle";
  const made = drawn ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && !drawn && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter(child => child !== null && child !== undefined && child !== false));
  return made;
}

const shapes = {
  play: "M8 5.5v13l11-6.5z",
  again: "M12 5V2L7 6.5 12 11V8a5 5 0 1 1-5 5H4a8 8 0 1 0 8-8z",
  stop: "M7 7h10v10H7z",
  theme: "M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18zm0 2a7 7 0 0 1 0 14z",
  sound: "M4 9.5v5h3.5L12 18.5v-13L7.5 9.5H4zm11-1.2v7.4a4 4 0 0 0 0-7.4zm0-4v2.2a6 6 0 0 1 0 11v2.2a8 8 0 0 0 0-15.4z",
  check: "M9.5 17.2 4.6 12.3 6.5 10.4l3 3 8-8 1.9 1.9z",
};

export const icon = name => h("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" }, h("path", { d: shapes[name] }));

export function show(...children) {
  const main = document.getElementById("main");
  main.replaceChildren(...children);
  window.scrollTo(0, 0);
  main.focus({ preventScroll: true });
}

export const say = text => { document.getElementById("say").textContent = text; };

export const button = (text, press, more = {}) => h("button", { type: "button", onclick: press, ...more }, text);

// A text with its addresses as links.
export const linked = text => text.split(/(https?:\/\/[^\s<>"]*[^\s<>".,;:!?)\]])/).map((part, n) => n % 2
  ? h("a", { href: part, target: "_blank", rel: "noopener noreferrer" }, part) : part);

export const paragraphs = text => text.split(/\n\s*\n/).map(part => h("p", {}, linked(part.trim())));

// A button that copies a text, where the browser can.
export const copier = (text, label, done) => navigator.clipboard && button(label, async event => {
  const pressed = event.currentTarget;
  await navigator.clipboard.writeText(text);
  pressed.textContent = done;
}, { class: "plain framed" });
