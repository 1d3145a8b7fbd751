/**
 * What a node says about its run, shown on the node: numbers, a note, the file it wrote. The host itself shows the
 * `text` of a result only on nodes of its own.
 */
import { app } from "../../scripts/app.js";
import { after, resize } from "./size.js";
import { html } from "./theta_picture.js";
import { words } from "./words.js";

const NAME = "said", PATCH = "CoupledModelPatch";
const BYPASSED = 4; // a mode of the page's nodes
const LETTER = 6, LINE = 16, MARGIN = 30; // pixels, of 11 px letters

/** The lines that a text takes on a node. */
const lines = (text, width) =>
    text.split("\n").reduce((sum, line) => sum + Math.max(1, Math.ceil((line.length * LETTER) / (width - MARGIN))), 0);

function say(node, text) {
    const view = node.widgets?.find(({ name }) => name === NAME) ?? (text && board(node));
    if (!view) return;
    view.element.textContent = text;
    resize(node, node.size);
}

function board(node) {
    const element = html("div", { class: "coupled-said" });
    const height = () => LINE * lines(element.textContent, node.size[0]) + 24; // and the host's margins
    const view = node.addDOMWidget(NAME, "COUPLED_SAID", element, {
        serialize: false, hideOnZoom: false, getMinHeight: height, getMaxHeight: height,
    });
    view.serialize = false; // a view: nothing of it is saved or sent
    return view;
}

/** Whether a node is left out of a run that asks for it: the samplers are others', so it says so itself. */
const omitted = ({ comfyClass, mode }) => comfyClass === PATCH && mode === BYPASSED;

app.registerExtension({
    name: "Coupled.Said",
    nodeCreated(node) {
        if (!node.comfyClass?.startsWith("Coupled")) return;
        after(node, "onExecuted", ({ text }) => say(node, text?.join("\n") ?? ""));
        // A node in mid-graph that has nothing to say sends no result at all: its last note would stay.
        if (!node.constructor.nodeData?.output_node) after(node, "onExecutionStart", () => say(node, omitted(node) ? words.bypassed : ""));
    },
});
