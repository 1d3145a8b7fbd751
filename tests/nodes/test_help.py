"""The help pages: one for every node, each true to its node's schema, and served by the host."""

import asyncio
import importlib.util
import re
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from PIL import Image

from coupled.devtools.help import HEADS, translated_pages
from coupled.nodes import CoupledExtension

from paths import ROOT

SPEC = importlib.util.spec_from_file_location("coupled_entry", ROOT / "__init__.py")
ENTRY = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(ENTRY)
WEB = ROOT / ENTRY.WEB_DIRECTORY
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in WEB.glob("docs/*.md")}
NODES = {
    node.define_schema().node_id: node for node in asyncio.run(CoupledExtension().get_node_list())
}
HOSTS = {"arxiv.org", "127.0.0.1", "localhost"}  # the paper, and this machine
SCRIPTS = {
    "theta.js",
    "theta_picture.js",
    "theta_widget.js",
    "words.js",
    "size.js",
    "said.js",
    "translate.js",
    "linked.js",
}

each_node = pytest.mark.parametrize("node_id", sorted(NODES))


def section(page: str, title: str) -> str:
    """The text under `## title`."""
    parts = re.split(r"^## (.+)\n", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[title]


def rows(page: str, title: str) -> list[list[str]]:
    """[name, meaning] of the items of the list under `## title`."""
    found = re.findall(r"^- (`[^`]+`(?: \([^)]+\))?): (.+)$", section(page, title), re.MULTILINE)
    return [list(item) for item in found]


def named(page: str, title: str) -> set[tuple[str, str]]:
    """(name, option of a dynamic combo or "") of the list, such as "`k` (`sin`,
    `arctan`)".
    """
    words = [re.findall(r"`([^`]+)`", row[0]) for row in rows(page, title)]
    return {(name, option) for name, *options in words for option in options or [""]}


def declared(inputs) -> set[tuple[str, str]]:
    """(name, option of a dynamic combo or "") of a schema's inputs."""
    found = set()
    for one in inputs:
        found.add((one.id, ""))
        for option in dynamic_options(one):
            found |= {(inner.id, option.key) for inner in option.inputs}
    return found


def dynamic_options(one) -> list:
    return [option for option in getattr(one, "options", None) or [] if hasattr(option, "inputs")]


def test_every_node_has_a_page_and_every_page_a_node():
    assert NODES and set(PAGES) == set(NODES)
    assert {path.name for path in WEB.glob("docs/*/*")} == {"node.jpg", "zh.md", "ja.md"}


@pytest.mark.parametrize("language", HEADS)
def test_translated_pages_say_what_the_locales_say(language):
    pages = {path: text for path, text in translated_pages().items() if path.stem == language}
    assert len(pages) == len(NODES)
    stale = [path for path, text in pages.items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "write them anew: python -m devtools.help"


def test_no_page_has_a_table():
    """Names such as `background_conditioning` leave the second column no room in the Info panel."""
    lines = [line for path in WEB.rglob("*.md") for line in path.read_text("utf-8").splitlines()]
    assert lines and not [line for line in lines if line.startswith("|")]


@each_node
def test_page_has_a_picture_of_the_node_small_enough_to_load_at_once(node_id):
    assert re.findall(r"!\[[^\]]+\]\(([^)]+)\)", PAGES[node_id]) == [f"{node_id}/node.jpg"]
    with Image.open(WEB / "docs" / node_id / "node.jpg") as picture:
        assert (
            300 < picture.width <= 720
            and (WEB / "docs" / node_id / "node.jpg").stat().st_size < 80_000
        )


@each_node
def test_page_names_every_input_and_no_other(node_id):
    assert named(PAGES[node_id], "Inputs") == declared(NODES[node_id].define_schema().inputs)


@each_node
def test_page_names_every_output_in_order_and_no_other(node_id):
    outputs = [output.display_name for output in NODES[node_id].define_schema().outputs]
    assert [row[0].strip("`") for row in rows(PAGES[node_id], "Outputs")] == outputs


@each_node
def test_page_marks_the_optional_inputs(node_id):
    optional = {one.id for one in NODES[node_id].define_schema().inputs if one.optional}
    marked = {
        row[0].split("`")[1] for row in rows(PAGES[node_id], "Inputs") if "(optional)" in row[0]
    }
    assert marked == optional


@each_node
def test_page_explains_the_choices_of_its_own_combos(node_id):
    for one in NODES[node_id].define_schema().inputs:
        keys = (
            [option.key for option in dynamic_options(one)] or getattr(one, "options", None) or []
        )
        if one.id in (
            "sampler_name",
            "scheduler",
            "schedule",
        ):  # the host's lists, and the user's files
            continue
        (row,) = [
            row
            for row in rows(PAGES[node_id], "Inputs")
            if row[0].startswith(f"`{one.id}`") and "(`" not in row[0]
        ]  # not one of an option's own inputs
        assert all(f"`{key}`" in row[1] for key in keys), one.id


@each_node
def test_page_is_short_and_carries_the_nodes_title(node_id):
    page = PAGES[node_id]
    assert page.startswith(f"# {NODES[node_id].define_schema().display_name}\n\n")
    assert section(page, "Hints").strip() and len(page.split()) < 600


@each_node
def test_page_speaks_of_nodes_by_their_titles(node_id):
    """Bold words that begin with a capital are titles of this pack's nodes."""
    titles = {node.define_schema().display_name for node in NODES.values()}
    assert {
        word for word in re.findall(r"\*\*([A-Z][^*]+)\*\*", PAGES[node_id].replace("\n", " "))
    } <= titles


@each_node
def test_page_leads_to_no_other_host(node_id):
    found = re.findall(r"(?:https?:)?//[^\s)`\"'>]+", PAGES[node_id])
    assert {urlsplit(url).hostname for url in found} <= HOSTS


def test_web_directory_holds_no_other_script():
    """The browser imports every .js file of the folder."""
    assert (WEB / "docs").is_dir() and WEB.parent.resolve() == ROOT
    assert {path.name for path in WEB.rglob("*.js")} == SCRIPTS


def test_host_serves_each_page_where_the_browser_looks(host_server):
    info = host_server.client.object_info()
    for node_id, page in PAGES.items():
        pack = info[node_id]["python_module"].split(".")[
            1
        ]  # as the frontend's help service finds the pack's name
        with urlopen(
            f"{host_server.url}/extensions/{pack}/docs/{node_id}.md", timeout=60
        ) as answer:
            assert answer.read().decode("utf-8") == page
            assert "text/html" not in answer.headers.get(
                "Content-Type", ""
            )  # which the frontend takes for "no page"
        # The page takes a picture's address from the folder docs, not from that of the help page.
        with urlopen(
            f"{host_server.url}/extensions/{pack}/docs/{node_id}/node.jpg", timeout=60
        ) as answer:
            assert answer.headers["Content-Type"] == "image/jpeg"
    loaded = [
        path
        for path in host_server.client.get("/extensions")
        if path.startswith("/extensions/coupled/")
    ]
    assert {path.rsplit("/")[-1] for path in loaded} == SCRIPTS
