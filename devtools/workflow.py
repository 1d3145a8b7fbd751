"""From a workflow as ComfyUI's page saves it to the prompt that its API takes, so that each
workflow is kept once.
"""

from __future__ import annotations

from collections.abc import Iterator

from .subgraphs import unpack

VALUE_TYPES = {
    "INT",
    "FLOAT",
    "STRING",
    "BOOLEAN",
    "COMBO",
    "COLOR",
    "CURVE",
    "COMFY_DYNAMICCOMBO_V3",
}
VIEWS = {"IMAGECOMPARE": {"__value__": ["", ""]}}  # widgets that only show; the page sends this
AFTER_GENERATE = {"fixed", "increment", "decrement", "randomize"}
NOTES = {"Note", "MarkdownNote"}
MUTED, BYPASSED = 2, 4


def to_prompt(workflow: dict, object_info: dict) -> dict:
    """The API form of a saved workflow: {node id: {"class_type", "inputs", "_meta"}}; of subgraphs
    their nodes.

    `object_info` is the server's own answer; it gives the order of the widgets, in which the page
    saves their values. ValueError for a node type the server lacks, a bypassed node, and
    values that do not fit the inputs.
    """
    workflow = unpack(workflow)
    sources = {x["id"]: [str(x["origin_id"]), x["origin_slot"]] for x in workflow["links"]}
    prompt = {}
    for node in workflow["nodes"]:
        if node["type"] in NOTES or node.get("mode") == MUTED:
            continue
        where = f"node {node['id']} ({node['type']})"
        if node["type"] not in object_info:
            raise ValueError(f"{where}: the server knows no such node; is its pack loaded?")
        if node.get("mode") == BYPASSED:
            raise ValueError(
                f"{where} is bypassed, which the API cannot express; remove it or enable it."
            )
        info = object_info[node["type"]]
        inputs = _values(node, info, where) | node.get("given", {}) | _links(node, sources)
        title = node.get("title") or info.get("display_name") or node["type"]
        prompt[str(node["id"])] = {
            "class_type": node["type"],
            "inputs": inputs,
            "_meta": {"title": title},
        }
    return _without_dead_links(prompt)


def _links(node: dict, sources: dict) -> dict:
    return {
        i["name"]: sources[i["link"]] for i in node.get("inputs", []) if i.get("link") is not None
    }


def _without_dead_links(prompt: dict) -> dict:
    """Inputs fed by a node that is not in the prompt (a muted one) are left out, as the page
    does.
    """
    for node in prompt.values():
        node["inputs"] = {
            name: value
            for name, value in node["inputs"].items()
            if not _is_link(value) or value[0] in prompt
        }
    return prompt


def _is_link(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int)
    )


def _values(node: dict, info: dict, where: str) -> dict:
    """The widgets' values by name.

    The page saves them as a list in the widgets' order (or, rarely, by name).
    """
    saved = node.get("widgets_values") or []
    if isinstance(saved, dict):
        return dict(saved)
    values, rest = {}, iter(saved)
    sockets = {i["name"]: "widget" in i for i in node.get("inputs", [])}
    for name, spec in _inputs(info["input"], info.get("input_order")):
        _take(name, spec, sockets, rest, values, where)
    return values


def _inputs(declared: dict, order: dict | None = None) -> Iterator[tuple[str, list]]:
    """(name, spec) of the required and then the optional inputs, in the order of their
    declaration.
    """
    for group in ("required", "optional"):
        specs = declared.get(group) or {}
        yield from ((name, specs[name]) for name in (order or {}).get(group, specs))


def _take(name: str, spec: list, sockets: dict, rest: Iterator, values: dict, where: str) -> None:
    """Moves the value of one input (and of those a dynamic combo brings with it) from `rest` to
    `values`.
    """
    kind, options = spec[0], (spec[1] if len(spec) > 1 else {})
    if isinstance(kind, str) and kind in VIEWS:
        values[name] = VIEWS[kind]
        return
    if not sockets.get(name, _has_widget(kind, options)):
        return
    try:
        values[name] = next(rest)
    except StopIteration:
        raise ValueError(
            f"{where}: no value is saved for its input {name!r}; save the workflow again."
        ) from None
    if options.get("control_after_generate") or (kind == "INT" and name in ("seed", "noise_seed")):
        _skip_control(rest, values[name], where)
    if kind == "COMFY_DYNAMICCOMBO_V3":
        chosen = [option for option in options["options"] if option["key"] == values[name]]
        if not chosen:
            raise ValueError(f"{where}: {values[name]!r} is not a choice of its input {name!r}.")
        for inner, inner_spec in _inputs(chosen[0]["inputs"]):
            _take(f"{name}.{inner}", inner_spec, sockets, rest, values, where)


def _has_widget(kind: str | list, options: dict) -> bool:
    return (isinstance(kind, list) or kind in VALUE_TYPES) and not options.get("forceInput")


def _skip_control(rest: Iterator, seed: object, where: str) -> None:
    control = next(rest, None)
    if control not in AFTER_GENERATE:
        raise ValueError(
            f"{where}: after the seed {seed} stands {control!r}, not one of"
            f" {sorted(AFTER_GENERATE)}."
        )
