"""The rows of a call in which images take the plate's keys and values outside their regions: whole
(`Injection`), or only the tokens of the regions (`Strips`). Tensors alone.

Legend: n images, N = n + 1 rows of a set with the plate as its last; Z sets in one call; S image
tokens, T text tokens; K tokens of an image in a strip, one number for all rows; r = ⌈S/K⌉ rows that
hold the plate; X any further axes.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import torch
from torch.nn import functional as F

from .equations import QKV

Part = tuple[QKV, torch.Tensor | None]  # some rows to attend together, and their theta


@dataclasses.dataclass(frozen=True, eq=False)
class Injection:
    """Whole rows. region_nS: the tokens of each image that are its own, bool. others: the same
    where an attention has another number of tokens S, by that.
    """

    region_nS: torch.Tensor
    others: Mapping[int, torch.Tensor] = dataclasses.field(default_factory=dict)

    def part(self, qkv: QKV, theta_B11: torch.Tensor | None, text: int) -> list[Part]:
        """The same rows, the plate's keys and values outside the regions."""
        k, v = (self.inject(t, text) for t in (qkv.k, qkv.v))
        return [(QKV(qkv.q, k, v, qkv.mask, qkv.padding), theta_B11)]

    def inject(self, t_BHLD: torch.Tensor, text: int) -> torch.Tensor:
        L = t_BHLD.shape[2]
        region_nS = self.others.get(L - text, self.region_nS)
        n, S = region_nS.shape
        # The text is a row's own, and so are the tokens of its reference images, which come last.
        own_NL = F.pad(region_nS, (text, L - text - S, 0, 1), value=True)
        t_ZNHLD = t_BHLD.unflatten(0, (-1, n + 1))
        return torch.where(own_NL[None, :, None, :, None], t_ZNHLD, t_ZNHLD[:, -1:]).flatten(0, 1)

    def join(self, outs: Sequence[torch.Tensor], text: int) -> torch.Tensor:
        return outs[0]


@dataclasses.dataclass(frozen=True, eq=False)
class Strips:
    """Rows of K image tokens: of each set the n images' regions, then the plate cut into r rows.

    places_nK: where an image's tokens stand in the picture; S where a row is filled up. What fills
    a row counts nowhere, so that an image does not hang on the size of the others.
    """

    places_nK: torch.Tensor
    tokens: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """n, K, r."""
        n, K = self.places_nK.shape
        return n, K, -(-self.tokens // K)

    def rows(self, B: int) -> torch.Tensor:
        """Of B whole rows, the one that each strip is of, [Z·(n + r)]."""
        n, _, r = self.shape
        rows = torch.arange(B, device=self.places_nK.device).view(-1, n + 1)
        return torch.cat((rows[:, :n], rows[:, n:].expand(-1, r)), 1).flatten()

    def gather(self, t_BSX: torch.Tensor) -> torch.Tensor:
        """Whole rows as strips, [Z·(n + r), K, X]."""
        n, _, _ = self.shape
        t_ZNSX = t_BSX.unflatten(0, (-1, n + 1))
        images = torch.arange(n, device=t_BSX.device)[:, None]
        own_ZnKX = t_ZNSX[:, images, self.places_nK.clamp(max=self.tokens - 1)]
        return torch.cat((own_ZnKX, self.cut(t_ZNSX[:, n])), 1).flatten(0, 1)

    def spread(self, t_BKX: torch.Tensor) -> torch.Tensor:
        """Strips as whole rows [Z·N, S, X]; outside its region an image is the plate."""
        n, _, _ = self.shape
        t_ZRKX = self.by_set(t_BKX)
        plate_ZSX = self.sew(t_ZRKX[:, n:])
        images_ZnSX = self.lay_over(plate_ZSX, t_ZRKX[:, :n])
        return torch.cat((images_ZnSX, plate_ZSX[:, None]), 1).flatten(0, 1)

    def cut(self, plate_ZSX: torch.Tensor) -> torch.Tensor:
        """The plate's tokens as r rows [Z, r, K, X]."""
        _, K, r = self.shape
        filler = plate_ZSX[:, :1].expand(-1, r * K - self.tokens, *plate_ZSX.shape[2:])
        return torch.cat((plate_ZSX, filler), 1).unflatten(1, (r, K))

    def sew(self, plate_ZrKX: torch.Tensor) -> torch.Tensor:
        """r rows as the plate's tokens [Z, S, X]."""
        return plate_ZrKX.flatten(1, 2)[:, : self.tokens]

    def lay_over(
        self, plate_ZSX: torch.Tensor, own_ZnKX: torch.Tensor, text_ZnTX: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Each image's text, if given, and all image tokens: its own in its region, else the
        plate's; [Z, n, T + S, X].
        """
        Z, n = own_ZnKX.shape[:2]
        T = 0 if text_ZnTX is None else text_ZnTX.shape[2]
        L = T + self.tokens + 1  # the last takes what fills up
        out = plate_ZSX.new_empty(Z, n, L, *plate_ZSX.shape[2:])
        if text_ZnTX is not None:
            out[:, :, :T] = text_ZnTX
        out[:, :, T:-1] = plate_ZSX[:, None]
        starts = torch.arange(0, Z * n * L, L, device=out.device).view(Z, n, 1)
        places = (starts + T + self.places_nK).flatten()
        out.view(-1, *out.shape[3:]).index_copy_(0, places, own_ZnKX.flatten(0, 2))
        return out[:, :, :-1]

    def part(self, qkv: QKV, theta_B11: torch.Tensor | None, text: int) -> list[Part]:
        """The images' rows, which see the plate outside their regions; and the plate as one row."""
        n, _, _ = self.shape
        q_ZRLHD, k_ZRLHD, v_ZRLHD = (self.by_set(t.transpose(1, 2)) for t in (qkv.q, qkv.k, qkv.v))
        plate_q, plate_k, plate_v = (self.whole_plate(t, text) for t in (q_ZRLHD, k_ZRLHD, v_ZRLHD))
        images_k, images_v = (
            self.lay_over(plate[:, text:], own[:, :n, text:], own[:, :n, :text]).flatten(0, 1)
            for plate, own in ((plate_k, k_ZRLHD), (plate_v, v_ZRLHD))
        )
        images_q = q_ZRLHD[:, :n].flatten(0, 1)
        return [
            (
                QKV(*(t.transpose(1, 2) for t in tensors), None, rows_of(self, qkv.padding)),
                rows_of(self, theta_B11),
            )
            for tensors, rows_of in (
                ((images_q, images_k, images_v), Strips.of_images),
                ((plate_q, plate_k, plate_v), Strips.of_plate),
            )
        ]

    def by_set(self, t_BX: torch.Tensor) -> torch.Tensor:
        """[Z, n + r, X]."""
        n, _, r = self.shape
        return t_BX.unflatten(0, (-1, n + r))

    def whole_plate(self, t_ZRLX: torch.Tensor, text: int) -> torch.Tensor:
        """The plate's text, which all of its rows have, and its tokens: [Z, T + S, X]."""
        n, _, _ = self.shape
        return torch.cat((t_ZRLX[:, n, :text], self.sew(t_ZRLX[:, n:, text:])), 1)

    def of_images(self, t_BX: torch.Tensor | None) -> torch.Tensor | None:
        n, _, _ = self.shape
        return None if t_BX is None else self.by_set(t_BX)[:, :n].flatten(0, 1)

    def of_plate(self, t_BX: torch.Tensor | None) -> torch.Tensor | None:
        n, _, _ = self.shape
        return None if t_BX is None else self.by_set(t_BX)[:, n]

    def join(self, outs: Sequence[torch.Tensor], text: int) -> torch.Tensor:
        """The results of both parts as strips again, [Z·(n + r), T + K, E]."""
        n, _, r = self.shape
        images_BLE, plate_ZLE = outs
        text_ZrTE = plate_ZLE[:, None, :text].expand(-1, r, -1, -1)
        plate_ZrLE = torch.cat((text_ZrTE, self.cut(plate_ZLE[:, text:])), 2)
        return torch.cat((images_BLE.unflatten(0, (-1, n)), plate_ZrLE), 1).flatten(0, 1)


Layout = Injection | Strips


def make_injection(region_nhw: torch.Tensor, grids: Sequence[tuple[int, int]] = ()) -> Injection:
    """grids: rows and columns of tokens of the attentions that differ. There a token is an image's
    own if any part of it is.
    """
    others = {
        h * w: F.adaptive_max_pool2d(region_nhw[:, None].float(), (h, w)).flatten(1) > 0
        for h, w in grids
    }
    return Injection(region_nhw.flatten(1), others)


def make_strips(region_nS: torch.Tensor, width: int) -> Strips:
    """Strips of `width` tokens; no region is larger."""
    S = region_nS.shape[1]
    # A stable order: a region's tokens first, as they stand in the picture.
    order_nS = (~region_nS).to(torch.uint8).argsort(dim=1, stable=True)
    own_nK = torch.arange(width, device=region_nS.device) < region_nS.sum(1, keepdim=True)
    return Strips(torch.where(own_nK, order_nS[:, :width], S), S)


def choose_width(least: int, n: int, text: int, tokens: int) -> int:
    """K, at least `least`, at which n images and the plate take the fewest tokens: a little wider
    may save the plate a row.
    """
    most_rows = -(-tokens // max(1, least))
    widths = {max(1, least, math.ceil(tokens / r)) for r in range(1, most_rows + 1)}
    return min(widths, key=lambda K: (cost_of_strips(K, n, text, tokens), K))


def cost_of_strips(width: int, n: int, text: int, tokens: int) -> int:
    """Tokens, of text and image, in a call of strips."""
    return (n + -(-tokens // width)) * (text + width)
