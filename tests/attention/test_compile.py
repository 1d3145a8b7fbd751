"""torch.compile on the patched model, as the host's own wrapper sets it. Backend `eager`: all of
torch's tracing and guarding, without the minutes that generating code takes."""

import comfy_extras.nodes_torch_compile as host_node
import pytest
import torch
from comfy.ldm.modules.attention import attention_pytorch
from comfy_api.torch_helpers import set_torch_compile_wrapper

from coupled.attention import couple_conditioning
from coupled.attention.override import OVERRIDE
from coupled.sampling import couple
from coupled.schedules import constant, sin

from compare import relative_error
from tiny import tiny_conditioning, tiny_coupled, tiny_flux, tiny_sample

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture(scope="module")
def model():
    return tiny_flux(depth=1, depth_single_blocks=1)


def compiled(model, guards):
    """As the host's Torch Compile node does it: "node" leaves transformer_options out of the
    guards, "all" does not.
    """
    model = model.clone()
    options = {"guard_filter_fn": host_node.skip_torch_compile_dict} if guards == "node" else None
    set_torch_compile_wrapper(model=model, backend="eager", options=options)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("guards", ["node", "all"])
@pytest.mark.parametrize("first", ["compile", "couple"])
def test_compiled_model_keeps_theta_apart(model, guards, first):
    """Several thetas, and stock calls between them, on code that is compiled once and taken
    again.
    """
    conditioning = tiny_coupled(2, 5, 7)
    schedules = (
        [constant(0.3), constant(0.8)]
        if guards == "all"
        else [constant(0.3), sin(1.5, 0.8, 4), constant(1.0)]
    )
    for schedule in schedules:
        if first == "compile":
            patched = couple(compiled(model, guards), schedule)
        else:
            patched = compiled(couple(model, schedule), guards)
        ours = tiny_sample(patched, conditioning, batch=2, steps=2)
        assert (
            relative_error(
                ours, tiny_sample(couple(model, schedule), conditioning, batch=2, steps=2)
            )
            <= 1e-5
        )


@pytest.mark.slow
def test_compiled_model_hides_the_padding_of_shorter_entities(model):
    texts = [tiny_conditioning(tokens, seed=tokens) for tokens in (5, 7, 4)]
    conditioning = couple_conditioning(texts[0], texts[1:])
    patched = couple(model, constant(0.4))
    ours = tiny_sample(compiled(patched, "all"), conditioning, batch=2, steps=2)
    assert relative_error(ours, tiny_sample(patched, conditioning, batch=2, steps=2)) <= 1e-5


@pytest.mark.slow
def test_uncoupled_calls_stay_compiled_beside_coupled_ones(model):
    """cfg with a negative of the coupled text's length, the case in which the two calls look most
    alike.
    """
    from torch._dynamo.utils import counters

    conditioning, negative = tiny_coupled(2, 5, 7), tiny_conditioning(12, seed=50)
    settings = {"negative": negative, "cfg": 2.0, "batch": 2}
    patched = compiled(couple(model, sin(1.5, 0.8, 4)), "node")
    counters.clear()
    tiny_sample(patched, conditioning, batch=2)
    assert not counters["stats"]
    ours = tiny_sample(patched, conditioning, **settings)
    assert counters["stats"]["unique_graphs"] > 0
    assert (
        relative_error(ours, tiny_sample(couple(model, sin(1.5, 0.8, 4)), conditioning, **settings))
        <= 1e-5
    )
    bypassed = compiled(model, "node")
    assert (
        relative_error(
            tiny_sample(bypassed, conditioning, batch=2), tiny_sample(model, conditioning, batch=2)
        )
        <= 1e-5
    )
    again = tiny_sample(patched, conditioning, **settings)
    assert torch.equal(again, ours)


class Graphs:
    """A backend that runs what it is given as it is, and keeps it."""

    def __init__(self):
        self.made = []

    def __call__(self, graph, inputs):
        self.made.append(graph)
        return graph.forward

    def attending(self) -> list[int]:
        """The number of attentions in each graph that has any."""
        counts = [
            sum("scaled_dot_product" in str(node.target) for node in graph.graph.nodes)
            for graph in self.made
        ]
        return [n for n in counts if n]


CASES = [("ours", "exact"), ("ours", "local"), ("torch", "paper"), ("torch", "local")]


def on_torch_attention(model):
    """The model with torch's own attention, the host's choice on a GPU, as another pack's override.

    The host's choice on a CPU asks for the free memory, which breaks the graph in the stock model's
    blocks too.
    """
    model = model.clone()
    model.model_options["transformer_options"][OVERRIDE] = lambda func, *args, **kwargs: (
        attention_pytorch(*args, **kwargs)
    )
    return model


@pytest.mark.slow
@pytest.mark.parametrize("attention, mode", CASES)
def test_all_blocks_of_a_coupled_call_are_one_graph_for_every_theta(attention, mode):
    """A theta that rises with each step, then other schedules: code compiled in the first run
    serves all of them. Mode local has two kinds of calls: those that look for the subjects, and
    others.
    """
    kinds = 2 if mode == "local" else 1
    regions = torch.zeros(1, 4, 6)
    regions[:, :2, :2] = 1
    settings = {"regions": regions} if mode == "local" else {}
    model, conditioning, graphs, made = tiny_flux(), tiny_coupled(2, 5, 7), Graphs(), []
    model = on_torch_attention(model) if attention == "torch" else model
    for schedule in (sin(1.5, 0.8, 4), sin(2.0, 0.4, 4), constant(0.3)):
        patched = couple(model, schedule, mode, **settings)
        expected = tiny_sample(patched, conditioning, batch=2)
        set_torch_compile_wrapper(model=patched, backend=graphs)
        ours = tiny_sample(
            patched, conditioning, batch=2, callback=lambda *_: made.append(len(graphs.made))
        )
        assert relative_error(ours, expected) <= 1e-5
    assert len(graphs.attending()) == kinds, "a graph break would part the attentions of blocks"
    after_first_run = made[3]
    assert made[0] > 0 and set(made[3:]) == {after_first_run}
