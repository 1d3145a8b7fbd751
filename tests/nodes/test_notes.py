"""What nodes say on themselves, in the languages of the page: every line has its pattern in
locales/en, and every pattern its line.
"""

import re

import pytest

from notes import PATTERNS, collect_notes, find_pattern, patterns_of, translate

# Numbers, and what a user wrote: the same in every language.
SAME = re.compile(r"\d+: .+|f_bg \S+, R \S+|PSNR .+|-?[\d.]+|f_bg|f_ti|sin|arctan|01")


@pytest.fixture(scope="module")
def notes(tmp_path_factory) -> list[str]:
    return collect_notes(tmp_path_factory.mktemp("notes"))


def left_in_english(text: str, group: str = "lines") -> list[str]:
    """The lines and phrases for which there is no pattern."""
    if (found := find_pattern(text, group)) is None:
        return [] if SAME.fullmatch(text) else [text]
    holes = [(value, name) for name, value in found[1].items() if name in PATTERNS["en"]]
    return [one for value, name in holes for one in left_in_english(value, name)]


def test_every_line_has_a_pattern(notes):
    assert [left for line in notes for left in left_in_english(line)] == []


def test_every_pattern_has_a_line(notes):
    patterns = {f"{group}.{key}" for group, keys in PATTERNS["en"].items() for key in keys}
    assert patterns == set().union(*map(patterns_of, notes))


def test_no_note_shows_a_missing_number_as_nan(notes):
    assert [line for line in notes if re.search(r"\bnan", line)] == []


def test_english_patterns_give_the_line_itself(notes):
    assert [translate(line, "en") for line in notes] == notes


@pytest.mark.parametrize(
    "line, zh, ja",
    [
        ("Background: A park.", "背景：A park.", "背景：A park."),
        (
            "2 pictures in 2.4 pictures' time",
            "生成 2 张图像，耗时相当于 2.4 张",
            "2 枚を 2.4 枚分の時間で生成",
        ),
        ("1: A dog runs.", "1: A dog runs.", "1: A dog runs."),
    ],
)
def test_a_line_becomes_the_other_languages_own(line, zh, ja):
    assert (translate(line, "zh"), translate(line, "ja")) == (zh, ja)
