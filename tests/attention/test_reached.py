"""Every block of a coupled model call attends through the override, or the call is an error: packs
that call Flux's blocks in their own way would turn coupling off in silence.
"""

import pytest
import torch
from comfy.patcher_extension import WrappersMP

from coupled.attention.families.flux import FLUX1
from coupled.baselines.p2p import edit_model
from coupled.sampling import couple
from coupled.schedules import constant, sin

from compare import relative_error
from tiny import tiny_conditioning, tiny_coupled, tiny_flux, tiny_sample
from tiny_edits import tiny_edits

THETA = sin(center=1.5, k=0.8, reference_steps=4)


@pytest.fixture(scope="module")
def model():
    return tiny_flux()


@pytest.fixture
def conditioning():
    return tiny_coupled(3, 5, 7)


def patched_blocks(model, patch, blocks):
    """The model with another pack's patch in place of some blocks, (type, index)."""
    model = model.clone()
    for block_type, index in blocks:
        model.set_model_patch_replace(patch, "dit", block_type, index)
    return model


def without_options(args, extra):
    """Calls the block itself, as packs do that have no options to give."""
    return extra["original_block"]({**args, "transformer_options": {}})


def not_at_all(args, extra):
    """A cache of an earlier step's result, or a layer that is skipped."""
    return {k: args[k] for k in ("img", "txt") if k in args}


ALL_BLOCKS = [("double_block", 0), ("double_block", 1), ("single_block", 0), ("single_block", 1)]


@pytest.mark.parametrize("mode", ["exact", "local", "paper"])
@pytest.mark.parametrize("patch", [without_options, not_at_all])
@pytest.mark.parametrize("blocks", [ALL_BLOCKS, ALL_BLOCKS[1:2], ALL_BLOCKS[3:]])
def test_blocks_that_do_not_reach_the_override_are_an_error(
    model, conditioning, mode, patch, blocks
):
    coupled = couple(patched_blocks(model, patch, blocks), constant(0.3), mode)
    reached = len(ALL_BLOCKS) - len(blocks)
    with pytest.raises(
        ValueError, match=f"Remove or bypass the node.*TeaCache.*{reached} of the 4"
    ):
        tiny_sample(coupled, conditioning)


def test_a_cache_that_skips_blocks_in_some_calls_only_is_an_error_there(model, conditioning):
    calls = []

    def cached(args, extra):
        calls.append(1)
        return extra["original_block"](args) if len(calls) < 3 else not_at_all(args, extra)

    coupled = couple(patched_blocks(model, cached, ALL_BLOCKS[:1]), constant(0.3), "exact")
    with pytest.raises(ValueError, match="3 of the 4 attention calls"):
        tiny_sample(coupled, conditioning)
    assert len(calls) == 3


def test_a_wrapper_that_takes_the_options_away_is_an_error(model, conditioning):
    def own_options(executor, *args, **kwargs):
        args = list(args)
        args[FLUX1.arguments.index("options")] = {}
        return executor(*args, **kwargs)

    coupled = couple(model, constant(0.3))
    coupled.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "theirs", own_options)
    with pytest.raises(ValueError, match="0 of the 4 attention calls"):
        tiny_sample(coupled, conditioning)


def test_patched_blocks_that_hand_the_options_on_are_as_without(model, conditioning):
    def hand_on(args, extra):
        return extra["original_block"](dict(args))

    patched = patched_blocks(model, hand_on, ALL_BLOCKS)
    ours, theirs = (
        tiny_sample(couple(one, THETA, "exact"), conditioning) for one in (model, patched)
    )
    assert torch.equal(theirs, ours)
    # in mode local whole pictures are computed for them, so it is the same but for rounding
    ours, theirs = (
        tiny_sample(couple(one, THETA, "local"), conditioning) for one in (model, patched)
    )
    assert relative_error(theirs, ours) <= 1e-4


def test_where_nothing_is_coupled_blocks_may_be_replaced(model, conditioning):
    """An ordinary conditioning, and the steps in which one text is left out."""
    patched = patched_blocks(model, without_options, ALL_BLOCKS)
    plain = tiny_conditioning(9)
    assert torch.equal(
        tiny_sample(couple(patched, constant(0.3)), plain), tiny_sample(patched, plain)
    )
    for theta in (0.0, 1.0):
        ours = tiny_sample(couple(patched, constant(theta), "exact"), conditioning)
        stock = tiny_sample(couple(model, constant(theta), "exact"), conditioning)
        assert relative_error(ours, stock) <= 1e-5


@pytest.mark.parametrize("blocks", [ALL_BLOCKS, ALL_BLOCKS[2:3]])
def test_prompt_to_prompt_counts_as_well(model, blocks):
    edited = edit_model(patched_blocks(model, without_options, blocks), 0.8, 0.4)
    with pytest.raises(ValueError, match=f"{4 - len(blocks)} of the 4 attention calls"):
        tiny_sample(edited, tiny_edits())


@pytest.mark.slow
def test_compiled_code_counts_too(model, conditioning):
    from comfy_api.torch_helpers import set_torch_compile_wrapper

    torch._dynamo.reset()
    good = couple(model, THETA)
    bad = couple(patched_blocks(model, not_at_all, ALL_BLOCKS[:1]), THETA)
    expected = tiny_sample(good, conditioning)
    for patched in (good, bad):
        set_torch_compile_wrapper(model=patched, backend="eager")
    for _ in range(2):
        assert relative_error(tiny_sample(good, conditioning), expected) <= 1e-5
        with pytest.raises(ValueError, match="3 of the 4 attention calls"):
            tiny_sample(bad, conditioning)
    torch._dynamo.reset()
