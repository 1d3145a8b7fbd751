"""Reading a language model's answer: as labeled lines or as JSON, strictly.

What chat servers and models put around an answer (thinking, a greeting, Markdown, list numbers, the
end of the turn) is taken off; anything else that is not a background or an entity is refused, with
what was seen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from .split import SplitPrompts, find_twins, one_line, shorten
from .tokens import is_sentence_end, tokenize
from .words import DANGLING

MAX_TEXT = 2000  # characters of a background or an entity; more is a model that does not stop

THINKING = "(?:think|thinking|thought|reasoning|analysis)"
THOUGHTS = re.compile(rf"<{THINKING}>.*?(?:</{THINKING}>|\Z)", re.DOTALL | re.IGNORECASE)
END_OF_THOUGHTS = re.compile(
    rf".*(?:</{THINKING}>|<\|channel\|>final<\|message\|>)", re.DOTALL | re.IGNORECASE
)
END_OF_TURN = re.compile(
    r"(?:<\|(?:im_end|eot_id|eom_id|end|endoftext|end_of_text|end_of_turn|return)\|>"
    r"|</s>|<end_of_turn>|<eos>).*",
    re.DOTALL,
)
FENCE = re.compile(r"^```[\w-]*[ \t]*\n(.*?)^```[ \t]*$", re.DOTALL | re.MULTILINE)
# "2. **Entity 1 (a cat):**", with what Markdown and lists put before and after it.
LABEL = re.compile(
    r"(?P<before>(?:^|(?<=\n))[ \t]*(?:(?:\d+[.)]|[-*•>#]+)[ \t]+)*[#*_>]*[ \t]*)?"
    r"(?P<number>(?<=\s)\d+[.)]\s+)?"
    r"(?<!\w)(?:(?P<background>background)|entity\s*#?(?P<entity>\d+))"
    r"[*_\s]*(?:\([^()\n]*\)[*_\s]*)?[:：]",
    re.IGNORECASE,
)
JSON_LABEL = re.compile(r"(?:(background)|entity[ _#]*(\d+))(?:\s*\([^()]*\))?", re.IGNORECASE)
SENTENCE = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])\s*(?=\S)")
PLACEHOLDER = re.compile(r"shared background|description of the \w+ unique entity", re.IGNORECASE)
NOTHING = re.compile(
    r"none|n/?a|null|nil|nothing|empty|unknown|undefined|not applicable|not specified|tbd"
    r"|no (?:\w+ )?(?:background|entity|entities|scene|subject)(?: \w+)?",
    re.IGNORECASE,
)
FOREIGN = re.compile(
    rf"```|<\|.*?\|>|</?(?:{THINKING}|s|answer|output|response|start_of_turn|end_of_turn)>"
    r"|\[/?INST\]|\bprompt\s*#?\d+\s*:",
    re.IGNORECASE,
)


class AnswerError(ValueError):
    """The model's answer is not in the asked form; the message says what is wrong with it.

    `answer` is what the model wrote, where the one who raises this knows it.
    """

    def __init__(self, problem: str, answer: str = "") -> None:
        super().__init__(problem)
        self.answer = answer


def name_parts(count: int) -> list[str]:
    """The names of an answer's parts: "Background", "Entity 1", …"""
    return ["Background", *(f"Entity {number}" for number in range(1, count + 1))]


def parse_answer(answer: str, prompts: Sequence[str]) -> SplitPrompts:
    """The split in an answer "Background: … Entity 1: … Entity 2: …", on lines of their own or not,
    or in a JSON object with the same names.

    Line breaks within a sentence become spaces. AnswerError unless there is one background
    and, in order, one entity per prompt, none of them empty, over-long, a placeholder, given twice,
    or followed by other text.
    """
    text = unwrap_answer(answer)
    if not LABEL.search(text) and "{" in text:
        sections = read_json(text)
    else:
        sections = find_sections(text)
    check_labels([label for label, _ in sections], len(prompts))
    texts = [clean_section(label, section, prompts) for label, section in sections]
    twins = find_twins(texts[1:])
    if twins:
        raise AnswerError(f"Entity {twins[0]} and Entity {twins[1]} are the same.")
    return SplitPrompts(texts[0], tuple(texts[1:]), tuple(prompts))


def unwrap_answer(answer: str) -> str:
    """The answer without the model's thoughts, the end of its turn, and a code fence around it.

    AnswerError if there is more than one code block, or text after it.
    """
    text = END_OF_TURN.sub("", strip_thoughts(answer))
    blocks = list(FENCE.finditer(text))
    if not blocks:
        return text
    if len(blocks) > 1:
        raise AnswerError(f"It has {len(blocks)} code blocks.")
    refuse_text_after("the code block", text[blocks[0].end() :])
    return blocks[0][1]


def strip_thoughts(answer: str) -> str:
    """The answer without what the model thought before it."""
    return END_OF_THOUGHTS.sub("", THOUGHTS.sub("", answer))


def refuse_text_after(what: str, rest: str) -> None:
    """AnswerError if there are words in what is left of the answer."""
    if re.search(r"\w", rest):
        raise AnswerError(f"After {what} there is other text ('{shorten(rest, 60)}').")


def read_json(text: str) -> list[tuple[str, str]]:
    """The sections of a JSON object: "Background" and "Entity 1", "Entity 2", … or "Entities", a
    list of texts.

    AnswerError for anything else.
    """
    start, stop = text.index("{"), text.rfind("}") + 1
    refuse_text_after("the JSON object", text[stop:] if stop else "")
    try:
        pairs = json.loads(text[start:stop], object_pairs_hook=list)
    except (ValueError, RecursionError):
        raise AnswerError(f"It is no valid JSON ('{shorten(text[start:], 60)}').") from None
    sections = [section for name, value in pairs for section in read_member(str(name), value)]
    return sorted(sections, key=lambda section: order_of(section[0]))


def read_member(name: str, value: object) -> list[tuple[str, str]]:
    """The sections in one member of the JSON object. AnswerError for an unknown one."""
    if name.strip().casefold() == "entities" and isinstance(value, list):
        named = [(f"Entity {number}", text) for number, text in enumerate(value, 1)]
    else:
        label = JSON_LABEL.fullmatch(name.strip())
        if not label:
            raise AnswerError(f"It has a part '{shorten(name, 40)}' that was not asked for.")
        named = [("Background" if label[1] else f"Entity {int(label[2])}", value)]
    sections = []
    for label, text in named:
        if not isinstance(text, str):
            raise AnswerError(f"{label} is not a text but {shorten(json.dumps(text), 60)}.")
        sections.append((label, text))
    return sections


def order_of(label: str) -> int:
    """Where a section belongs: the background first, then the entities."""
    return 0 if label == "Background" else int(label.split()[1])


def find_sections(text: str) -> list[tuple[str, str]]:
    """Each label, as "Background" or "Entity 1", with the text up to the next one.

    What stands before is greeting. "Background:" within a line, after the first label, is text ("a
    blurred background: …").
    """
    labels = list(LABEL.finditer(text))
    labels = [
        match
        for i, match in enumerate(labels)
        if i == 0 or match["entity"] or match["before"] is not None
    ]
    all_numbered = all(match["number"] for match in labels[1:])
    sections = []
    for match, following in zip(labels, [*labels[1:], None], strict=False):
        name = f"Entity {int(match['entity'])}" if match["entity"] else "Background"
        stop = len(text)
        if following is not None:
            # "room 2. Entity 1: …": a list's number, or the end of the sentence "Room 2."?
            inside = following["number"] and not all_numbered
            stop = following.end("number") if inside else following.start()
        sections.append((name, text[match.end() : stop]))
    return sections


def check_labels(labels: Sequence[str], count: int) -> None:
    """AnswerError unless the labels are Background, Entity 1, …, Entity `count`."""
    wanted = name_parts(count)
    if list(labels) != wanted:
        found = ", ".join(labels[:20]) if labels else "none of them"
        raise AnswerError(
            f"It must have the parts {', '.join(wanted)}, once each and in this order; it has"
            f" {found}."
        )


def clean_section(label: str, section: str, prompts: Sequence[str]) -> str:
    """The text of a section on one line, without Markdown, quotes or brackets around it.

    AnswerError if it is not one text.
    """
    text = join_lines(label, section, prompts).replace("**", "").strip("*_#>`- ")
    for left, right in ("[]", '""', "“”"):
        if text.startswith(left) and text.endswith(right):
            text = text[1:-1].strip()
    if not tokenize(text):
        raise AnswerError(f"{label} is empty.")
    if len(text) > MAX_TEXT:
        raise AnswerError(f"{label} is longer than {MAX_TEXT} characters.")
    bare = text.strip(".()<>!… ")
    if PLACEHOLDER.fullmatch(bare):
        raise AnswerError(f"{label} repeats the instruction.")
    if NOTHING.fullmatch(bare):
        raise AnswerError(f"{label} says only '{shorten(text, 60)}'.")
    if foreign := FOREIGN.search(text):
        raise AnswerError(f"{label} holds '{shorten(foreign[0], 40)}', which is no description.")
    return text


def join_lines(label: str, section: str, prompts: Sequence[str]) -> str:
    """The lines of a section as one. AnswerError for lines or sentences that are no part of
    the description.

    That are those after a blank line, after the end of a sentence, and, where the first sentence
    has words of the prompts, those that have none ("I hope this helps!").
    """
    text = ""
    blank = False
    for line in map(one_line, section.splitlines()):
        if not tokenize(line):
            blank = bool(text)
            continue
        if text and (blank or is_sentence_end(text.rstrip("*_\"'”")[-1])):
            refuse_text_after(label, line)
        text = f"{text} {line}".strip()
    first, *others = SENTENCE.split(text)
    for sentence in others:
        if shares_word(first, prompts) and not shares_word(sentence, prompts):
            refuse_text_after(label, sentence)
    return text


def shares_word(sentence: str, prompts: Sequence[str]) -> bool:
    """Whether a word of the sentence is in a prompt, articles and the like aside."""
    whole = "\n".join(prompts).casefold()
    in_prompts = {token.key for prompt in prompts for token in tokenize(prompt)}
    words = {token.key for token in tokenize(sentence)} - DANGLING
    # Parts of words count ("floor" in "flooring"), but not "i" in every other word.
    return any(word in in_prompts or (len(word) > 3 and word in whole) for word in words)
