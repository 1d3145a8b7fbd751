"""Real, tiny language models made here: a transformers folder, `transformers serve`, a host
CLIP.
"""

import importlib.util
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coupled.prompts import chat, host_llm, local
from coupled.prompts.endpoint import Endpoint

from tiny_llm import (
    CLIP_ANSWER,
    PROMPTS,
    TEMPLATE,
    language_clip,
    make_folder,
    make_it_say,
    make_root,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_root(tmp_path_factory.mktemp("models") / "LLM")


# -- transformers


@pytest.mark.parametrize("name", ["taught", "someone/plain", "no-system"])
def test_local_model_splits(root, name):
    polls = []
    complete = local.load_model(
        local.find_model([root], name), max_tokens=40, poll=lambda: polls.append(1)
    )
    split = chat.split_by_chat(PROMPTS, complete)
    assert (split.background, split.entities) == ("A cozy room.", ("A cat sits.", "A dog runs."))
    assert len(polls) > 10


def test_random_model_gives_a_clear_error_after_one_repair(root):
    complete, asked = local.load_model(root / "random", max_tokens=12), []
    with pytest.raises(
        ValueError, match="The model was asked twice.*larger instruction-tuned model"
    ):
        chat.split_by_chat(PROMPTS, lambda messages: asked.append(messages) or complete(messages))
    assert len(asked) == 2


def test_interrupt_stops_at_a_token(root):
    class Interrupt(BaseException):
        pass

    def poll():
        raise Interrupt

    with pytest.raises(Interrupt):
        local.load_model(root / "random", poll=poll)(chat.first_messages(PROMPTS))


def test_prompts_longer_than_the_context(root):
    with pytest.raises(ValueError, match="leave this model no room"):
        local.load_model(root / "short")(chat.first_messages(PROMPTS))


def test_listing_and_finding(root, tmp_path):
    outside = make_folder(tmp_path / "outside", TEMPLATE, False)
    (root / "link").symlink_to(outside, target_is_directory=True)
    try:
        assert local.list_models([root, tmp_path / "absent"]) == [
            "no-system", "pickled", "random", "short", "someone/plain", "taught",
        ]  # fmt: skip
        for name in (
            "link",
            "../outside",
            str(outside),
            "random/../../../outside",
            "",
            ".",
            "..",
            "absent",
            "a\0b",
        ):
            with pytest.raises(ValueError, match="There is no language model"):
                local.find_model([root], name)
    finally:
        (root / "link").unlink()


def test_pickled_weights_are_refused(root):
    with pytest.raises(ValueError, match="safetensors"):
        local.find_model([root], "pickled")
    with pytest.raises(ValueError, match="'pickled' could not be loaded"):
        local.load_model(root / "pickled")


def test_foreign_code_is_refused(root, tmp_path):
    folder = make_folder(tmp_path / "foreign", TEMPLATE, False)
    (folder / "evil.py").write_text("raise SystemExit('ran')\nclass Evil: pass\n")
    (folder / "config.json").write_text(
        '{"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil", "AutoModelForCausalLM":'
        ' "evil.Evil"}}'
    )
    with pytest.raises(ValueError, match="could not be loaded"):
        local.load_model(folder)


# -- transformers serve

SERVING = ("fastapi", "uvicorn", "openai", "accelerate")
MISSING = [name for name in SERVING if importlib.util.find_spec(name) is None]


@pytest.fixture
def served(root):
    """The base_url of a `transformers serve` with the tiny models."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).parent / "transformers"
    command = [program, "serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    log = (root.parent / "serve.log").open("w+")
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, (root.parent / "serve.log").read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(20)
        log.close()


class Cancel(BaseException):
    """The user's own cancel; the host's is no Exception either."""


def cancel_soon():
    """A `poll` that cancels the second time: the first is before the request."""
    calls = []

    def poll():
        calls.append(1)
        if len(calls) == 2:
            raise Cancel

    return poll


@pytest.mark.skipif(bool(MISSING), reason=f"transformers serve needs {', '.join(MISSING)}")
def test_transformers_serve(root, served):
    split = chat.split_by_chat(PROMPTS, Endpoint(served, str(root / "taught"), max_tokens=40))
    assert (split.background, split.entities) == ("A cozy room.", ("A cat sits.", "A dog runs."))
    with pytest.raises(ValueError, match="asked twice"):
        chat.split_by_chat(PROMPTS, Endpoint(served, str(root / "random"), max_tokens=12))
    # It knows no JSON, and answers in the instruction's own form.
    taught = Endpoint(
        served, str(root / "taught"), max_tokens=40, response_format=chat.answer_format(2)
    )
    split = chat.split_by_chat(PROMPTS, taught)
    assert (split.background, split.entities) == ("A cozy room.", ("A cat sits.", "A dog runs."))
    # A user's cancel reaches it in the middle of a long answer.
    endpoint = Endpoint(served, str(root / "random"), max_tokens=450, poll=cancel_soon())
    started = time.monotonic()
    with pytest.raises(Cancel):
        chat.split_by_chat(PROMPTS, endpoint)
    assert time.monotonic() - started < 3


# -- a host CLIP


def test_host_clip_answers():
    clip = language_clip()
    with pytest.raises(ValueError, match="asked twice"):
        chat.split_by_chat(PROMPTS, lambda messages: host_llm.complete_with_clip(clip, messages, 8))
    make_it_say(clip, CLIP_ANSWER)
    split = chat.split_by_chat(
        PROMPTS, lambda messages: host_llm.complete_with_clip(clip, messages, 60)
    )
    assert (split.background, split.entities) == ("forest at dawn", ("A fox runs.", "an owl sits"))


def test_host_clip_that_cannot_write():
    import comfy.sd
    from comfy import sd1_clip

    class Target:
        params = {}
        clip = sd1_clip.SD1ClipModel
        tokenizer = sd1_clip.SD1Tokenizer

    clip = comfy.sd.CLIP(Target, parameters=1)
    with pytest.raises(ValueError, match="only encodes text"):
        host_llm.complete_with_clip(clip, chat.first_messages(PROMPTS))
