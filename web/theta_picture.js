/** The picture of theta over the steps: axes, curve and points, as the children of an <svg>. */
import { clamp, sample, ticks } from "./theta.js";

export const MAX_POINTS = 120; // more would be too close to grasp
const LEFT = 26, RIGHT = 14, TOP = 12, BOTTOM = 20; // around the plot, in pixels
const LOW = "#40c4be", HIGH = "#ff9f57"; // teal at theta = 0, amber at theta = 1, as in Plot Theta

const fill = (element, attributes, children) => {
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
};
export const html = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) =>
    fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
const line = (kind, x1, y1, x2, y2) => svg("line", { class: kind, x1, y1, x2, y2 });
const text = (x, y, anchor, words) => svg("text", { x, y, "text-anchor": anchor }, String(words));

/** {x, y}: where a progress and a theta lie in a picture of `size`. */
const scales = ([width, height]) => ({
    x: (progress) => LEFT + progress * (width - LEFT - RIGHT),
    y: (theta) => TOP + (1 - theta) * (height - TOP - BOTTOM),
});

/** {progress, theta} at a share of the picture's width and height: the way back. */
export const spot = (across, down, [width, height]) => ({
    progress: (across * width - LEFT) / (width - LEFT - RIGHT),
    theta: 1 - (down * height - TOP) / (height - TOP - BOTTOM),
});

/**
 * theta: progress => theta, with `values` at its points; or `error`, in words. at: the point to mark. faint: not the
 * whole truth. gradient: an id for the colors that no other picture of the page has.
 */
export function picture({ theta, values, error, steps, size, at, faint, gradient }) {
    const { x, y } = scales(size);
    if (error) return [...axes(steps, x, y), text(x(0.5), y(0.5) - 6, "middle", error)];
    const mark = at in values ? [line("chosen", x(at / values.length), y(1), x(at / values.length), y(0))] : [];
    const [ramp, area, course] = curve(theta, Math.round(size[0]), x, y, gradient);
    const group = svg("g", faint ? { class: "linked" } : {}, course, ...dots(values, at, x, y, gradient));
    return [ramp, ...axes(steps, x, y), area, ...mark, group];
}

function axes(steps, x, y) {
    const labelled = ticks(steps), marked = steps <= MAX_POINTS ? [...Array(steps + 1).keys()] : labelled;
    return [
        ...[0, 0.5, 1].map((theta) => line("grid", x(0), y(theta), x(1), y(theta))),
        ...[0, 0.5, 1].map((theta) => text(x(0) - 6, y(theta) + 3.5, "end", theta)),
        ...marked.map((step) =>
            line("tick", x(step / steps), y(0), x(step / steps), y(0) + (labelled.includes(step) ? 5 : 2.5))),
        ...labelled.map((step) => text(x(step / steps), y(0) + 15, "middle", step)),
    ];
}

function curve(theta, columns, x, y, id) {
    const point = (progress, value) => `${x(progress).toFixed(1)},${y(value).toFixed(1)}`;
    const points = [...sample(theta, columns).map((value, i) => point(i / columns, value)), point(1, theta(1))];
    const stops = [[0, HIGH], [1, LOW]].map(([offset, color]) => svg("stop", { offset, "stop-color": color }));
    const under = [point(0, 0), ...points, point(1, 0)].join(" "), hue = `url(#${id})`;
    return [
        svg("linearGradient", { id, gradientUnits: "userSpaceOnUse", x1: 0, x2: 0, y1: y(1), y2: y(0) }, ...stops),
        svg("polygon", { points: under, fill: hue, "fill-opacity": 0.13 }),
        svg("polyline", { points: points.join(" "), fill: "none", stroke: hue, "stroke-width": 2 }),
    ];
}

function dots(values, at, x, y, id) {
    const radius = clamp((0.28 * (x(1) - x(0))) / values.length, 1.4, 4);
    return values.map((value, i) => svg("circle",
        { cx: x(i / values.length), cy: y(value), r: i === at ? radius + 2 : radius, fill: `url(#${id})` }));
}
