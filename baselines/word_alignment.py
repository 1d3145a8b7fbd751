"""Pairs the tokens of an edited prompt and the source, by Needleman and Wunsch."""

from collections.abc import Hashable, Sequence

GAP, MATCH, MISMATCH = (
    0,
    1,
    -1,
)  # Prompt-to-Prompt's own; a mismatch never pays, so only equal tokens are aligned


def similarity(a: Hashable, b: Hashable) -> int:
    return MATCH if a == b else MISMATCH


def score_table(source: Sequence[Hashable], target: Sequence[Hashable]) -> list[list[int]]:
    """table[i][j]: the best score of the source's first i tokens against the target's first j."""
    table = [[j * GAP for j in range(len(target) + 1)]]
    for i, a in enumerate(source, 1):
        above, row = table[-1], [i * GAP]
        for j, b in enumerate(target, 1):
            row.append(max(row[-1] + GAP, above[j] + GAP, above[j - 1] + similarity(a, b)))
        table.append(row)
    return table


def align(source: Sequence[Hashable], target: Sequence[Hashable]) -> list[int | None]:
    """For each token of the source the index of its partner in the target, None where it has none.

    No target token is partner of two. Of equal scores a gap is taken first, read from the end, as
    Prompt-to-Prompt's own code does: of two runs of padding the first ones become partners.
    """
    table = score_table(source, target)
    partners: list[int | None] = [None] * len(source)
    i, j = len(source), len(target)
    while i and j:
        if table[i][j] == table[i][j - 1] + GAP:
            j -= 1
        elif table[i][j] == table[i - 1][j] + GAP:
            i -= 1
        else:
            i, j = i - 1, j - 1
            partners[i] = j
    return partners
