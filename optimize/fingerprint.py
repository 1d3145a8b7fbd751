"""Tells models apart by their weights and LoRAs."""

import hashlib

import torch


def fingerprint(model) -> str:
    """A few letters that change with a model's weights and LoRAs; a small part of the weights is
    looked at.
    """
    weights = model.model.diffusion_model.state_dict()
    names = sorted(weights)
    found = hashlib.sha256(repr([(name, tuple(weights[name].shape)) for name in names]).encode())
    for name in names[:: max(1, len(names) // 16)]:
        found.update(repr(weights[name].flatten()[:16].float().tolist()).encode())
    for name in sorted(map(str, model.patches)):
        found.update(
            f"{name} {[list_numbers(patch[:2]) for patch in model.patches.get(name, [])]}".encode()
        )
    return found.hexdigest()[:12]


def list_numbers(patch) -> object:
    """What tells a patch (a strength, tensors, or an adapter of the host that holds them) from
    others, for its repr.
    """
    if torch.is_tensor(patch):
        return patch.flatten()[:: max(1, patch.numel() // 16)].float().tolist()
    if isinstance(patch, tuple | list):
        return [list_numbers(part) for part in patch]
    if hasattr(patch, "weights"):
        return list_numbers(patch.weights)
    return patch if isinstance(patch, int | float | str) else None
