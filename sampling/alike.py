"""Whether the images of a set begin from the same, and how alike they end."""

import torch

from ..attention.conditioning import BACKGROUND_TOKENS, OF_ENTITIES, is_coupled_cond

NEAR = 0.1  # of the latents' spread: from here on a difference shows


def share_alike(samples_NCHW: torch.Tensor) -> float:
    """The share of the latent pixels, 0 to 1, in which all images are nearly the same: over the
    channels, the root mean square difference from the images' mean is below NEAR of the standard
    deviation of all.

    It needs no masks, and so counts the subjects' pixels too.
    """
    off_NHW = (samples_NCHW - samples_NCHW.mean(0)).square().mean(1).sqrt()
    return float((off_NHW.amax(0) < NEAR * samples_NCHW.std()).float().mean())


def alike(value) -> bool:
    """Whether all rows of a tensor, or of all that stands in a conditioning, are the same."""
    from comfy.conds import CONDList, CONDRegular
    from comfy.controlnet import ControlBase

    if torch.is_tensor(value):
        return value.ndim == 0 or bool((value == value[:1]).all())
    if isinstance(value, dict):
        return all(map(alike, value.values()))
    if isinstance(value, list | tuple):
        return all(map(alike, value))
    if isinstance(value, CONDRegular | CONDList):
        return alike(value.cond)
    if isinstance(value, ControlBase):
        shown = [value.cond_hint_original, value.extra_concat_orig, value.previous_controlnet]
        return all(map(alike, shown))
    return True


def alike_for_plate(conditioning: list) -> bool:
    """Whether every image of a set would give the same background plate: of a coupled entry it
    takes the background's text alone.
    """
    return all(map(alike, map(of_plate, conditioning)))


def of_plate(entry: list) -> list:
    """An entry of a conditioning without what only the images take."""
    if not is_coupled_cond(entry[1]):
        return entry
    context, values = entry
    conds = values["model_conds"]
    kept = {k: v for k, v in conds.items() if k not in OF_ENTITIES}
    values = {k: v for k, v in values.items() if k not in OF_ENTITIES}
    return [context[:, : conds[BACKGROUND_TOKENS].cond], {**values, "model_conds": kept}]
