"""Words and clauses of a prompt, and how marked and unmarked words are put together into texts
again.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from .words import (
    ARTICLES,
    CONJUNCTIONS,
    DANGLING,
    PLACE_WORDS,
    STRIPPED_AT_START,
    STRIPPED_BEFORE_ARTICLE,
)

SENTENCE_ENDS = ".!?…。！？"
WIDE = "，、；：。！？"  # punctuation that needs no space after it
PUNCTUATION = SENTENCE_ENDS + ",;:" + WIDE
WORD = re.compile(rf"^(.*?)([{re.escape(PUNCTUATION)}]*)$")
CHUNK = re.compile(rf"[^\s{WIDE}]*[{WIDE}]+|[^\s{WIDE}]+")

Span = range  # positions of consecutive words


@dataclass
class Prompt:
    """One prompt as words: `texts` as written, `keys` for comparison, `marks` the punctuation after
    each word.

    `shared[i]` says that word i belongs to the background.
    """

    texts: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    shared: list[bool] = field(default_factory=list)

    def add(self, text: str, key: str, mark: str) -> None:
        """Append one word."""
        self.texts.append(text)
        self.keys.append(key)
        self.marks.append(mark)
        self.shared.append(False)

    def share(self, span: Span) -> None:
        """Give the words of `span` to the background."""
        for position in span:
            self.shared[position] = True

    def ends_clause(self, position: int) -> bool:
        """Is there punctuation after the word, or the end of the prompt?"""
        return bool(self.marks[position]) or position == len(self.keys) - 1

    def is_open_left(self, start: int) -> bool:
        """Does a clause begin at `start`, shared words before it aside?"""
        return start == 0 or self.ends_clause(start - 1) or self.shared[start - 1]

    def is_open_right(self, stop: int) -> bool:
        """Does a clause end before `stop`, shared words after it aside?"""
        return self.ends_clause(stop - 1) or self.shared[stop]

    def clauses(self) -> dict[tuple[str, ...], Span]:
        """The clauses, by their keys, and where they stand."""
        ends = [i + 1 for i in range(len(self.keys)) if self.ends_clause(i)]
        starts = [0, *ends[:-1]]
        return {tuple(self.keys[a:b]): range(a, b) for a, b in zip(starts, ends, strict=False)}

    def pieces(self, shared: bool) -> list[Span]:
        """The longest spans of words that are all shared, or all not."""
        edges = [i for i in range(1, len(self.keys)) if self.shared[i] != self.shared[i - 1]]
        edges = [0, *edges, len(self.keys)]
        spans = [range(a, b) for a, b in zip(edges, edges[1:], strict=False)]
        return [span for span in spans if len(span) and self.shared[span.start] == shared]


def parse(text: str) -> Prompt:
    """The words of a prompt. Punctuation alone, such as a dash, goes to the word before it."""
    prompt = Prompt()
    for chunk in CHUNK.findall(text):
        word, mark = WORD.match(chunk).groups()
        key = key_of(word)
        if key:
            prompt.add(word, key, mark)
        elif prompt.keys:
            prompt.marks[-1] += mark if not word else f" {chunk}"
    return prompt


def key_of(word: str) -> str:
    """The word for comparison: no case, no punctuation around it, compatible characters made
    one.
    """
    key = unicodedata.normalize("NFKC", word).casefold().replace("’", "'")
    return re.sub(r"^[\W_]+|[\W_]+$", "", key)


def is_sentence_end(mark: str) -> bool:
    """Does the punctuation end a sentence?"""
    return any(character in SENTENCE_ENDS for character in mark)


def join(prompt: Prompt, spans: Sequence[Span], comma_at_gaps: bool) -> str:
    """The words of `spans` as written; between two spans a full stop, a comma or a space, as the
    gap between asks.

    With `comma_at_gaps`, spans that were not neighbours are always parted by a comma at least.
    """
    text = ""
    for span, following in zip(spans, (*spans[1:], None), strict=False):
        for i in span:
            mark = prompt.marks[i]
            if i == span[-1] and following is not None:
                mark = gap_mark(prompt, span, following, comma_at_gaps)
            text += prompt.texts[i] + mark + ("" if mark and mark[-1] in WIDE else " ")
    return text.strip()


def gap_mark(prompt: Prompt, span: Span, following: Span, comma: bool) -> str:
    """The punctuation between two spans that are joined where words between them went away."""
    marks = [prompt.marks[i] for i in range(span[-1], following[0])]
    before = marks[-1]
    if is_sentence_end(before):  # the following words begin a sentence
        return before
    strongest = next((mark for mark in marks if mark and not is_sentence_end(mark)), "")
    return strongest or ("," if comma or any(marks) else "")


def own_text(prompt: Prompt) -> str:
    """What is the prompt's own, without words left dangling where shared words were cut out ("sits
    on the").
    """
    spans = [trim_end(prompt, span) for span in prompt.pieces(shared=False)]
    spans = [span for span in spans if len(span)]
    while spans and prompt.keys[spans[0][0]] in CONJUNCTIONS:
        spans = [span for span in (spans[0][1:], *spans[1:]) if len(span)]
    return join(prompt, spans, comma_at_gaps=False)


def trim_end(prompt: Prompt, span: Span) -> Span:
    """The span without dangling words, unless what follows ("… looks on | in a meadow") begins a
    phrase itself.
    """
    after = span.stop
    if after < len(prompt.keys) and prompt.keys[after] in PLACE_WORDS:
        return span
    while len(span) and not prompt.ends_clause(span[-1]) and prompt.keys[span[-1]] in DANGLING:
        span = span[:-1]
    return span


def shared_text(prompt: Prompt) -> str:
    """The background as this prompt writes it, without the first word of "in a misty forest"."""
    spans = prompt.pieces(shared=True)
    first = spans[0]
    keys = prompt.keys[first.start : first.stop]
    strip = keys[0] in STRIPPED_AT_START or (
        keys[0] in STRIPPED_BEFORE_ARTICLE and len(keys) > 1 and keys[1] in ARTICLES
    )
    if strip and len(keys) > 1 and not prompt.marks[first.start]:
        spans = [first[1:], *spans[1:]]
    return join(prompt, spans, comma_at_gaps=True)


def capitalise(text: str) -> str:
    """`text` with its first letter upper case."""
    return text[:1].upper() + text[1:] if len(text[:1].upper()) == 1 else text


def manner_of(prompts: Sequence[str]) -> tuple[bool, str]:
    """How these prompts are written: do they begin with a capital, and with which full stop do they
    end, if any.
    """
    mark = next((mark for mark in "。." if any(prompt.endswith(mark) for prompt in prompts)), "")
    return any(prompt[:1].isupper() for prompt in prompts), mark


def finish(text: str, manner: tuple[bool, str]) -> str:
    """`text` as a prompt that stands alone, in the manner of the prompts it came from; empty stays
    empty.
    """
    starts_high, end = manner
    text = text.rstrip(" ,;:—–-" + WIDE[:4])
    text = capitalise(text) if starts_high else text
    return text if not text or is_sentence_end(text[-1]) else text + end
