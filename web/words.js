/**
 * The words of the curve and of the notes, in the page's language: `coupledCurve` and `coupledSaid` of
 * locales/<language>/main.json, as the host serves them.
 */
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

// Both are filled before a workflow is opened. A language that the pack does not speak gets English.
/** {key: text} of the curve. */
export const words = {};
/** {group: {key: pattern}} of what Python says: `english`, and in the page's `own` language. */
export const notes = { english: { lines: {} }, own: {} };

app.registerExtension({
    name: "Coupled.Words",
    async init() {
        const languages = await (await api.fetchApi("/i18n")).json();
        const language = app.extensionManager.setting.get("Comfy.Locale");
        const english = languages.en, own = languages[language];
        Object.assign(words, english.coupledCurve, own?.coupledCurve);
        Object.assign(notes, { english: english.coupledSaid, own: own?.coupledSaid ?? english.coupledSaid });
    },
});
