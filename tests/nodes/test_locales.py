"""The page's words in every language that the pack ships: all there, none left over, and served by
the host.
"""

import json
import re

import pytest

from paths import ROOT

FOLDER = ROOT / "locales"
TRANSLATED = ("ja", "zh")
RENEW = "python3 dev.py test tests/nodes/test_locales.py --renew"
HOSTS_OWN = {
    "coupled/loaders",
    "coupled/sampling",
}  # the second word is one that the host itself translates
KANA, HAN = r"[\u3040-\u30ff]", r"[\u4e00-\u9fff]"
# Numbers, paths, file names, names with an underscore.
FIXED = r"[A-Za-z0-9_./:\[\]*-]*[0-9_/*\[][A-Za-z0-9_./:\[\]*-]*"
HOLE, WORD = re.compile(r"\{\w+\}"), re.compile(r"[A-Za-z]{4,}")

each_language = pytest.mark.parametrize("language", TRANSLATED)


@pytest.fixture(scope="module")
def nodes(host_server) -> dict:
    info = host_server.client.object_info()
    return {name: node for name, node in sorted(info.items()) if name.startswith("Coupled")}


def read(language: str, name: str) -> dict:
    return json.loads((FOLDER / language / f"{name}.json").read_text(encoding="utf-8"))


def english(node: dict) -> dict:
    """The words of a node, under the keys by which the page looks for them."""
    outputs = zip(node["output_name"], node["output_tooltips"], strict=True)
    words = {"display_name": node["display_name"], "description": node["description"]}
    if inputs := input_words(node["input"]):
        words["inputs"] = inputs
    if node["output"]:
        words["outputs"] = {
            str(i): {"name": name, "tooltip": tip} for i, (name, tip) in enumerate(outputs)
        }
    return words


def input_words(declared: dict) -> dict:
    """{key: {"name", "tooltip"}}.

    An input inside a dynamic combo, `shape.k`, has the key `shape_k`.
    """
    words = {}
    for group in ("required", "optional"):
        for name, (kind, *rest) in (declared.get(group) or {}).items():
            options = rest[0] if rest else {}
            words[name] = {"name": name, "tooltip": options["tooltip"]}
            if kind == "COMFY_DYNAMICCOMBO_V3":
                words |= nested_words(name, options["options"])
    return words


def nested_words(combo: str, choices: list[dict]) -> dict:
    """The inputs of all choices.

    One that means another thing in another choice has one key and says both.
    """
    meanings = {}
    for choice in choices:
        for name, words in input_words(choice["inputs"]).items():
            meanings.setdefault(name, {})[choice["key"]] = words["tooltip"]
    tooltips = {
        name: (
            " ".join(f"{key}: {tip}" for key, tip in tips.items())
            if len(set(tips.values())) > 1
            else next(iter(tips.values()))
        )
        for name, tips in meanings.items()
    }
    return {f"{combo}_{name}": {"name": name, "tooltip": tip} for name, tip in tooltips.items()}


def flat(words: dict, path: str = "") -> dict[str, str]:
    """{"CoupledPair.inputs.first.name": text}"""
    found = {}
    for key, value in words.items():
        found |= flat(value, f"{path}{key}.") if isinstance(value, dict) else {path + key: value}
    return found


def test_english_says_what_the_schemas_say(nodes, renew):
    words = {name: english(node) for name, node in nodes.items()}
    if renew:
        text = json.dumps(words, indent=2, ensure_ascii=False) + "\n"
        (FOLDER / "en" / "nodeDefs.json").write_text(text, encoding="utf-8")
    assert read("en", "nodeDefs") == words, (
        f"The nodes' own words have changed. Renew their copy: {RENEW}"
    )


@each_language
@pytest.mark.parametrize("name", ["nodeDefs", "main"])
def test_nothing_is_missing_and_nothing_left_over(language, name):
    assert flat(read(language, name)).keys() == flat(read("en", name)).keys()


@each_language
def test_a_translation_keeps_numbers_paths_and_names(language):
    """Mostly what has gone stale when only the English was changed."""
    words, lost = flat(read(language, "nodeDefs")), []
    for key, text in flat(read("en", "nodeDefs")).items():
        if not key.endswith("name"):
            fixed = {found.rstrip(".:,-") for found in re.findall(FIXED, text)}
            lost += [f"{key}: {found}" for found in sorted(fixed) if found not in words[key]]
    assert not lost


@each_language
def test_a_translation_is_in_its_language(language):
    texts = {
        key: text
        for key, text in flat(read(language, "nodeDefs")).items()
        if not key.endswith("name")
    }
    assert [
        key for key, text in texts.items() if not re.search(KANA if language == "ja" else HAN, text)
    ] == []
    assert language == "ja" or [key for key, text in texts.items() if re.search(KANA, text)] == []


@each_language
def test_a_note_keeps_its_holes_and_no_english(language):
    """The patterns of what nodes say on themselves; notes.py has how they are used."""
    words, english = (flat(read(name, "main")["coupledSaid"]) for name in (language, "en"))
    assert [
        key
        for key, text in english.items()
        if sorted(HOLE.findall(words[key])) != sorted(HOLE.findall(text))
    ] == []
    left = {word for text in words.values() for word in WORD.findall(HOLE.sub("", text))}
    assert left <= {"exact", "output", "ComfyUI", "ControlNet", "Flux", "Latent"}


@each_language
def test_a_translation_calls_the_nodes_by_their_translated_names(language):
    words = read(language, "nodeDefs")
    titles = [
        node["display_name"]
        for name, node in read("en", "nodeDefs").items()
        if words[name]["display_name"] != node["display_name"]
    ]
    assert [
        key for key, text in flat(words).items() if any(title in text for title in titles)
    ] == []


@pytest.mark.parametrize("language", ("en", *TRANSLATED))
def test_no_text_holds_what_the_page_takes_for_a_formula(language):
    """The page compiles titles, descriptions and names: @ links, braces fill in, a bar parts
    plurals.
    """
    words = {
        key: text
        for key, text in flat(read(language, "nodeDefs")).items()
        if not key.endswith("tooltip")
    }
    assert [key for key, text in words.items() if re.search(r"[@{}|]", text)] == []


@pytest.mark.parametrize("language", ("en", *TRANSLATED))
def test_the_host_serves_it(language, host_server):
    served = host_server.client.get("/i18n")[language]
    assert served == read(language, "main") | {"nodeDefs": read(language, "nodeDefs")}


def test_categories_and_types_have_words(nodes):
    main = read("en", "main")
    known = set(main["nodeCategories"])
    assert {
        part
        for node in nodes.values()
        if node["category"] not in HOSTS_OWN
        for part in node["category"].split("/")
    } == known
    assert set(main["dataTypes"]) == {"THETA_SCHEDULE"}
    assert set(main["templateWorkflows"]["category"]) == {"coupled"}
