"""PSNR, SSIM and LPIPS of the visible background: the usual measures next to the paper's own.

Each is the mean over all pairs of a set. images_NHWC: RGB in [0, 1]; joint_region_HW: bool, what
does not count.
"""

import itertools
import math
from functools import cache
from pathlib import Path

import torch
from torch.nn import functional as F

from .background import check_region, check_set, visible_pairs
from .packages import require

WINDOW = 11  # pixels, SSIM's usual window
# torchvision's name of the weights that LPIPS's AlexNet starts from
TRUNK = "alexnet-owt-7be5be79.pth"


def psnr(images_NHWC: torch.Tensor, joint_region_HW: torch.Tensor) -> float:
    """Peak signal to noise ratio in dB; infinite when two backgrounds are the same, NaN when none
    is visible.
    """
    check_set(images_NHWC)
    region_HW = check_region(images_NHWC, joint_region_HW)
    if region_HW.all():
        return math.nan
    measure = import_kornia().psnr
    return mean(float(measure(a, b, 1.0)) for a, b in visible_pairs(images_NHWC, region_HW))


def ssim(images_NHWC: torch.Tensor, joint_region_HW: torch.Tensor) -> float:
    """Structural similarity, at most 1, over the windows (11 × 11) that lie wholly in the visible
    background.

    NaN when no window does.
    """
    check_set(images_NHWC)
    near_HW = dilate(check_region(images_NHWC, joint_region_HW), WINDOW // 2)
    if near_HW.all() or min(near_HW.shape) < WINDOW:
        return math.nan
    measure = import_kornia().ssim
    return mean(
        float(measure(a, b, WINDOW)[..., ~near_HW].mean()) for a, b in pairs_1CHW(images_NHWC)
    )


def lpips(images_NHWC: torch.Tensor, joint_region_HW: torch.Tensor) -> float | None:
    """Learned perceptual distance (AlexNet), 0 for alike backgrounds. None without the package or
    its weights.

    Nothing is downloaded: the weights count as present when torch's hub folder has them (see
    `lpips_trunk`). The joint region shows the mean of the two images in both, so that it adds no
    difference; its pixels are not averaged.
    """
    check_set(images_NHWC)
    region_HW, trunk = check_region(images_NHWC, joint_region_HW), lpips_trunk()
    if trunk is None:
        return None
    if region_HW.all():
        return math.nan
    measure = lpips_model(trunk).to(images_NHWC.device)
    return mean(
        float(measure(*fill_region_alike(a, b, region_HW), normalize=True)[..., ~region_HW].mean())
        for a, b in pairs_1CHW(images_NHWC)
    )


def mean(numbers) -> float:
    numbers = list(numbers)
    return sum(numbers) / len(numbers)


def pairs_1CHW(images_NHWC: torch.Tensor):
    """All pairs of images, each [1, C, H, W]."""
    return itertools.combinations(images_NHWC.movedim(-1, 1).float().split(1), 2)


def dilate(region_HW: torch.Tensor, pixels: int) -> torch.Tensor:
    """The region and all that is within `pixels` of it, along rows and columns."""
    return F.max_pool2d(region_HW[None, None].float(), 2 * pixels + 1, 1, pixels)[0, 0] > 0


def fill_region_alike(
    a: torch.Tensor, b: torch.Tensor, region_HW: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Two images [1, C, H, W] that show their mean inside the region and themselves outside."""
    middle = (a + b) / 2
    return torch.where(region_HW, middle, a), torch.where(region_HW, middle, b)


def import_kornia():
    """kornia.metrics, of a package that the host itself requires."""
    return require("kornia.metrics", "kornia", needed_by="Background Similarity")


def lpips_trunk() -> Path | None:
    """Torchvision's AlexNet weights in torch's hub folder, where torchvision keeps them; None when
    they are not there or the package lpips is not installed."""
    from importlib.util import find_spec

    path = Path(torch.hub.get_dir()) / "checkpoints" / TRUNK
    return path if path.is_file() and find_spec("lpips") else None


@cache
def lpips_model(trunk: Path) -> torch.nn.Module:
    """The distance as a map over the picture: AlexNet from `trunk`, the linear heads from the
    package itself.
    """
    import lpips as package

    model = package.LPIPS(net="alex", spatial=True, pnet_rand=True, verbose=False)
    layers = {
        name.removeprefix("features."): weight
        for name, weight in torch.load(trunk, map_location="cpu", weights_only=True).items()
    }
    with torch.no_grad():
        for part in model.net.children():
            for number, layer in part.named_children():
                for name, parameter in layer.named_parameters():
                    parameter.copy_(layers[f"{number}.{name}"])
    return model.eval().requires_grad_(False)
