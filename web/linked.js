/**
 * A text box whose text comes by a link: the classic canvas hides it, and leaves a blank hole with an unnamed dot in
 * its place. Here it takes one line, with its name. (In Nodes 2.0 the box stays, named and faint.)
 */
import { app } from "../../scripts/app.js";
import { after } from "./size.js";

const LINE = 20, LEFT = 22, MIDDLE = 10; // pixels: the height of the line, and where its name stands

/** The input that feeds a widget; undefined where none does. */
const feed = (node, widget) => node.inputs?.find((input) => input.widget?.name === widget.name && input.link != null);

const boxes = (node) => (node.widgets ?? []).filter((widget) => widget.element instanceof HTMLTextAreaElement);

/** Lets the node's text boxes be as high as they are needed. */
function fit(node) {
    for (const widget of boxes(node)) {
        const height = () => (feed(node, widget) ? LINE : undefined); // undefined: as high as the page would have it
        Object.assign(widget.options, { getMinHeight: height, getMaxHeight: height });
    }
    node.setDirtyCanvas?.(true, true);
}

/** Writes the names of the boxes that are fed. */
function label(node, pen) {
    if (node.flags?.collapsed || app.canvas.low_quality) return;
    pen.save();
    Object.assign(pen, { fillStyle: LiteGraph.NODE_TEXT_COLOR, textAlign: "left", font: `${LiteGraph.NODE_SUBTEXT_SIZE}px Arial` });
    for (const widget of boxes(node)) {
        const input = feed(node, widget);
        if (input) pen.fillText(input.label ?? input.localized_name ?? input.name, LEFT, widget.y + MIDDLE + 4);
    }
    pen.restore();
}

/** Whether a node is the pack's, or a subgraph with one of them in it. */
const ours = (node) => [node, ...(node.subgraph?.nodes ?? [])].some(({ comfyClass }) => comfyClass?.startsWith("Coupled"));

app.registerExtension({
    name: "Coupled.Linked",
    nodeCreated(node) {
        if (!ours(node)) return;
        fit(node);
        for (const event of ["onConfigure", "onConnectionsChange"]) after(node, event, () => fit(node));
        after(node, "onDrawForeground", (pen) => label(node, pen));
    },
});
