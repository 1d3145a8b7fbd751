"""What a token of a prompt is: a word, an emoji or a quotation, with the place where it stands.

Every word of a prompt belongs to one token, and a token is never cut. Round brackets, with or
without a weight ("(a misty forest:1.2)"), are no part of a token: each token knows the brackets
around it, so that `write_tokens` can give every piece of a torn bracket both of its ends. Other
brackets and quotations ("open at dawn", [fox:owl:0.5], {red|grey}, <lora:x:1>) are one token.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

SENTENCE_ENDS = ".!?…。！？"
WIDE = "，、；：。！？"  # punctuation that needs no space after it
PUNCTUATION = SENTENCE_ENDS + ",;:" + WIDE

ROUND = {"(": ")", "（": "）"}
WHOLE = {
    "[": "]", "{": "}", "<": ">", "［": "］", "｛": "｝", "「": "」", "『": "』", "《": "》",
    "«": "»", "“": "”", "„": "“", "‘": "’", '"': '"', "'": "'",
}  # fmt: skip
CLOSERS = ROUND | WHOLE
TIGHT = "<\"'‘„“"  # count only next to the text they enclose: 5 < 6, 6" wide, the foxes' den
WEIGHT = re.compile(r"\s*:\s*[-+]?(?:\d+\.?\d*|\.\d+)\s*$")

# Characters of the skeleton (see `draw_skeleton`) that stand for something else in the text.
SOLID = "x"
CHUNK = re.compile(rf"[^\s{WIDE}]*[{WIDE}]+|[^\s{WIDE}]+")
TIGHT_LIST = re.compile(r"(?<=[^\s\d][,;])(?=\S)|(?<=[,;])(?=[^\s\d,;])")  # "fox,meadow", not 1,000
SLASH = re.compile(r"(?<=[^\W_])\s*/\s*(?=[^\W_])")
MARK = re.compile(rf"[{re.escape(PUNCTUATION)}]*$")
KEPT_IN_KEY = "#%&@"  # C# is not C, and 50% is not 50
DROPPED_FROM_KEY = "`´^~<>|="
FIRST_EMOJI = 0x1F000


@dataclass(frozen=True)
class Group:
    """A pair of round brackets: where it stands, and what opens and closes it ("(" and ":1.2)")."""

    start: int
    stop: int
    opening: str
    closing: str

    @property
    def inside(self) -> range:
        """The positions between the brackets."""
        return range(self.start + len(self.opening), self.stop - len(self.closing))


@dataclass(frozen=True)
class Token:
    """`text` as written, which stands at [start, stop) of the prompt.

    `key` is what it is compared by, `mark` the punctuation after it, `groups` the brackets around
    it, the outermost first.
    """

    text: str
    start: int
    stop: int
    key: str
    mark: str = ""
    groups: tuple[Group, ...] = ()


def tokenize(text: str) -> list[Token]:
    """The tokens of a prompt, in order. Punctuation alone, such as a dash, goes to the token
    before it.
    """
    groups, wholes = find_brackets(text)
    skeleton = draw_skeleton(text, groups, wholes)
    tokens: list[Token] = []
    for start, stop in find_chunks(skeleton):
        found = MARK.search(skeleton[start:stop])
        assert found is not None  # it may be empty
        mark_start = start + found.start()
        key = make_key(text[start:mark_start])
        if is_word(key):
            around = tuple(group for group in groups if start in group.inside)
            mark = text[mark_start:stop]
            tokens.append(Token(text[start:mark_start], start, mark_start, key, mark, around))
        elif tokens:
            gap = " " if skeleton[start - 1] == " " and text[start - 1].isspace() else ""
            tokens[-1] = replace(tokens[-1], mark=tokens[-1].mark + gap + text[start:stop])
    return tokens


def find_brackets(text: str) -> tuple[list[Group], list[tuple[int, int]]]:
    """The round brackets around whole words, outermost first, and the spans that stay whole.

    What has no partner, stands behind a backslash or encloses no word is ordinary text.
    """
    groups, wholes = [], []
    waiting: list[int] = []  # where brackets were opened that are not closed yet
    for position, character in enumerate(text):
        if position and text[position - 1] == "\\":
            continue
        opener = find_opener(text, waiting, position)
        if opener is not None:
            del waiting[waiting.index(opener) :]
            group = make_group(text, opener, position + 1)
            if text[opener] in ROUND and stands_free(text, group) and has_word(text, group.inside):
                groups.append(group)
            elif has_word(text, range(opener + 1, position)):
                wholes.append((opener, position + 1))
        elif character in CLOSERS and opens(text, position):
            waiting.append(position)
    groups = [group for group in groups if not any(a < group.start < b for a, b in wholes)]
    return sorted(groups, key=lambda group: group.start), wholes


def find_opener(text: str, waiting: Sequence[int], position: int) -> int | None:
    """Where the bracket was opened that the character at `position` closes, if it closes one."""
    for opener in reversed(waiting):
        if CLOSERS[text[opener]] == text[position]:
            if text[opener] not in TIGHT:
                return opener
            follower = text[position + 1 : position + 2]
            if not text[position - 1].isspace() and not follower.isalnum():
                return opener
    return None


def opens(text: str, position: int) -> bool:
    """Whether the character at `position` can open a bracket or a quotation."""
    if text[position] not in TIGHT:
        return True
    before, after = text[position - 1 : position] if position else "", text[position + 1 :]
    return bool(after) and not after[0].isspace() and not before.isalnum()


def stands_free(text: str, group: Group) -> bool:
    """Whether the bracket begins and ends between words, unlike that of "fox(es)"."""
    before = text[group.start - 1] if group.start else ""
    return not before.isalnum() and not text[group.stop : group.stop + 1].isalnum()


def has_word(text: str, span: range) -> bool:
    """Whether there is anything but punctuation in the span."""
    return is_word(make_key(text[span.start : span.stop]))


def make_group(text: str, start: int, stop: int) -> Group:
    """The group of the round brackets at [start, stop), its weight among the closing."""
    weight = WEIGHT.search(text, start + 1, stop - 1)
    closing = weight.start() if weight else stop - 1
    return Group(start, stop, text[start], text[closing:stop])


def draw_skeleton(text: str, groups: Sequence[Group], wholes: Sequence[tuple[int, int]]) -> str:
    """`text` as it is to be cut: brackets and weights as spaces, what stays whole as letters.

    It is as long as the text. The spaces around a slash between words ("left / right") are letters.
    """
    skeleton = list(text)
    for group in groups:
        for position in (
            *range(group.start, group.inside.start),
            *range(group.inside.stop, group.stop),
        ):
            skeleton[position] = " "
    for start, stop in wholes:
        skeleton[start:stop] = SOLID * (stop - start)
    return SLASH.sub(lambda match: SOLID * len(match[0]), "".join(skeleton))


def find_chunks(skeleton: str) -> list[tuple[int, int]]:
    """Where the pieces between white space stand, cut also after the commas of "fox,meadow"."""
    spans = []
    for chunk in CHUNK.finditer(skeleton):
        cuts = [chunk.start() + match.start() for match in TIGHT_LIST.finditer(chunk[0])]
        edges = [chunk.start(), *cuts, chunk.end()]
        spans += zip(edges, edges[1:], strict=False)
    return spans


def make_key(text: str) -> str:
    """The text for comparison: no case, no quotes or punctuation around it, compatible characters
    made one.
    """
    key = unicodedata.normalize("NFKC", text).casefold().replace("’", "'").replace("\ufe0f", "")
    key = re.sub(r"\s*/\s*", "/", " ".join(key.split()))
    start, stop = 0, len(key)
    while start < stop and is_outer(key[start]):
        start += 1
    while start < stop and is_outer(key[stop - 1]):
        stop -= 1
    return key[start:stop]


def is_outer(character: str) -> bool:
    """Whether the character is no part of a word that it stands before or after."""
    if character in KEPT_IN_KEY:
        return False
    category = unicodedata.category(character)
    return category[0] in "PZ" or category in ("Cc", "Cf") or character in DROPPED_FROM_KEY


def is_word(key: str) -> bool:
    """Whether the key has a letter, a digit or an emoji, or joins words ("&", "+")."""
    return key in ("&", "+") or any(c.isalnum() or is_emoji(c) for c in key)


def is_emoji(character: str) -> bool:
    """Whether the character is a picture: an emoji, a flag, a star."""
    if "\u2500" <= character <= "\u25ff":  # lines and boxes, which people draw lists with
        return False
    return ord(character) >= FIRST_EMOJI or unicodedata.category(character) == "So"


def is_sentence_end(mark: str) -> bool:
    """Whether the punctuation ends a sentence."""
    return any(character in SENTENCE_ENDS for character in mark)


def write_tokens(tokens: Sequence[Token]) -> str:
    """The tokens as a text. Where a bracket opens or closes between two tokens, it is written."""
    text, opened = "", 0
    for token, following in zip(tokens, [*tokens[1:], None], strict=False):
        text += "".join(group.opening for group in token.groups[opened:]) + token.text
        opened = count_shared(token.groups, following.groups if following else ())
        text += "".join(group.closing for group in reversed(token.groups[opened:])) + token.mark
        text += "" if token.mark and token.mark[-1] in WIDE else " "
    return text.strip()


def count_shared(groups: Sequence[Group], others: Sequence[Group]) -> int:
    """How many brackets, from the outermost on, two neighbors have in common."""
    pairs = zip(groups, others, strict=False)
    return next(
        (i for i, (one, other) in enumerate(pairs) if one != other), min(len(groups), len(others))
    )
