/**
 * theta as a function of progress, as the server has it: the families of schedules/families.py and the tables of
 * schedules/table.py. Nothing of the page is needed here.
 */

export const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

/** {shape: (parameters) => (progress => theta)}; `steps` is the node's reference_steps. */
const SHAPES = {
    sin: ({ center, k, steps }) => (progress) =>
        0.5 * Math.sin(clamp(k * (progress * steps - center), -Math.PI / 2, Math.PI / 2)) + 0.5,
    arctan: ({ center, k, steps }) => (progress) => Math.atan(k * (progress * steps - center)) / Math.PI + 0.5,
    "01": ({ center, steps }) => (progress) => (progress < center / steps ? 0 : 1),
    constant: ({ value }) => () => value,
    drawn: ({ values }) => table(project(parse(values))),
};

/** progress => theta for a shape and its parameters. Error when the numbers of `drawn` are none: see `parse`. */
export function course(shape, parameters) {
    return SHAPES[shape](parameters);
}

/** theta listed for M steps: knot i at progress i/M, straight between them, the last one held to the end. */
export function table(knots) {
    return (progress) => {
        const position = progress * knots.length;
        const nearest = Math.round(position);
        const exact = Math.abs(position - nearest) < 1e-9 ? nearest : position; // at a knot: the knot itself
        const low = Math.floor(exact);
        const [a, b] = [low, low + 1].map((i) => knots[Math.min(i, knots.length - 1)]);
        return a + (exact - low) * (b - a);
    };
}

/** theta of each of `steps` sampling steps. */
export const sample = (theta, steps) => Array.from({ length: steps }, (_, i) => theta(i / steps));

/**
 * Numbers from text, separated by commas, semicolons, spaces or lines; one pair of brackets around them is fine.
 * Error when there are none; its cause is the first word that is no number, if there is a word.
 */
export function parse(text) {
    const words = String(text).trim().replace(/^\[(.*)\]$/s, "$1").split(/[\s,;]+/).filter(Boolean);
    const wrong = words.find((word) => !Number.isFinite(Number(word)));
    if (wrong !== undefined || !words.length) throw new Error("not a list of numbers", { cause: wrong });
    return words.map(Number);
}

/** The text that `parse` reads: three decimals, which is finer than a pixel. */
export const format = (values) => values.map((value) => Number(value.toFixed(3))).join(", ");

/** The nearest non-falling list in [0, 1], in least squares: clip(isotonic regression by pooling neighbors). */
export function project(values) {
    const pools = [];
    for (const value of values) {
        let pool = { sum: value, count: 1 };
        while (pools.length && pools.at(-1).sum / pools.at(-1).count > pool.sum / pool.count) {
            const last = pools.pop();
            pool = { sum: last.sum + pool.sum, count: last.count + pool.count };
        }
        pools.push(pool);
    }
    return pools.flatMap(({ sum, count }) => Array(count).fill(clamp(sum / count, 0, 1)));
}

/** `values` with `theta` at `step`; what would fall moves along: earlier steps down to it, later ones up to it. */
export const pull = (values, step, theta) =>
    values.map((value, i) => (i < step ? Math.min(value, theta) : i > step ? Math.max(value, theta) : theta));

/** At most 11 round step numbers from 0 to `steps`. */
export function ticks(steps) {
    let size = 1;
    for (let i = 0; steps > 10 * size; i++) size *= i % 3 === 1 ? 2.5 : 2;
    return Array.from({ length: Math.floor(steps / size) + 1 }, (_, i) => i * size);
}
