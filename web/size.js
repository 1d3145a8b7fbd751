/**
 * A new node of the pack is as wide as its title, and one of a workflow keeps the size that it has there: a dynamic
 * combo makes its node small when it is read.
 */
import { app } from "../../scripts/app.js";

/** Calls `act` after each call of a method, with the same arguments. */
export function after(object, method, act) {
    const before = object[method];
    object[method] = function () {
        const result = before?.apply(this, arguments);
        act(...arguments);
        return result;
    };
}

/** Gives a node a size, or as much more as it needs. */
export function resize(node, [width, height], least = 0) {
    node.setSize([Math.max(width, least), Math.max(height, node.computeSize()[1])]);
}

/** The width that the classic canvas needs to write a node's title in full: its letters and a corner at each end. */
function titleWidth(node) {
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = `${LiteGraph.NODE_TEXT_SIZE}px Inter, Arial`;
    return pen.measureText(node.getTitle()).width + 2 * LiteGraph.NODE_TITLE_HEIGHT;
}

app.registerExtension({
    name: "Coupled.Size",
    nodeCreated(node) {
        if (!node.comfyClass?.startsWith("Coupled")) return;
        resize(node, node.size, titleWidth(node));
        after(node, "onConfigure", ({ size }) => size && resize(node, size));
    },
});
