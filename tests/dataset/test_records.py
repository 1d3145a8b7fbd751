"""Records: the formats they are read from, their seeds, the grammar, what is said of bad ones."""

import json

import pyarrow
import pyarrow.parquet
import pytest

from coupled.dataset.grammar import expand
from coupled.dataset.records import Record, make_record, read_records, seed_of

from paths import ROOT

FIELDS = [
    {"id": "a", "background": "A meadow.", "entities": ["A red fox runs.", "A cat sits."]},
    {"id": "b", "prompts": ["A dog on a beach.", "A cow on a beach."], "seed": 7},
]
EXAMPLE = ROOT / "dataset" / "examples" / "mini.json"


def write(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_all_formats_give_the_same_records(tmp_path):
    lines = write(tmp_path, "a.jsonl", "\n".join(map(json.dumps, FIELDS)) + "\n\n")
    cells = (
        "id,background,entities,prompts,seed\n"
        "a,A meadow.,A red fox runs. | A cat sits.,,\n"
        'b,,,"A dog on a beach.\nA cow on a beach.",7\n'
    )
    rows = [{**dict.fromkeys(FIELDS[0] | FIELDS[1]), **one} for one in FIELDS]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    every = [lines, write(tmp_path, "a.csv", cells), tmp_path / "a.parquet"]
    first, *others = [read_records(path) for path in every]
    assert [one.id for one in first] == ["a", "b"]
    assert others == [first, first]


def test_the_seed_follows_from_the_id_alone():
    a = make_record(FIELDS[0])
    assert a.seed == seed_of("a") != seed_of("b")
    assert make_record(FIELDS[1]).seed == 7
    nameless = {key: value for key, value in FIELDS[0].items() if key != "id"}
    assert make_record(nameless) == make_record(nameless)


def test_texts_are_split_and_joined():
    a, b = map(make_record, FIELDS)
    assert a.split.prompts == ("A red fox runs, a meadow.", "A cat sits, a meadow.")
    assert a.subjects == ("a red fox runs", "a cat sits")
    assert "beach" in b.split.background and b.split.entities == ("A dog.", "A cow.")


def test_a_record_survives_json():
    record = make_record(FIELDS[0] | {"width": 64})
    assert Record.from_json(record.to_json()) == record


@pytest.mark.parametrize(
    "line, words",
    [
        ("{", "no JSON"),
        ("[]", "must be an object"),
        ('{"id": "x"}', "give prompts"),
        ('{"prompts": ["A cat.", "A cat."]}', "same"),
        ('{"prompts": "A cat."}', "list of texts"),
        ('{"background": "A room.", "entities": ["A cat."]}', "two entities"),
        (
            '{"prompt": ["A cat.", "A dog."]}',
            "unknown field prompt; known are id, background, prompts",
        ),
        (
            '{"background": "A room.", "entities": ["A", "B"], "prompts": ["A"]}',
            "1 prompts but 2 entities",
        ),
        ('{"id": "../x", "background": "A room.", "entities": ["A", "B"]}', "file name"),
        ('{"id": "a.b", "background": "A room.", "entities": ["A", "B"]}', "file name"),
        ('{"background": "A room.", "entities": ["A", "B"], "seed": -1}', "whole number"),
        ('{"background": "A room.", "entities": ["A", "B"], "seed": 1.5}', "whole number"),
        ('{"background": "A room.", "entities": ["A", "B"], "seed": true}', "whole number"),
        ('{"background": "A room.", "entities": ["A", "B"], "seed": 1e99}', "whole number"),
        ('{"background": "A room.", "entities": ["A", " "]}', "none of them empty"),
        ('{"background": 1, "entities": ["A", "B"]}', "background must be a text"),
        ('{"entities": ["A", "B"]}', "background must be a text"),
        ('{"background": "A room.", "entities": ["A", "B"], "width": 50}', "multiple of 16"),
        ('{"background": "A room.", "entities": ["A", "B"], "plate": "no.png"}', "no picture"),
        ('{"background": "A room.", "entities": ["A", "B"], "subjects": ["a"]}', "1 subjects"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, words):
    path = write(tmp_path, "a.jsonl", json.dumps(FIELDS[0]) + "\n" + line + "\n")
    with pytest.raises(ValueError, match="line 2") as error:
        read_records(path)
    assert words in str(error.value)


def test_two_records_of_one_id_are_refused(tmp_path):
    path = write(tmp_path, "a.jsonl", "\n".join([json.dumps(FIELDS[0])] * 2))
    with pytest.raises(ValueError, match="line 2: the id 'a' is that of line 1"):
        read_records(path)


@pytest.mark.parametrize("name, words", [("a.txt", "must end in"), ("a.jsonl", "holds no records")])
def test_a_file_without_records_is_refused(tmp_path, name, words):
    with pytest.raises(ValueError, match=words):
        read_records(write(tmp_path, name, ""))


def test_the_shipped_grammar_makes_two_hundred_sets_that_mini_flux_can_read():
    from coupled.mini.text import TOKENIZER, words_of

    records = read_records(EXAMPLE)
    known = json.loads((TOKENIZER / "tokenizer.json").read_text())["model"]["vocab"]
    assert len(records) == len({one.id for one in records}) == 200
    assert len({one.split.background for one in records}) == 5
    assert {len(one.split.prompts) for one in records} == {2}
    for record in records:
        assert set(words_of(" ".join(record.split.prompts))) <= set(known)


def test_a_grammar_is_expanded(tmp_path):
    grammar = {
        "places": ["in a room", "on a beach"],
        "subjects": {"a cat": "a cat sits", "a dog": "a dog runs", "a cow": "a cow stands"},
        "images": 3,
        "phrasings": ["{subject} {place}.", "{place}, {subject}."],
    }
    records = read_records(write(tmp_path, "a.json", json.dumps(grammar)))
    assert len(records) == 4
    assert records[0].split.prompts[0] == "A cat sits in a room."
    assert records[-1].split.prompts[2] == "On a beach, a cow stands."
    assert records[0].subjects == ("a cat", "a dog", "a cow")
    assert records[0].id == "place000-a_cat-a_dog-a_cow-p0"


def test_a_large_grammar_is_spread_over_and_names_of_any_letters_make_ids(tmp_path):
    grammar = {
        "places": [f"in room {number}" for number in range(1000)],
        "subjects": {
            name: f"{name} sits" for name in ["the café's cat", "狐", *map(str, range(300))]
        },
        "phrasings": ["{subject} {place}."] * 100,  # 4.5 billion
        "count": 3,
    }
    path = write(tmp_path, "a.json", json.dumps(grammar))
    assert [one["id"] for one in expand(path)] == [
        "place000-the_caf_s_cat-subject1-p0",
        "place333-53-134-p33",
        "place666-125-200-p66",
    ]


@pytest.mark.parametrize(
    "change, words",
    [
        ({"places": None}, "places must be a list"),
        ({"places": []}, "places must be a list"),
        ({"phrasings": ["{subject} {place}", 1]}, "phrasings must be a list"),
        ({"phrasing": []}, "unknown phrasing; known are places, subjects"),
        ({"phrasings": ["{subject}"]}, "lacks"),
        ({"images": 1}, "whole number from 2"),
        ({"count": True}, "whole number from 1"),
        ({"images": 3}, "shows 3 subjects, and there are 2"),
        ({"subjects": ["a cat"]}, "object"),
    ],
)
def test_a_bad_grammar_is_refused(tmp_path, change, words):
    grammar = {"places": ["in a room"], "subjects": {"a cat": "a cat", "a dog": "a dog"}}
    path = write(tmp_path, "a.json", json.dumps(grammar | change))
    with pytest.raises(ValueError, match=words):
        read_records(path)
