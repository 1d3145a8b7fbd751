"""What shared workflows rely on: no id, input, output, type, order or default changes; there is
only more.
"""

import copy
import json

import pytest

from paths import DATA

KEPT = DATA / "schemas.json"
RENEW = "python3 dev.py test tests/nodes/test_schema_frozen.py --renew"
SHAPE = (
    "default",
    "forceInput",
    "socketless",
    "control_after_generate",
)  # each of them moves the saved values
FOR_EVER = ("name", "type", *SHAPE)
HOST_LISTS = ("sampler_name", "scheduler")


@pytest.fixture(scope="module")
def now(host_server) -> dict:
    """{node id: {"inputs", "outputs"}} of this pack's nodes, as the running host has them."""
    info = host_server.client.object_info()
    return {
        name: schema_of(node) for name, node in sorted(info.items()) if name.startswith("Coupled")
    }


def schema_of(node: dict) -> dict:
    outputs = [list(output) for output in zip(node["output_name"], node["output"], strict=True)]
    return {"inputs": inputs_of(node["input"]), "outputs": outputs}


def inputs_of(declared: dict) -> list[dict]:
    """The inputs in the order in which a workflow saves their values: the required ones first."""
    return [
        input_of(name, spec, group == "optional")
        for group in ("required", "optional")
        for name, spec in (declared.get(group) or {}).items()
    ]


def input_of(name: str, spec: list, optional: bool) -> dict:
    kind, options = spec[0], spec[1] if len(spec) > 1 else {}
    found = {"name": name, "type": kind, "optional": optional}
    found |= {key: options[key] for key in (*SHAPE, "min", "max") if options.get(key) is not None}
    choices = options.get("options") or []
    if kind == "COMFY_DYNAMICCOMBO_V3":
        found["choices"] = {choice["key"]: inputs_of(choice["inputs"]) for choice in choices}
    elif (
        kind == "COMBO" and "default" in options and name not in HOST_LISTS
    ):  # without a default: the user's files
        found["choices"] = choices
    return found


def breaches(kept: dict, now: dict) -> list[str]:
    """What a saved workflow of the kept schemas would trip over, one line each.

    New nodes are no breach.
    """
    gone = [f"{name} is gone" for name in kept if name not in now]
    return gone + [
        line for name in kept if name in now for line in node_breaches(name, kept[name], now[name])
    ]


def node_breaches(name: str, kept: dict, now: dict) -> list[str]:
    found = input_breaches(name, kept["inputs"], now["inputs"], may_grow=True)
    if now["outputs"][: len(kept["outputs"])] != kept["outputs"]:
        found.append(f"{name}: outputs {kept['outputs']} became {now['outputs']}")
    return found


def input_breaches(where: str, kept: list[dict], now: list[dict], may_grow: bool) -> list[str]:
    """New inputs must be optional and stand last; inside a choice any would move the values that
    follow.
    """
    names = [[one["name"] for one in inputs] for inputs in (kept, now)]
    if names[1][: len(kept)] != names[0]:
        return [f"{where}: inputs {names[0]} became {names[1]}"]
    found = [
        f"{where}: the new input {one['name']} must be optional, and not inside a choice"
        for one in now[len(kept) :]
        if not (may_grow and one["optional"])
    ]
    for old, new in zip(kept, now, strict=False):
        found += change(f"{where}.{old['name']}", old, new)
    return found


def change(where: str, old: dict, new: dict) -> list[str]:
    """How one input takes less than it did, or means something else."""
    found = [
        f"{where}: {key} {old.get(key)!r} became {new.get(key)!r}"
        for key in FOR_EVER
        if old.get(key) != new.get(key)
    ]
    if new["optional"] < old["optional"]:
        found.append(f"{where} is required now")
    if new.get("min", float("-inf")) > old.get("min", float("-inf")):
        found.append(f"{where}: min rose to {new['min']}")
    if new.get("max", float("inf")) < old.get("max", float("inf")):
        found.append(f"{where}: max fell to {new['max']}")
    before, after = old.get("choices", []), new.get("choices", [])
    found += [f"{where}: the choice {choice!r} is gone" for choice in before if choice not in after]
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before.keys() & after.keys():
            found += input_breaches(f"{where}={key}", before[key], after[key], may_grow=False)
    return found


def test_shared_workflows_still_open_and_mean_the_same(now, renew):
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    broken = breaches(kept, now)
    assert not broken, (
        "Workflows that people have shared would break. Node ids and what they take are for ever."
    )
    if renew:
        KEPT.write_text(json.dumps(now, indent=1, ensure_ascii=False) + "\n")
    assert renew or now == kept, (
        f"There is only more than before, which is fine. Keep it from now on: {RENEW}"
    )


def rename(inputs: list[dict]) -> None:
    inputs[0]["name"] = "image"


CHANGES = {
    "CoupledPair is gone": lambda s: s.pop("CoupledPair"),
    "CoupledPair: inputs": lambda s: rename(s["CoupledPair"]["inputs"]),
    "CoupledSampler: inputs": lambda s: s["CoupledSampler"]["inputs"].reverse(),
    "CoupledPair: outputs": lambda s: s["CoupledPair"]["outputs"].reverse(),
    "CoupledNoise: outputs": lambda s: s["CoupledNoise"]["outputs"].clear(),
    "type 'MASK' became 'IMAGE'": (
        lambda s: s["CoupledBackgroundSimilarity"]["inputs"][1].update(type="IMAGE")
    ),
    "default 0 became 1": lambda s: s["CoupledPair"]["inputs"][1].update(default=1),
    "control_after_generate True became None": (
        lambda s: s["CoupledNoise"]["inputs"][0].pop("control_after_generate")
    ),
    "forceInput True became None": lambda s: s["CoupledScore"]["inputs"][0].pop("forceInput"),
    "prompts is required now": (
        lambda s: s["CoupledTextEncode"]["inputs"][5].update(optional=False)
    ),
    "steps: min rose": lambda s: s["CoupledThetaPlot"]["inputs"][1].update(min=2),
    "steps: max fell": lambda s: s["CoupledThetaPlot"]["inputs"][1].update(max=50),
    "'paper' is gone": lambda s: s["CoupledModelPatch"]["inputs"][2]["choices"].remove("paper"),
    "'arctan' is gone": lambda s: s["CoupledThetaSchedule"]["inputs"][0]["choices"].pop("arctan"),
    "shape=sin: inputs": (
        lambda s: s["CoupledThetaSchedule"]["inputs"][0]["choices"]["sin"].reverse()
    ),
    "shape=sin.k: default": (
        lambda s: s["CoupledThetaSchedule"]["inputs"][0]["choices"]["sin"][1].update(default=1.0)
    ),
    "new input x must be optional": (
        lambda s: s["CoupledPair"]["inputs"].append({"name": "x", "type": "INT", "optional": False})
    ),
    "new input y must be optional, and not inside": (
        lambda s: s["CoupledThetaSchedule"]["inputs"][0]["choices"]["sin"].append(
            {"name": "y", "type": "INT", "optional": True}
        )
    ),
}
ADDITIONS = {
    "a node": lambda s: s.update(CoupledNew=s["CoupledPair"]),
    "an optional input": (
        lambda s: s["CoupledPair"]["inputs"].append({"name": "x", "type": "INT", "optional": True})
    ),
    "an output": lambda s: s["CoupledPair"]["outputs"].append(["middle", "IMAGE"]),
    "a choice": lambda s: s["CoupledModelPatch"]["inputs"][2]["choices"].append("third"),
    "a shape": lambda s: s["CoupledThetaSchedule"]["inputs"][0]["choices"].update(new=[]),
    "a wider range": lambda s: s["CoupledThetaPlot"]["inputs"][1].update(min=0, max=99999),
}


@pytest.mark.parametrize("words", CHANGES)
def test_a_change_is_found(words):
    kept = json.loads(KEPT.read_text())
    now = copy.deepcopy(kept)
    CHANGES[words](now)
    assert any(words in line for line in breaches(kept, now)), breaches(kept, now)


@pytest.mark.parametrize("addition", ADDITIONS)
def test_an_addition_passes(addition):
    kept = json.loads(KEPT.read_text())
    now = copy.deepcopy(kept)
    ADDITIONS[addition](now)
    assert now != kept and breaches(kept, now) == []
