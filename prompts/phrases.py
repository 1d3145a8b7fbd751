"""Words, phrases and clauses of a prompt, and how what is shared and what is not are written as
texts again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from .tokens import ROUND, WHOLE, WIDE, Token, is_sentence_end, tokenize, write_tokens
from .words import (
    ARTICLES,
    CONJUNCTIONS,
    DANGLING,
    LINKS,
    PLACE_WORDS,
    STRIPPED_AT_START,
    STRIPPED_BEFORE_ARTICLE,
    STYLE_LINKS,
    make_singular,
)

Span = range  # positions of consecutive words


@dataclass(frozen=True)
class Word:
    """A token, with the articles before it: "a misty" and "the misty" are one word, and the same.

    `key` is what it is compared by: in a place ("in misty forests") also without a plural.
    """

    tokens: tuple[Token, ...]
    key: str

    @property
    def mark(self) -> str:
        """The punctuation after the word."""
        return self.tokens[-1].mark


@dataclass
class Prompt:
    """One prompt as words. `shared[i]` says that word i belongs to the background; the first
    `style` words are a kind of picture ("a photo").
    """

    words: list[Word]
    shared: list[bool] = field(init=False)
    style: int = 0

    def __post_init__(self) -> None:
        self.keys = [word.key for word in self.words]
        self.shared = [False] * len(self.words)

    def share(self, span: Span) -> None:
        """Give the words of `span` to the background."""
        for position in span:
            self.shared[position] = True

    def count_tokens(self, span: Span) -> int:
        """How many words there are in `span`, articles among them."""
        return sum(len(self.words[position].tokens) for position in span)

    def ends_clause(self, position: int) -> bool:
        """Whether punctuation, or the end of the prompt, follows the word."""
        return bool(self.words[position].mark) or position == len(self.words) - 1

    def is_open_left(self, start: int) -> bool:
        """Whether a clause begins at `start`, shared words before it aside."""
        return start == 0 or self.ends_clause(start - 1) or self.shared[start - 1]

    def is_open_right(self, stop: int) -> bool:
        """Whether a clause ends before `stop`, shared words after it aside."""
        return self.ends_clause(stop - 1) or self.shared[stop]

    def find_clauses(self) -> dict[tuple[str, ...], Span]:
        """The clauses, by their keys, and where they stand."""
        ends = [i + 1 for i in range(len(self.words)) if self.ends_clause(i)]
        starts = [0, *ends[:-1]]
        return {tuple(self.keys[a:b]): range(a, b) for a, b in zip(starts, ends, strict=False)}

    def find_places(self, clause: Span) -> list[Span]:
        """The phrases of a clause that open with a place word, each up to the next one."""
        starts = [
            i
            for i in clause
            if self.keys[i] in PLACE_WORDS
            and (i == clause.start or self.keys[i - 1] not in PLACE_WORDS)
        ]
        return [range(a, b) for a, b in zip(starts, [*starts[1:], clause.stop], strict=False)]

    def identify_place(self, span: Span) -> tuple[str, ...]:
        """What two phrases have in common that name one place: the order of adjectives aside."""
        first, *adjectives, noun = [self.keys[i] for i in span] if len(span) > 1 else ("", "")
        in_order = LINKS.intersection(adjectives)
        return (first, *(adjectives if in_order else sorted(adjectives)), noun)

    def find_pieces(self, shared: bool) -> list[Span]:
        """The longest spans of words that are all shared, or all not."""
        edges = [i for i in range(1, len(self.words)) if self.shared[i] != self.shared[i - 1]]
        edges = [0, *edges, len(self.words)]
        spans = [range(a, b) for a, b in zip(edges, edges[1:], strict=False)]
        return [span for span in spans if len(span) and self.shared[span.start] == shared]


def read_prompt(text: str) -> Prompt:
    """The words of a prompt."""
    words: list[Word] = []
    in_place = False
    for tokens in join_articles(tokenize(text)):
        key = tokens[-1].key
        words.append(Word(tokens, make_singular(key) if in_place else key))
        in_place = (in_place or key in PLACE_WORDS) and not tokens[-1].mark
    return Prompt(words)


def join_articles(tokens: Sequence[Token]) -> Iterator[tuple[Token, ...]]:
    """The tokens one by one, but articles together with what follows them."""
    waiting: tuple[Token, ...] = ()
    for token in tokens:
        waiting += (token,)
        if token.key not in ARTICLES or token.mark:
            yield waiting
            waiting = ()
    if waiting:
        yield waiting


def write_spans(prompt: Prompt, spans: Sequence[Span], comma_at_gaps: bool) -> str:
    """The words of `spans` as written; between two spans a full stop, a comma or a space, as the
    gap between asks.

    With `comma_at_gaps`, spans that were not neighbors are always separated by a comma at least.
    """
    tokens: list[Token] = []
    for span, following in zip(spans, [*spans[1:], None], strict=False):
        tokens += [token for position in span for token in prompt.words[position].tokens]
        if following is not None:
            mark = choose_gap_mark(prompt, span, following, comma_at_gaps)
            tokens[-1] = replace(tokens[-1], mark=mark)
    return write_tokens(tokens)


def choose_gap_mark(prompt: Prompt, span: Span, following: Span, comma: bool) -> str:
    """The punctuation between two spans that are joined where words between them went away."""
    marks = [prompt.words[i].mark for i in range(span[-1], following[0])]
    before = marks[-1]
    if is_sentence_end(before):  # the following words begin a sentence
        return before
    strongest = next((mark for mark in marks if mark and not is_sentence_end(mark)), "")
    return strongest or ("," if comma or any(marks) else "")


def write_entity(prompt: Prompt) -> str:
    """What is the prompt's own, without words left dangling where shared words were cut out ("sits
    on the", "of a fox").
    """
    spans = [trim_end(prompt, span) for span in prompt.find_pieces(shared=False)]
    spans = [span for span in spans if len(span)]
    while spans and cannot_begin(prompt, spans[0].start):
        spans = [span for span in (spans[0][1:], *spans[1:]) if len(span)]
    return write_spans(prompt, spans, comma_at_gaps=False)


def cannot_begin(prompt: Prompt, position: int) -> bool:
    """Whether the word is one that no entity text begins with."""
    key = prompt.keys[position]
    return key in CONJUNCTIONS or (position == prompt.style > 0 and key in STYLE_LINKS)


def trim_end(prompt: Prompt, span: Span) -> Span:
    """The span without dangling words, unless what follows ("… looks on | in a meadow") begins a
    phrase itself.
    """
    after = span.stop
    if after < len(prompt.words) and prompt.keys[after] in PLACE_WORDS:
        return span
    while len(span) and not prompt.ends_clause(span[-1]) and prompt.keys[span[-1]] in DANGLING:
        span = span[:-1]
    return span


def write_background(prompt: Prompt) -> str:
    """The background as this prompt writes it, without the first word of "in a misty forest"."""
    spans = prompt.find_pieces(shared=True)
    scene = 1 if prompt.style and len(spans) > 1 and spans[0] == range(prompt.style) else 0
    if opens_needlessly(prompt, spans[scene]):
        spans[scene] = spans[scene][1:]
    return write_spans(prompt, spans, comma_at_gaps=True)


def opens_needlessly(prompt: Prompt, span: Span) -> bool:
    """Whether the span opens with a word like the "in" of "in a misty forest"."""
    if len(span) < 2 or prompt.words[span[0]].mark:
        return False
    key, following = prompt.keys[span[0]], prompt.words[span[1]]
    before_article = key in STRIPPED_BEFORE_ARTICLE and following.tokens[0].key in ARTICLES
    return key in STRIPPED_AT_START or before_article


def capitalize(text: str) -> str:
    """`text` with its first letter upper case, brackets before it aside."""
    start = len(text) - len(text.lstrip("".join(ROUND)))
    first = text[start : start + 1]
    return text[:start] + first.upper() + text[start + 1 :] if len(first.upper()) == 1 else text


def find_manner(prompts: Sequence[str]) -> tuple[bool, str]:
    """How these prompts are written: do they begin with a capital, and with which full stop do they
    end, if any.
    """
    mark = next((mark for mark in "。." if any(prompt.endswith(mark) for prompt in prompts)), "")
    first_letters = [prompt.lstrip("".join(ROUND))[:1] for prompt in prompts]
    return any(letter.isupper() for letter in first_letters), mark


def match_manner(text: str, manner: tuple[bool, str]) -> str:
    """`text` as a prompt that stands alone, in the manner of the prompts it came from; empty stays
    empty.
    """
    starts_high, end = manner
    text = text.rstrip(" ,;:—–-" + WIDE[:4])
    text = capitalize(text) if starts_high else text
    last = text.rstrip("".join(WHOLE.values()))[-1:]
    return text if not text or (last and is_sentence_end(last)) else text + end
