"""Renders the training scenes of the mini world once, into memory-mapped arrays."""

from multiprocessing import Pool
from pathlib import Path

import numpy as np

from .world import PLACES, SIZE, SUBJECTS, draw_scene, held_out

EMPTY_SHARE = 0.22  # scenes without a subject, for the background texts
NONE = -1


class SceneArrays:
    """images_NHWC uint8, masks_NHW uint8, subject_N and place_N (indexes; subject -1: none) in a
    folder.
    """

    def __init__(self, folder: Path, count: int | None = None):
        mode = "r" if count is None else "w+"
        shape = None if count is None else (count,)
        self.images_NHWC = _array(
            folder / "images.npy", mode, shape and (*shape, SIZE, SIZE, 3), np.uint8
        )
        self.masks_NHW = _array(
            folder / "masks.npy", mode, shape and (*shape, SIZE, SIZE), np.uint8
        )
        self.subject_N = _array(folder / "subjects.npy", mode, shape, np.int16)
        self.place_N = _array(folder / "places.npy", mode, shape, np.int16)

    def __len__(self) -> int:
        return len(self.subject_N)


def _array(path: Path, mode: str, shape, dtype):
    if mode == "r":
        return np.load(path, mmap_mode="r")
    return np.lib.format.open_memmap(path, mode, dtype, shape)


def allowed_pairs(held: bool) -> list[tuple[int, int]]:
    """(subject, place) index pairs: those trained on, or those held out."""
    return [
        (i, j)
        for i, s in enumerate(SUBJECTS)
        for j, p in enumerate(PLACES)
        if held_out(s.name, p.name) == held
    ]


def render(
    folder: Path, count: int, seed: int, held: bool = False, workers: int = 2
) -> SceneArrays:
    """Render `count` scenes into `folder`; the same seed gives the same scenes whatever the number
    of workers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    SceneArrays(folder, count)
    chunks = [
        (folder, start, min(start + 500, count), seed, held) for start in range(0, count, 500)
    ]
    with Pool(workers) as pool:
        for done, _ in enumerate(pool.imap(_render_chunk, chunks), 1):
            print(f"\rrendering scenes {done}/{len(chunks)}", end="", flush=True)
    print()
    return SceneArrays(folder)


def _render_chunk(job) -> None:
    folder, start, stop, seed, held = job
    arrays = {
        name: np.load(folder / f"{name}.npy", mmap_mode="r+")
        for name in ("images", "masks", "subjects", "places")
    }
    pairs = allowed_pairs(held)
    for i in range(start, stop):
        rng = np.random.default_rng((seed, i))
        s, p = pairs[rng.integers(len(pairs))]
        if not held and rng.random() < EMPTY_SHARE:
            s = NONE
        scene = draw_scene(rng, None if s == NONE else SUBJECTS[s], PLACES[p])
        arrays["images"][i], arrays["masks"][i] = scene.image_HWC, scene.mask_HW
        arrays["subjects"][i], arrays["places"][i] = s, p
