/** The pack's nodes keep the size that a workflow gives them: a dynamic combo makes its node small when it is read. */
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

app.registerExtension({
    name: "Coupled.Size",
    nodeCreated(node) {
        if (node.comfyClass?.startsWith("Coupled"))
            after(node, "onConfigure", ({ size }) => size && resize(node, size));
    },
});
