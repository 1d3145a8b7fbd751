"""Split prompts by asking a language model: the paper's instruction, strict parsing, one request
for repair.

The model is any `complete(messages) -> str`; `endpoint`, `local` and `host_llm` provide one each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from .split import SplitPrompts, check_prompts, find_twins, one_line, shorten

Messages = list[dict[str, str]]
Complete = Callable[[Messages], str]

# The paper's Appendix C, Figure 11, word for word.
SYSTEM = "You are a helpful assistant to arrange prompts for text-to-image generation."
INSTRUCTION = (
    "You are given a set of prompts for text-to-image generation. Your task is to first identify"
    " and extract the common background shared across all prompts. Then, for each individual"
    " prompt, present the distinct entity description. Please format your output as"
    " follows:\nBackground: [shared background]\nEntity 1: [description of the first unique"
    " entity]\nEntity 2: [description of the second unique entity]\n... and so on."
)
REPAIR = (
    "That answer cannot be used: {problem} Answer again with exactly {lines} lines and nothing"
    " else, in this format:\n{form}"
)
MAX_TEXT = 2000  # characters of a background or an entity; more is a model that does not stop
MAX_ECHO = 4000  # characters of a failed answer that are sent back for repair

THOUGHTS = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL | re.IGNORECASE)
LABEL = re.compile(r"(?<!\w)(?:(background)|entity\s*#?(\d+))[*_\s]*[:：]", re.IGNORECASE)
PLACEHOLDER = re.compile(r"shared background|description of the \w+ unique entity", re.IGNORECASE)


class AnswerError(ValueError):
    """The model's answer is not in the asked form; the message says what is wrong with it."""


def split_by_chat(
    prompts: Sequence[str], complete: Complete, who: str = "The model"
) -> SplitPrompts:
    """Split n >= 2 prompts by a language model, which gets one chance to repair a bad answer.

    Raises ValueError when the prompts are not a set, or when both answers are bad.
    """
    prompts = tuple(map(one_line, prompts))
    check_prompts(prompts)
    messages = first_messages(prompts)
    answer = complete(messages)
    try:
        return parse_answer(answer, prompts)
    except AnswerError as error:
        messages = [*messages, *repair_messages(answer, error, len(prompts))]
    answer = complete(messages)
    try:
        return parse_answer(answer, prompts)
    except AnswerError as error:
        raise ValueError(
            f"{who} was asked twice and gave no usable split: {error} It answered:"
            f" '{shorten(answer, 200)}'. Try a larger instruction-tuned model or the method"
            " 'rules', or type background and entities by hand."
        ) from None


def first_messages(prompts: Sequence[str]) -> Messages:
    """The paper's two messages.

    Its third (the prompts) joins the second: many chat templates want turns.
    """
    listed = "\n".join(f"Prompt {number}: {prompt}" for number, prompt in enumerate(prompts, 1))
    return [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": f"{INSTRUCTION}\n\n{listed}"},
    ]


def repair_messages(answer: str, problem: AnswerError, count: int) -> Messages:
    """The failed answer and what to do better."""
    form = "\n".join(
        ["Background: ...", *(f"Entity {number}: ..." for number in range(1, count + 1))]
    )
    request = REPAIR.format(problem=problem, lines=count + 1, form=form)
    echo = THOUGHTS.sub("", answer).strip()[:MAX_ECHO] or "(empty)"
    return [{"role": "assistant", "content": echo}, {"role": "user", "content": request}]


def parse_answer(answer: str, prompts: Sequence[str]) -> SplitPrompts:
    """The split in an answer "Background: … Entity 1: … Entity 2: …", on lines of their own or not.

    Line breaks within a text become spaces. Raises AnswerError unless there is one background and,
    in order, one entity per prompt, none of them empty, over-long, a placeholder of the
    instruction, or given twice.
    """
    sections = find_sections(THOUGHTS.sub("", answer))
    check_labels([label for label, _ in sections], len(prompts))
    texts = [clean(label, text) for label, text in sections]
    twins = find_twins(texts[1:])
    if twins:
        raise AnswerError(f"Entity {twins[0]} and Entity {twins[1]} are the same.")
    return SplitPrompts(texts[0], tuple(texts[1:]), tuple(prompts))


def find_sections(answer: str) -> list[tuple[str, str]]:
    """Each label, as "Background" or "Entity 1", with the text up to the next one.

    What stands before is greeting.
    """
    labels = list(LABEL.finditer(answer))
    ends = [*(match.start() for match in labels[1:]), len(answer)]
    names = ["Background" if match[1] else f"Entity {int(match[2])}" for match in labels]
    return [
        (name, answer[match.end() : end])
        for name, match, end in zip(names, labels, ends, strict=False)
    ]


def check_labels(labels: Sequence[str], count: int) -> None:
    """Raises AnswerError unless the labels are Background, Entity 1, …, Entity `count`."""
    wanted = ["Background", *(f"Entity {number}" for number in range(1, count + 1))]
    if list(labels) != wanted:
        found = ", ".join(labels[:20]) if labels else "none of them"
        raise AnswerError(
            f"It must have the parts {', '.join(wanted)}, once each and in this order; it has"
            f" {found}."
        )


def clean(label: str, text: str) -> str:
    """The text of a section on one line, without Markdown, quotes or brackets around it.

    Raises AnswerError.
    """
    paragraphs = [one_line(part) for part in re.split(r"\n\s*\n", text)]
    paragraphs = [part for part in paragraphs if re.search(r"\w", part)]
    if len(paragraphs) > 1:
        raise AnswerError(f"After {label} there is other text ('{shorten(paragraphs[1], 60)}').")
    text = paragraphs[0].strip("*_#>`- ") if paragraphs else ""
    for left, right in ("[]", '""', "“”"):
        if text.startswith(left) and text.endswith(right):
            text = text[1:-1].strip()
    if not re.search(r"\w", text):
        raise AnswerError(f"{label} is empty.")
    if len(text) > MAX_TEXT:
        raise AnswerError(f"{label} is longer than {MAX_TEXT} characters.")
    if PLACEHOLDER.fullmatch(text.rstrip(".")):
        raise AnswerError(f"{label} repeats the instruction.")
    return text
