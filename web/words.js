/** The curve's and the notes' own words, in the page's language: `curve` of locales/<language>/main.json, as the host serves it. */
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

/** {key: text}; filled before a workflow is opened. A language that the pack does not speak gets English. */
export const words = {};

app.registerExtension({
    name: "Coupled.Words",
    async init() {
        const languages = await (await api.fetchApi("/i18n")).json();
        const language = app.extensionManager.setting.get("Comfy.Locale");
        Object.assign(words, languages.en.coupledCurve, languages[language]?.coupledCurve);
    },
});
