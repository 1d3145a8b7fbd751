"""Prompts that are typed into the pack's nodes mean what they mean in CLIP Text Encode."""

import pytest

import nodes
from coupled.nodes.baselines import NODES as BASELINES
from coupled.nodes.coupling import CoupledTextEncode
from coupled.nodes.prompts import CoupledSplitPrompts


@pytest.mark.parametrize(
    "node, texts",
    [
        (CoupledTextEncode, ("background", "entities")),
        *((node, ("prompts",)) for node in (CoupledSplitPrompts, *BASELINES)),
    ],
)
def test_what_is_typed_is_resolved_as_in_clip_text_encode(node, texts):
    """The page resolves {a|b} and // comments of the widgets that ask for it."""
    inputs = node.GET_NODE_INFO_V1()["input"]["required"]
    assert nodes.CLIPTextEncode.INPUT_TYPES()["required"]["text"][1]["dynamicPrompts"]
    assert all(inputs[name][1]["dynamicPrompts"] for name in texts)
