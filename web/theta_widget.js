/**
 * The curve on the Theta Schedule node: it shows theta over the steps, and a drag draws it by hand.
 *
 * The node's own inputs stay the only truth. This widget reads them at every frame, keeps what is being drawn to
 * itself until the hand lets go, and then writes the input `shape.values` once: one change, one undo.
 */
import { app } from "../../scripts/app.js";
import { after, resize } from "./size.js";
import { clamp, course, format, parse, project, pull, sample, table } from "./theta.js";
import { html, MAX_POINTS, picture, spot, svg } from "./theta_picture.js";
import { words } from "./words.js";

const NODE = "CoupledThetaSchedule";
const PAPER = 12; // the paper's center
const WIDTH = 340, HEIGHT = 190; // the least, in pixels; the height with the row of presets
const GRIP = 3; // pixels that the pointer must move before it draws: a click only chooses a step
const FOCUS = 500; // ms in which the page of ComfyUI 0.20, in Nodes 2.0, puts changed widgets in again, without the focus
const DELETE = ["Delete", "Backspace"]; // keys that change nothing on the curve
const TURNS = { ArrowLeft: -1, ArrowRight: 1 }; // keys that choose a step
const MOVES = { // keys that move it
    ArrowUp: (theta, shift) => theta + (shift ? 0.1 : 0.01), ArrowDown: (theta, shift) => theta - (shift ? 0.1 : 0.01),
    PageUp: (theta) => theta + 0.1, PageDown: (theta) => theta - 0.1, Home: () => 0, End: () => 1,
};

/** [{name, title, changes: [[input, value], ...]}]: the node's default and the paper's shapes, named for what they set. */
function presets(node) {
    const preset = (shape, title, center) => {
        const values = inputs(node, shape).map(([name, [, options]]) => [name, options.default]);
        const set = Object.fromEntries([...values, ...(center ? [["center", center]] : [])]);
        const changes = Object.entries(set).map(([name, value]) => [`shape.${name}`, value]);
        return { name: `${shape} ${set.center}`, title, changes: [["shape", shape], ...changes] };
    };
    return [preset("sin", words.preset), ...["sin", "arctan", "01"].map((shape) => preset(shape, words.paper, PAPER))];
}

/** {name: [[input, value], ...]} of the learned curves that the server lists. */
function learnedCurves(node) {
    const [[, [, { learned = {} }]]] = inputs(node, "drawn");
    const drawn = (values) => [["shape", "drawn"], ["shape.values", values]];
    return Object.fromEntries(Object.entries(learned).map(([name, values]) => [name, drawn(values)]));
}

/** [[name, declaration], ...] of what a shape of the node asks for. */
function inputs(node, shape) {
    const { options } = node.constructor.nodeData.input.required.shape[1];
    return Object.entries(options.find(({ key }) => key === shape).inputs.required);
}

let count = 0; // of the widgets made
const WIDGETS = new Map(); // node: its widget

class ThetaWidget {
    step = null; // the chosen point
    hovered = null; // the point under the pointer
    shown = []; // the values at the points, as they are drawn
    draft = null; // the values while they are being drawn
    grip = null; // the hand on the curve
    size = [0, 0]; // of the plot
    focusUntil = 0; // when it need no longer be given back

    constructor(node) {
        this.node = node;
        this.gradient = `coupled-theta-${++count}`;
        this.readout = html("output", {});
        this.plot = svg("svg", { tabindex: 0, role: "slider", "aria-valuemin": 0, "aria-valuemax": 1,
            "aria-label": words.slider });
        this.presets = presets(node).map((preset) => ({ ...preset, button: this.button(preset) }));
        const buttons = this.presets.map(({ button }) => button);
        const header = html("header", {}, ...buttons, ...this.menu(learnedCurves(node)), this.readout);
        this.element = html("div", { class: "coupled-theta" }, header, this.plot);
        const view = node.addDOMWidget("curve", "COUPLED_THETA", this.element, {
            serialize: false, hideOnZoom: false, getMinHeight: () => HEIGHT + 20, // and the host's margins
        });
        view.serialize = false; // a view: nothing of it is saved or sent
        this.input("shape").value = this.shape; // a new node has its inputs in another order than a loaded one: the same
        resize(node, node.size, WIDTH);
        this.listen();
    }

    // ---- the node's inputs

    input(name) {
        return this.node.widgets.find((widget) => widget.name === name);
    }

    get shape() {
        return this.input("shape").value;
    }

    get steps() {
        return this.input("reference_steps").value;
    }

    /** What the node makes: {theta, values}, `values` at the points that can be moved; or {error, values: []}. */
    made() {
        if (this.draft) return { theta: table(this.draft), values: this.draft };
        const { shape, steps } = this, parameters = { steps };
        for (const { name, value } of this.node.widgets) parameters[name.replace(/^shape\./, "")] = value;
        try {
            const theta = course(shape, parameters);
            const count = shape === "drawn" ? parse(parameters.values).length : Math.min(steps, MAX_POINTS);
            return { theta, values: sample(theta, count) };
        } catch (error) {
            const { cause } = error;
            return { error: cause ? `“${cause.slice(0, 20)}” ${words.notNumber}` : words.empty, values: [] };
        }
    }

    /** Whether the inputs have these values already. */
    has(changes) {
        return changes.every(([name, value]) => this.input(name)?.value === value);
    }

    write(...changes) {
        const size = [...this.node.size];
        for (const [name, value] of changes) if (this.input(name).value !== value) this.input(name).value = value;
        resize(this.node, size, WIDTH); // a shape that is set makes the node small
        app.canvas.setDirty(true, true);
    }

    /** Writes inputs as one change of the workflow: one step of the page's undo. */
    commit(...changes) {
        app.canvas.emitBeforeChange();
        this.write(...changes);
        app.canvas.emitAfterChange();
    }

    commitValues(values) {
        this.shown = values; // quick keys need not wait for the next frame
        if (values.length) this.commit(["shape", "drawn"], ["shape.values", format(values)]);
    }

    /** A drawn curve gets one point for each of `steps`, always from what was drawn: turning back brings it back. */
    resample(steps) {
        if (this.shape !== "drawn" || !this.shown.length) return;
        const written = this.input("shape.values").value;
        if (written !== this.resampled) this.original = project(parse(written));
        this.resampled = format(sample(table(this.original), Math.min(steps, MAX_POINTS)));
        this.write(["shape.values", this.resampled]);
    }

    // ---- the hand

    button({ name, title, changes }) {
        const button = html("button", { type: "button", title }, name);
        button.onclick = () => this.commit(...changes);
        return button;
    }

    /** The learned curves, if there are any, to choose from. */
    menu(learned) {
        const names = Object.keys(learned), items = [words.learned, ...names].map((name) => html("option", {}, name));
        const menu = html("select", { title: words.start }, ...items);
        menu.onchange = () => {
            this.commit(...learned[menu.value]);
            menu.selectedIndex = 0;
        };
        return names.length ? [menu] : [];
    }

    listen() {
        const { plot, node } = this;
        const on = (type, act) => plot.addEventListener(type, act);
        on("pointerdown", (event) => event.button === 0 && this.grasp(event));
        on("pointermove", (event) => (this.grip ? this.drag(event) : (this.hovered = this.place(event).step)));
        on("pointerleave", () => (this.hovered = null));
        on("lostpointercapture", () => this.release());
        on("focus", () => (this.step ??= Math.max(0, this.shown.findIndex((theta) => theta >= 0.5))));
        on("keydown", (event) => this.key(event));
        for (const type of ["keyup", "blur"]) on(type, () => this.grip || this.release());
        // On the classic canvas only: in Nodes 2.0 the page takes the wheel before it comes here.
        this.element.addEventListener("wheel", (event) => app.canvas.processMouseWheel(event));
        after(this.input("reference_steps"), "callback", (steps) => this.resample(steps));
        after(this.input("shape"), "callback", (shape) => shape === "drawn" && this.commitValues(this.shown));
        new ResizeObserver(([{ contentRect: { width, height } }]) => (this.size = [width, height])).observe(plot);
        after(node, "onAdded", () => (WIDGETS.set(node, this), this.looking || this.look()));
        after(node, "onRemoved", () => WIDGETS.delete(node));
    }

    /** Inputs change by hand, by undo, by other code, in two renderers: looking is the one way that sees them all. */
    look() {
        const present = WIDGETS.has(this.node), shown = this.element.isConnected;
        if (present && shown) this.draw();
        if (shown && performance.now() < this.focusUntil && document.activeElement === document.body)
            this.plot.focus();
        // Nodes 2.0 still shows the element of a node that undo has replaced by a new one of the same id.
        const heir = !present && WIDGETS.get(app.canvas.graph?.getNodeById(this.node.id));
        if (heir && !heir.element.isConnected) this.element.replaceWith(heir.element);
        this.looking = present || this.element.isConnected;
        if (this.looking) requestAnimationFrame(() => this.look());
    }

    /** {step, theta} under the pointer. */
    place(event) {
        const box = this.plot.getBoundingClientRect(); // as large as the canvas is zoomed
        const across = (event.clientX - box.left) / box.width, down = (event.clientY - box.top) / box.height;
        const { progress, theta } = spot(across, down, this.size), count = this.shown.length;
        return { step: clamp(Math.round(progress * count), 0, count - 1), theta: clamp(theta, 0, 1) };
    }

    grasp(event) {
        if (!this.shown.length) return;
        this.plot.setPointerCapture(event.pointerId);
        this.plot.focus();
        this.grip = { ...this.place(event), base: this.shown, x: event.clientX, y: event.clientY };
        this.step = this.grip.step;
        this.hovered = null;
    }

    drag(event) {
        const { grip } = this;
        if (!this.draft && Math.hypot(event.clientX - grip.x, event.clientY - grip.y) < GRIP) return;
        const to = this.place(event), way = to.step - grip.step;
        // Steps passed on the way are drawn for good; the one under the pointer is free to go up and down.
        for (let i = 0; i !== way; i += Math.sign(way))
            grip.base = pull(grip.base, grip.step + i, grip.theta + ((to.theta - grip.theta) * i) / way);
        Object.assign(grip, to);
        this.step = to.step;
        this.draft = pull(grip.base, to.step, to.theta);
    }

    key(event) {
        const { key, shiftKey } = event, values = this.draft ?? this.shown, theta = values[this.step];
        if (key === "Escape" && this.draft) this.draft = this.grip = null;
        else if (key in TURNS && values.length) this.step = clamp(this.step + TURNS[key], 0, values.length - 1);
        else if (key in MOVES && values.length)
            this.draft = pull(values, this.step, clamp(MOVES[key](theta, shiftKey), 0, 1));
        else if (!DELETE.includes(key)) return; // which would delete the node: the page keeps none from it
        event.preventDefault();
        event.stopPropagation();
    }

    /** The hand lets go: what it drew becomes the node's. */
    release() {
        const { draft } = this, focused = document.activeElement === this.plot;
        this.draft = this.grip = null;
        if (!draft) return;
        this.commitValues(draft);
        if (focused) this.focusUntil = performance.now() + FOCUS;
    }

    // ---- what is seen

    draw() {
        const { theta, values, error } = this.made(), { steps, size, gradient } = this, at = this.hovered ?? this.step;
        const linked = this.node.inputs.filter(({ link }) => link != null).map(({ name }) => name.split(".").pop());
        const lit = this.presets.filter(({ changes }) => this.has(changes)).length;
        const state = JSON.stringify([this.shape, steps, values, error, linked, at, size, lit]);
        if (state === this.state || !size[0]) return;
        this.state = state;
        this.shown = values;
        if (this.step !== null) this.step = clamp(this.step, 0, Math.max(0, values.length - 1));
        this.say(values, at, linked);
        const faint = linked.length > 0;
        this.plot.replaceChildren(...picture({ theta, values, error, steps, size, at, faint, gradient }));
    }

    /** The numbers, for the eye and for a screen reader. */
    say(values, at, linked) {
        const step = +((at / values.length) * this.steps).toFixed(1);
        const said = at in values ? `${words.step} ${step} · θ ${values[at].toFixed(2)}` : "";
        this.readout.textContent = linked.length ? `${linked.join(", ")} ${words.linked}` : said || words.draw;
        this.plot.setAttribute("aria-valuenow", values[at] ?? 0);
        this.plot.setAttribute("aria-valuetext", said || words.none);
        for (const { button, changes } of this.presets)
            button.setAttribute("aria-pressed", !this.draft && this.has(changes));
    }
}

document.head.append(html("link", { rel: "stylesheet", href: new URL("coupled.css", import.meta.url) }));
app.registerExtension({
    name: "Coupled.Theta",
    nodeCreated(node) {
        if (node.comfyClass === NODE) new ThetaWidget(node);
    },
});
