/**
 * What a node says about its run, shown on the node: numbers, a note, the file it wrote, what went wrong and its cure.
 * The host itself shows the `text` of a result only on nodes of its own, and an error's behind "View details".
 */
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { after, resize } from "./size.js";
import { html } from "./theta_picture.js";
import { translate } from "./translate.js";
import { words } from "./words.js";

const NAME = "said", PATCH = "CoupledModelPatch";
const BYPASSED = 4; // a mode of the page's nodes
const LETTER = 6, WIDE = 11, LINE = 16, MARGIN = 30; // pixels, of 11 px letters

/** The pixels that a line takes: Chinese and Japanese letters are as wide as they are high. */
const widthOf = (line) => [...line].reduce((sum, letter) => sum + (letter > "\u2e7f" ? WIDE : LETTER), 0);

/** The lines that a text takes on a node. */
const lines = (text, width) =>
    text.split("\n").reduce((sum, line) => sum + Math.max(1, Math.ceil(widthOf(line) / (width - MARGIN))), 0);

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

/** What a node says at the start of a run: whether it is left out, for the samplers may be others'. */
const note = ({ comfyClass, mode }) => (comfyClass === PATCH && mode === BYPASSED ? words.bypassed : "");

/** The node of an id as prompts have it, `outer:inner` in a subgraph: [outer, inner], as far as the page has them. */
function path(id) {
    let graph = app.rootGraph ?? app.graph;
    return String(id).split(":").map((part) => {
        const node = graph?.getNodeById(part) ?? graph?.getNodeById(Number(part)); // as loaded, as created
        graph = node?.subgraph;
        return node;
    }).filter(Boolean);
}

const SHOWN = 20_000; // ms
const FAILED = new Set(); // nodes that show an error, until the next run

/** Puts an error of one of the pack's nodes on that node; of one in a subgraph, whose node takes no note, on the page. */
function fail({ detail: { node_id, node_type, exception_message } }) {
    if (!node_type?.startsWith("Coupled")) return;
    const nodes = path(node_id), node = nodes.at(-1), detail = exception_message.trim();
    if (!node) return;
    FAILED.add(node);
    say(node, detail);
    if (nodes.length > 1) app.extensionManager.toast.add({ severity: "error", summary: node.title, detail, life: SHOWN });
}

/** What Optimize Theta tells while it runs: the host has just put it on the node, in English. */
function tell({ detail: { nodeId, text } }) {
    const nodes = path(nodeId);
    if (!nodes.at(-1)?.comfyClass?.startsWith("Coupled")) return;
    const views = nodes.flatMap(({ widgets }) => widgets ?? []).filter(({ value }) => value === text);
    for (const view of views) view.value = translate(text);
}

function forget() {
    for (const node of FAILED) say(node, note(node));
    FAILED.clear();
}

app.registerExtension({
    name: "Coupled.Said",
    setup() {
        api.addEventListener("execution_error", fail);
        api.addEventListener("execution_start", forget);
        api.addEventListener("progress_text", tell);
    },
    nodeCreated(node) {
        if (!node.comfyClass?.startsWith("Coupled")) return;
        after(node, "onExecuted", ({ text }) => say(node, translate(text?.join("\n") ?? "")));
        // A node in mid-graph that has nothing to say sends no result at all: its last note would stay.
        if (!node.constructor.nodeData?.output_node) after(node, "onExecutionStart", () => say(node, note(node)));
    },
});
