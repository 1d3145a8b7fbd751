"""The node Split Prompts: its contract, and each of its methods."""

import socket
import threading
import time

import folder_paths
import pytest

from coupled.nodes.prompts import NO_MODEL, PAPER_PROMPTS, CoupledSplitPrompts, model_names

from tiny_llm import CLIP_ANSWER, PROMPTS, TEMPLATE, language_clip, make_folder, make_it_say


@pytest.fixture
def models(tmp_path, monkeypatch):
    """The host's models folder, moved to an empty place."""
    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path))
    return tmp_path


def test_schema_is_the_contract(models):
    (models / "LLM" / "some-model").mkdir(parents=True)
    (models / "LLM" / "some-model" / "config.json").write_text("{}")
    schema = CoupledSplitPrompts.define_schema()
    schema.validate()
    assert (schema.node_id, schema.display_name, schema.category) == (
        "CoupledSplitPrompts", "Split Prompts", "coupled/prompts",
    )  # fmt: skip
    assert [given.id for given in schema.inputs] == ["prompts", "method"]
    assert [output.display_name for output in schema.outputs] == [
        "background",
        "entities",
        "prompts",
    ]
    options = {option.key: option.inputs for option in schema.inputs[1].options}
    assert {key: [given.id for given in inputs] for key, inputs in options.items()} == {
        "rules": [], "endpoint": ["base_url", "model"],
        "transformers": ["model"], "text encoder": ["clip"],
    }  # fmt: skip
    assert options["transformers"][0].options == ["some-model"]
    nested = [given for inputs in options.values() for given in inputs]
    assert (
        schema.description
        and schema.search_aliases
        and all(g.tooltip for g in [*schema.inputs, *nested])
    )


def test_default_prompts_are_the_papers():
    assert CoupledSplitPrompts.execute(PAPER_PROMPTS, {"method": "rules"}).args == (
        "A vibrant meadow under a clear blue sky, bathed in sunlight.",
        "An eagle soars gracefully.\nA red fox runs.",
        PAPER_PROMPTS,
    )


def test_a_place_that_went_to_the_entities_is_said_on_the_node_and_in_the_log(caplog):
    text = "A dog on the beach at sunset.\nA cat on a sandy shore at sunset."
    result = CoupledSplitPrompts.execute(text, {"method": "rules"})
    assert result.args[0] == "At sunset."
    [shown] = result.ui.as_dict()["text"]
    assert "same words in every prompt" in shown and "'At sunset.'" in shown
    warning, found = shown.split("\n", 1)
    assert warning in caplog.text
    assert found.splitlines()[0] == "Background: At sunset."
    assert len(found.splitlines()) == 3


def test_the_node_shows_what_it_found():
    [shown] = CoupledSplitPrompts.execute(PAPER_PROMPTS, {"method": "rules"}).ui.as_dict()["text"]
    assert shown.splitlines() == [
        "Background: A vibrant meadow under a clear blue sky, bathed in sunlight.",
        "1: An eagle soars gracefully.",
        "2: A red fox runs.",
    ]


def test_by_model_folder(models):
    make_folder(models / "LLM" / "taught", TEMPLATE, True)
    text = " \n" + "\n\n ".join(PROMPTS)
    result = CoupledSplitPrompts.execute(text, {"method": "transformers", "model": "taught"})
    assert result.args == ("A cozy room.", "A cat sits.\nA dog runs.", "\n".join(PROMPTS))


def test_by_text_encoder():
    clip = language_clip()
    make_it_say(clip, CLIP_ANSWER)
    result = CoupledSplitPrompts.execute(
        "\n".join(PROMPTS), {"method": "text encoder", "clip": clip}
    )
    assert result.args == ("forest at dawn", "A fox runs.\nan owl sits", "\n".join(PROMPTS))


def test_cancel_while_a_server_thinks_is_the_hosts_own_interrupt(models):
    import comfy.model_management as management

    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        timer = threading.Timer(0.3, management.interrupt_current_processing)
        timer.start()
        started = time.monotonic()
        with pytest.raises(management.InterruptProcessingException):
            method = {"method": "endpoint", "base_url": url, "model": "m"}
            CoupledSplitPrompts.execute("\n".join(PROMPTS), method)
        timer.join()
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            {"method": "magic"},
            "not known. Choose one of: rules, endpoint, transformers, text encoder",
        ),
        (None, "not known. Choose one of"),  # what the host passes for a key that it does not know
        ({"method": "transformers", "model": NO_MODEL}, "There is no language model"),
        (
            {"method": "endpoint", "base_url": "http://example.com/v1", "model": "m"},
            "is not this machine",
        ),
    ],
)
def test_clear_errors(models, method, message):
    assert model_names() == [NO_MODEL]
    with pytest.raises(ValueError, match=message):
        CoupledSplitPrompts.execute("\n".join(PROMPTS), method)
