"""Some images of a set: its conditioning cut to their rows."""

from collections.abc import Sequence

import torch

from .conditioning import Conditioning, coupled_size


def select_images(conditioning: Conditioning, indices: Sequence[int]) -> Conditioning:
    """The conditioning of some images of a set, in the given order; the given one is left as it is.

    Whatever has one row per image is cut to those rows, reference latents and ControlNet hints
    included. An ordinary conditioning keeps its meaning as well: the host would give its row i mod
    m to image i. IndexError outside the set.
    """
    n = coupled_size(conditioning)
    outside = [i for i in indices if n is not None and not 0 <= i < n]
    if outside:
        raise IndexError(f"The coupled set has {n} images; there is no image {outside[0]}.")
    return [
        [select_rows(context, indices), select_rows(values, indices)]
        for context, values in conditioning
    ]


def select_rows(value, indices: Sequence[int]):
    """The rows of some images, of anything in a conditioning; what has no row per image stays."""
    from comfy.conds import CONDConstant, CONDList, CONDRegular
    from comfy.controlnet import ControlBase

    if torch.is_tensor(value):
        per_image = value.ndim > 0 and value.shape[0] > 1
        return value[[i % value.shape[0] for i in indices]] if per_image else value
    if isinstance(value, dict):
        return {k: select_rows(v, indices) for k, v in value.items()}
    if isinstance(value, list):
        return [select_rows(v, indices) for v in value]
    if isinstance(value, CONDRegular | CONDList) and not isinstance(value, CONDConstant):
        return value._copy_with(select_rows(value.cond, indices))
    if isinstance(value, ControlBase):
        return select_control_rows(value, indices)
    return value


def select_control_rows(control, indices: Sequence[int]):
    """A ControlNet with the hints and masks of some images; itself where one hint serves all."""
    previous = control.previous_controlnet
    previous = previous and select_control_rows(previous, indices)
    hint = control.cond_hint_original
    if previous is control.previous_controlnet and (hint is None or hint.shape[0] == 1):
        return control
    copy = control.copy()
    if hint is not None and hint.shape[0] > 1:
        copy.cond_hint_original = select_rows(hint, indices)
        # The host repeats or cuts what it concatenates to the hints, before the hints to the batch.
        repeated = [i % len(hint) for i in indices]
        copy.extra_concat_orig = select_rows(copy.extra_concat_orig, repeated)
    return copy.set_previous_controlnet(previous)
