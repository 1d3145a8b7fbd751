/**
 * Notes in the page's language: Python writes them in English, and `coupledSaid` of locales/<language>/main.json has
 * their lines as patterns with {holes}. A hole that is named as a group of patterns holds a phrase of that group; the
 * first pattern that fits counts. What none fits stays: errors, numbers, a user's own words.
 */
import { notes } from "./words.js";

const HOLE = /\{(\w+)\}/g;

const escape = (text) => text.replace(/[.*+?^$()|[\]\\]/g, "\\$&");

/** What matches the texts of an English pattern, with its holes as named groups. */
const matcher = (pattern) =>
    new RegExp(`^${pattern.split(HOLE).map((part, i) => (i % 2 ? `(?<${part}>.*?)` : escape(part))).join("")}$`);

function translatePhrase(text, group) {
    for (const [key, pattern] of Object.entries(notes.english[group])) {
        const holes = text.match(matcher(pattern)); // its groups are undefined where it has no hole
        if (!holes) continue;
        return notes.own[group][key].replace(HOLE, (_, name) =>
            notes.english[name] ? translatePhrase(holes.groups[name], name) : holes.groups[name]);
    }
    return text;
}

export const translate = (text) => text.split("\n").map((line) => translatePhrase(line, "lines")).join("\n");
