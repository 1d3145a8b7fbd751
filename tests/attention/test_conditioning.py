"""The coupled conditioning: what it holds, what survives the host's nodes, and what it refuses."""

import pytest
import torch

from coupled.attention import couple_conditioning, coupled_size, select_images

from tiny import tiny_conditioning, tiny_coupled


def test_what_it_holds():
    background = tiny_conditioning(5, seed=1, guidance=2.0)
    entities = [tiny_conditioning(7, seed=2 + i) for i in range(3)]
    ((context, values),) = couple_conditioning(background, entities)
    assert context.shape == (3, 12, 32)
    for i, entity in enumerate(entities):
        assert torch.equal(context[i, :5], background[0][0][0]) and torch.equal(
            context[i, 5:], entity[0][0][0]
        )
    assert torch.equal(values["pooled_output"], background[0][1]["pooled_output"].repeat(3, 1))
    assert torch.equal(values["cross_attn_controlnet"], background[0][0])
    assert values["model_conds"]["coupled_background_tokens"].cond == 5
    pooled = values["model_conds"]["coupled_entity_pooled"].cond
    assert torch.equal(pooled, torch.cat([e[0][1]["pooled_output"] for e in entities]))
    assert values["guidance"] == 2.0
    assert couple_conditioning(background, entities, guidance=4.0)[0][1]["guidance"] == 4.0
    assert set(background[0][1]) == {"pooled_output", "guidance"}


def test_a_family_without_pooled_vectors():
    bare = [[[c, {}] for c, _ in tiny_conditioning(n, seed=n)] for n in (5, 7, 7)]
    ((_, values),) = couple_conditioning(bare[0], bare[1:])
    assert "pooled_output" not in values and list(values["model_conds"]) == [
        "coupled_background_tokens"
    ]


def test_schedules_of_hooks_are_coupled_entry_by_entry():
    background, *entities = (
        [*tiny_conditioning(4, seed=s), *tiny_conditioning(4, seed=s + 10)] for s in range(3)
    )
    coupled = couple_conditioning(background, entities)
    assert len(coupled) == 2 and coupled_size(coupled) == 2
    assert torch.equal(coupled[1][0][1, 4:], entities[1][1][0][0])
    with pytest.raises(ValueError, match="different schedules of clip hooks"):
        couple_conditioning(background, [entities[0], entities[1][:1]])


def test_refusals():
    background, entity = tiny_conditioning(5), tiny_conditioning(7)
    with pytest.raises(ValueError, match="at least one entity"):
        couple_conditioning(background, [])
    with pytest.raises(ValueError, match="different text encoders"):
        couple_conditioning(background, [[[torch.zeros(1, 7, 8), {}]]])
    with pytest.raises(ValueError, match="one encoded text"):
        couple_conditioning(tiny_conditioning(5, batch=2), [entity])


def test_size():
    assert coupled_size(tiny_coupled(3)) == 3 and coupled_size(tiny_coupled(1)) == 1
    assert coupled_size(tiny_conditioning(4, batch=2)) is None and coupled_size([]) is None
    with pytest.raises(ValueError, match=r"different sizes: \[2, 3\]"):
        coupled_size(tiny_coupled(3) + tiny_coupled(2))


def test_select_images():
    coupled = tiny_coupled(3)
    reference = torch.rand(3, 16, 8, 12)
    coupled[0][1].update(reference_latents=[reference, reference[:1]], strength=0.5)
    ((context, values),) = select_images(coupled, [2, 0])
    assert torch.equal(context, coupled[0][0][[2, 0]]) and values["strength"] == 0.5
    assert torch.equal(values["pooled_output"], coupled[0][1]["pooled_output"][[2, 0]])
    assert values["cross_attn_controlnet"].shape[0] == 1
    assert torch.equal(values["reference_latents"][0], reference[[2, 0]])
    assert values["reference_latents"][1].shape[0] == 1
    pooled = [
        c[0][1]["model_conds"]["coupled_entity_pooled"].cond for c in (coupled, [[context, values]])
    ]
    assert torch.equal(pooled[1], pooled[0][[2, 0]])
    assert values["model_conds"]["coupled_background_tokens"].cond == 5
    assert coupled_size(coupled) == 3 and coupled[0][0].shape[0] == 3
    with pytest.raises(IndexError, match="has 3 images; there is no image 3"):
        select_images(coupled, [3])


def test_select_images_of_an_ordinary_conditioning():
    """The host gives row i mod m to image i."""
    one, two = tiny_conditioning(4), tiny_conditioning(4, batch=2)
    assert torch.equal(select_images(one, [5, 1])[0][0], one[0][0])
    assert torch.equal(select_images(two, [0, 1, 2, 5])[0][0], two[0][0][[0, 1, 0, 1]])


def test_host_nodes_keep_it_coupled():
    import node_helpers

    coupled = tiny_coupled(3)
    changed = node_helpers.conditioning_set_values(coupled, {"guidance": 9.0, "start_percent": 0.2})
    assert (
        coupled_size(changed) == 3
        and changed[0][1]["guidance"] == 9.0
        and coupled[0][1]["guidance"] == 3.5
    )
