"""Random texts for Prompt-to-Prompt, with the partners of their tokens."""

import comfy.conds
import torch

from coupled.baselines.p2p import PARTNERS, partners_of

from tiny import tiny_conditioning

T = 9  # tokens of a text
# Words by number, 0 is padding: of unequal length, one word and its order changed, and one with
# nothing in common.
SENTENCES = [
    [5, 1, 2, 3, 0, 0, 0, 0, 0],
    [6, 7, 1, 2, 8, 3, 0, 0, 0],
    [11, 12, 13, 14, 15, 16, 17, 18, 19],
]


def tiny_edits(sentences=SENTENCES, same=False):
    """n random texts of T tokens, with the partners of these sentences."""
    texts = [tiny_conditioning(T, seed=0 if same else i) for i in range(len(sentences))]
    values = {
        "pooled_output": torch.cat([v["pooled_output"] for ((_, v),) in texts]),
        "guidance": 3.5,
        "model_conds": {PARTNERS: comfy.conds.CONDRegular(partners_of(sentences))},
    }
    return [[torch.cat([c for ((c, _),) in texts]), values]]
