// The page behind the crowd link: read the ids in the address, take a place, open the rater's page.
import { Refusal, get, insist, post } from "./api.js";
import { button, h, linked, show } from "./dom.js";
import { load, of, preferred, speak, t } from "./text.js";

let study = null;

const sheet = (title, ...parts) => show(h("section", { class: "sheet" }, h("h1", {}, title), ...parts,
  study?.contact && h("p", { class: "quiet" }, `${t("contact")}: `, linked(study.contact))));

const endings = { full: ["join_full", "join_full_text"], replaced: ["replaced_title", "replaced_text"], paused: ["join_paused"] };

async function join(ids) {
  sheet(of(study.title), h("p", { class: "lead", role: "status" }, t("join_loading")));
  try {
    const { path } = await insist(() => post("/join", { ids }), () => {});
    location.replace(path);
  } catch (error) {
    const [title, text] = endings[error instanceof Refusal ? error.word : ""] ?? ["fault"];
    sheet(t(title), text && h("p", {}, t(text)), title === "fault" && button(t("retry"), () => location.reload(), { class: "main" }));
  }
}

// Without an id in the address, ask for one: it is needed to find the place again.
function askForPerson(ids) {
  const field = h("input", { type: "text", id: "person", maxlength: "200", autocomplete: "off", autocapitalize: "off", spellcheck: false });
  const press = button(t("join_start"), () => join({ ...ids, [study.person.at(-1)]: field.value.trim() }), { class: "main", disabled: true });
  field.addEventListener("input", () => { press.disabled = !field.value.trim(); });
  field.addEventListener("keydown", event => { if (event.key === "Enter" && !press.disabled) press.click(); });
  sheet(of(study.title), h("p", {}, t("join_person_hint")), h("div", { class: "field" }, h("label", { for: "person" }, t("join_person")), field), press);
  field.focus();
}

(async () => {
  try {
    study = await get("/about");
    load(study.words);
    speak(preferred(study.languages));
    document.title = of(study.title);
    if (study.display.theme !== "choice") document.documentElement.dataset.theme = study.display.theme;
    const given = new URLSearchParams(location.search);
    const ids = Object.fromEntries([...study.person, ...study.store].filter(name => given.get(name)?.trim()).map(name => [name, given.get(name).trim()]));
    if (study.person.some(name => name in ids)) await join(ids);
    else askForPerson(ids);
  } catch (error) {
    sheet(t(error instanceof Refusal && error.status === 404 ? "gone" : "fault"));
  }
})();
