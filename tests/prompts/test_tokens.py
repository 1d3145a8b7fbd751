"""What a token is, and what must hold for any prompts: no word is lost, no bracket is torn."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coupled.prompts.rules import split_by_rules
from coupled.prompts.split import clean_prompts, one_line
from coupled.prompts.tokens import tokenize, write_tokens
from coupled.prompts.words import CONJUNCTIONS, DANGLING, make_singular


def texts_of(prompt):
    return [token.text for token in tokenize(prompt)]


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        ("A red fox.", ["A", "red", "fox"]),
        ("🦊 in 🌲🌲, ★", ["🦊", "in", "🌲🌲", "★"]),
        ("(a red fox:1.2), ((owl))", ["a", "red", "fox", "owl"]),
        ("(a fox :1.2) (an owl:-.5)", ["a", "fox", "an", "owl"]),
        ('a sign "open at dawn", seen', ["a", "sign", '"open at dawn"', "seen"]),
        ("the foxes' ‘own den’, 'this one'", ["the", "foxes'", "‘own den’", "'this one'"]),
        ("[fox:owl:0.5] {red|grey} <lora:x y:1>", ["[fox:owl:0.5]", "{red|grey}", "<lora:x y:1>"]),
        ("left/right, left / right", ["left/right", "left / right"]),
        ("C++ or C#, 50% of 1,000, 16:9", ["C++", "or", "C#", "50%", "of", "1,000", "16:9"]),
        ("red fox,misty forest;night", ["red", "fox", "misty", "forest", "night"]),
        ("Tom & Jerry + 1", ["Tom", "&", "Jerry", "+", "1"]),
        ("fox(es), :) fox \\(red animal\\)", ["fox(es)", "fox", "\\(red", "animal\\)"]),
        ("a fox (red [and) grey]", ["a", "fox", "red", "[and", "grey]"]),
        ("— fox | owl — ", ["fox", "owl"]),
        ("(:1.2) ()", ["(:1.2)"]),
        ("一只鹰在飞，阳光明媚。", ["一只鹰在飞", "阳光明媚"]),
    ],
)  # fmt: skip
def test_tokens(prompt, texts):
    assert texts_of(prompt) == texts


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Fox", "“fox”", True),
        ("left / right", "Left/right", True),
        ("C++", "C#", False),
        ("❤", "❤\ufe0f", True),
        ("🦊", "🦉", False),
        ("50%", "50", False),
        ("don't", "don’t", True),
        ("**fox**", "fox", True),
    ],
)
def test_keys(one, other, same):
    [first], [second] = tokenize(one), tokenize(other)
    assert (first.key == second.key) == same


def test_brackets_are_closed_around_each_piece():
    tokens = tokenize("((A red fox:1.3) in a (misty forest):1.2).")
    assert write_tokens(tokens[:3]) == "((A red fox:1.3):1.2)"
    assert write_tokens(tokens[3:]) == "(in a (misty forest):1.2)."
    assert write_tokens([tokens[1], tokens[5]]) == "((red:1.3) (misty):1.2)"


WORDS = st.sampled_from(
    "a the in on at of red fox foxes owl misty forest sits runs beach dawn photo and & 🦊 🌲 C++ C#"
    " 50% 3 Über И left/right don't 'n'".split()
)
MARKS = st.sampled_from(["", "", "", "", ",", ".", "!", "，", "…", ";", " —", ":"])
WRAPS = st.sampled_from(
    ["{}", "{}", "{}", "({})", "({}:1.2)", "(({}:0.8))", '"{}"', "“{}”", "[{}]", "{{{}}}", "({}, )"]
)


@st.composite
def phrases(draw, depth=2):
    """Some words with marks, perhaps in brackets or quotes."""
    if depth and draw(st.booleans()):
        inner = " ".join(draw(st.lists(phrases(depth - 1), min_size=1, max_size=3)))
    else:
        inner = " ".join(draw(st.lists(WORDS, min_size=1, max_size=5)))
    return draw(WRAPS).format(inner) + draw(MARKS)


@st.composite
def prompt_sets(draw):
    """Two to four prompts with something in common, at the front, in the middle or at the end."""
    shared = draw(st.lists(phrases(), min_size=1, max_size=2))
    prompts = []
    for _ in range(draw(st.integers(2, 4))):
        before = draw(st.lists(phrases(), max_size=2))
        prompts.append(" ".join([*before, *shared, *draw(st.lists(phrases(), max_size=1))]))
    return prompts


def count_words(text):
    """How often each word stands in a text, but for those that may go where a text was cut."""
    keys = [token.key for token in tokenize(text)]
    return Counter(make_singular(key) for key in keys if key not in DANGLING | CONJUNCTIONS)


def is_balanced(text):
    pairs = ("()", "[]", "{}", "“”")
    return all(text.count(a) == text.count(b) for a, b in pairs) and text.count('"') % 2 == 0


@settings(max_examples=100, deadline=None, derandomize=True)
@given(prompt_sets())
def test_every_word_is_in_the_background_or_in_the_entity(prompts):
    try:
        split = split_by_rules(prompts)
    except ValueError:
        return
    for prompt, entity in zip(split.prompts, split.entities, strict=True):
        assert count_words(entity) + count_words(split.background) == count_words(prompt)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(prompt_sets())
def test_brackets_and_quotes_stay_balanced(prompts):
    try:
        split = split_by_rules(prompts)
    except ValueError:
        return
    assert all(map(is_balanced, (split.background, *split.entities))), split


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.one_of(phrases(), st.text(max_size=60)))
def test_tokens_account_for_every_letter_and_writing_them_changes_no_more(text):
    text = one_line(text)
    tokens = tokenize(text)
    within = {position for token in tokens for position in range(token.start, token.stop)}
    weights = {
        position
        for token in tokens
        for group in token.groups
        for position in range(group.inside.stop, group.stop)
    }
    lost = [c for i, c in enumerate(text) if c.isalnum() and i not in within | weights]
    assert not lost
    assert all(token.text == text[token.start : token.stop] for token in tokens)
    once = write_tokens(tokens)
    assert [token.key for token in tokenize(once)] == [token.key for token in tokens]
    assert write_tokens(tokenize(once)) == once


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    prompt_sets(), st.sampled_from(["{}", "{n}. {}", "({n}) {}", "Prompt {n}: {}", "- {}", '"{}",'])
)
def test_cleaning_twice_is_cleaning_once_and_lists_make_no_difference(prompts, form):
    listed = [form.format(prompt, n=n) for n, prompt in enumerate(prompts, 1)]
    cleaned = clean_prompts(listed)
    assert clean_prompts(cleaned) == cleaned
    if not {'"', "“"}.intersection("".join(prompts)):
        assert cleaned == clean_prompts(prompts)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(prompt_sets())
def test_splitting_again_gives_the_same(prompts):
    try:
        split = split_by_rules(prompts)
    except ValueError:
        return
    assert split_by_rules(split.prompts) == split
