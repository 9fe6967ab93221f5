// Texts of the pages. The words of each language and the texts of the study come from the server.
const fallback = {
  gone: "This link does not work any more.", fault: "Something went wrong. Please load the page again.", retry: "Try again",
};

let words = {};
let section = "rater";
let current = "en";

// Use the words of a page: a mapping of languages to their file of words.
export function load(allWords, name = "rater") {
  words = allWords;
  section = name;
}

export const language = () => current;

export const languageName = code => words[code]?.name ?? code;

export const htmlLanguage = code => words[code]?.html_lang ?? code;

export function speak(chosen) {
  current = words[chosen] ? chosen : Object.keys(words)[0];
  document.documentElement.lang = htmlLanguage(current);
}

// The language of the study that fits the browser best.
export function preferred(languages) {
  const exact = navigator.languages.find(code => languages.includes(code));
  const short = navigator.languages.map(code => code.split("-")[0]).find(code => languages.includes(code));
  return exact ?? short ?? languages[0];
}

const fill = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);

// A text of the page with its values filled in; a text with plural forms depends on the value n.
export function t(key, values = {}) {
  let entry = words[current]?.[section]?.[key] ?? fallback[key] ?? key;
  if (typeof entry === "string") return fill(entry, values);
  if (Array.isArray(entry)) return entry.map(part => Array.isArray(part) ? part.map(text => fill(text, values)) : fill(part, values));
  if (!("other" in entry)) return entry;
  entry = entry[new Intl.PluralRules(current).select(values.n ?? 0)] ?? entry.other;
  return fill(entry, values);
}

// The name of a language, such as that of a recording, in the language of the page.
export function nameOfLanguage(code) {
  try {
    return new Intl.DisplayNames([current], { type: "language" }).of(code) ?? code;
  } catch {
    return code;
  }
}

// A text of the study in the current language.
export const of = texts => texts ? texts[current] ?? Object.values(texts)[0] : "";
