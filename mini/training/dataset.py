"""Renders the training scenes of the mini world once, into memory-mapped arrays."""

import multiprocessing
import multiprocessing.dummy
from pathlib import Path

import numpy as np
import torch

from ..size import SIZE
from ..world import PLACES, SUBJECTS, draw_scene, held_out

EMPTY_SHARE = 0.22  # scenes without a subject, for the background texts
NONE = -1


class SceneArrays:
    """images_NHWC uint8, masks_NHW uint8, subject_N and place_N (indexes; subject -1: none) and
    stand_N (as Scene's) in a folder; with a `count` they are made anew.
    """

    def __init__(self, folder: Path, count: int | None = None):
        self.images_NHWC = open_array(folder / "images.npy", np.uint8, count, SIZE, SIZE, 3)
        self.masks_NHW = open_array(folder / "masks.npy", np.uint8, count, SIZE, SIZE)
        self.subject_N = open_array(folder / "subjects.npy", np.int16, count)
        self.place_N = open_array(folder / "places.npy", np.int16, count)
        self.stand_N = open_array(folder / "stands.npy", np.int16, count)

    def __len__(self) -> int:
        return len(self.subject_N)


def open_array(path: Path, dtype, count: int | None, *size: int) -> np.memmap:
    if count is None:
        return np.load(path, mmap_mode="r")
    return np.lib.format.open_memmap(path, "w+", dtype, (count, *size))


def draw_index(rng: np.random.Generator, scenes: SceneArrays, batch: int) -> np.ndarray:
    """Random scenes, in the order in which they lie in the file."""
    return np.sort(rng.integers(len(scenes), size=batch))


def names_at(scenes: SceneArrays, index) -> tuple[torch.Tensor, torch.Tensor]:
    """Indexes of subject (NONE: without) and place of scenes, [B] each."""
    device = torch.get_default_device()
    subject_B = torch.from_numpy(np.array(scenes.subject_N[index])).long()
    place_B = torch.from_numpy(np.array(scenes.place_N[index])).long()
    return subject_B.to(device), place_B.to(device)


def allowed_pairs(held: bool) -> list[tuple[int, int]]:
    """(subject, place) index pairs: those trained on, or those held out."""
    return [
        (i, j)
        for i, s in enumerate(SUBJECTS)
        for j, p in enumerate(PLACES)
        if held_out(s.name, p.name) == held
    ]


def provide_scenes(folder: Path, count: int, seed: int) -> SceneArrays:
    """The training scenes in `folder`, rendered unless they are there."""
    if not (folder / "done").is_file():
        render(folder, count, seed)
        (folder / "done").touch()
    return SceneArrays(folder)


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
    with open_pool(workers) as pool:
        for done, _ in enumerate(pool.imap(render_chunk, chunks), 1):
            print(f"\rrendering scenes {done}/{len(chunks)}", end="", flush=True)
    print()
    return SceneArrays(folder)


def open_pool(workers: int):
    """Processes; threads where the system cannot fork, as a new process would not know the pack
    under its name.
    """
    if "fork" in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("fork").Pool(workers)
    return multiprocessing.dummy.Pool(workers)


def render_chunk(job) -> None:
    folder, start, stop, seed, held = job
    arrays = {
        name: np.load(folder / f"{name}.npy", mmap_mode="r+")
        for name in ("images", "masks", "subjects", "places", "stands")
    }
    pairs = allowed_pairs(held)
    for i in range(start, stop):
        rng = np.random.default_rng((seed, i))
        s, p = pairs[rng.integers(len(pairs))]
        if not held and rng.random() < EMPTY_SHARE:
            s = NONE
        scene = draw_scene(rng, None if s == NONE else SUBJECTS[s], PLACES[p])
        arrays["images"][i] = scene.image_HWC
        arrays["masks"][i] = scene.mask_HW
        arrays["subjects"][i] = s
        arrays["places"][i] = p
        arrays["stands"][i] = scene.stand
