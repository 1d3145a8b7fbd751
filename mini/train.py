"""Makes the mini model from a seed, stage by stage (`python3 dev.py train-mini`).

scenes -> VAE -> latents -> flow matching -> guidance distillation ->
weights/{flux,text,vae}.safetensors scenes -> Mini SAM, Mini CLIP, which measure what it paints ->
weights/{sam,clip}.safetensors
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from .codec import Codec
from .dataset import SceneArrays, render
from .model import WEIGHTS
from .train_clip import train_clip
from .train_codec import FLUX_SCALE, FLUX_SHIFT, pictures, train_codec
from .train_flux import Captions, Run, Student, flow_loss, guided_loss, loss_weights
from .train_sam import train_sam
from .vocabulary import write_tokenizer

SCENES = 36_000


def scenes_of(folder: Path, count: int, seed: int, held: bool) -> SceneArrays:
    if (folder / "done").is_file():
        return SceneArrays(folder)
    scenes = render(folder, count, seed, held)
    (folder / "done").touch()
    return scenes


@torch.no_grad()
def encode_all(codec: Codec, scenes: SceneArrays, path: Path) -> torch.Tensor:
    """Latents as the model sees them (mean 0, deviation 1), float16 [N, 16, 16, 16]."""
    if not path.is_file():
        parts = []
        for i in range(0, len(scenes), 128):
            z = (codec.encode(pictures(scenes, slice(i, i + 128))) - FLUX_SHIFT) * FLUX_SCALE
            parts.append(z.half())
            print(f"\rlatents {i}/{len(scenes)}", end="", flush=True)
        torch.save(torch.cat(parts), path)
    return torch.load(path, weights_only=True)


@torch.no_grad()
def preview_colours(codec: Codec, scenes: SceneArrays) -> tuple[torch.Tensor, torch.Tensor]:
    """Least-squares RGB in [-1, 1] per latent channel [16, 3] and bias [3], for the host's latent
    preview.
    """
    x = pictures(scenes, slice(0, 256))
    z = ((codec.encode(x) - FLUX_SHIFT) * FLUX_SCALE).permute(0, 2, 3, 1).reshape(-1, 16)
    small = torch.nn.functional.avg_pool2d(x, 8).permute(0, 2, 3, 1).reshape(-1, 3)
    solution = torch.linalg.lstsq(torch.cat([z, torch.ones(len(z), 1)], 1), small).solution
    return solution[:16], solution[16]


def export(codec: Codec, scenes: SceneArrays, state: dict[str, torch.Tensor]) -> None:
    """Write weights/{flux,text,vae}.safetensors."""
    factors, bias = preview_colours(codec, scenes)
    write("vae", {**codec.state_dict(), "preview.factors": factors, "preview.bias": bias})
    for part in ("flux", "text"):
        write(
            part,
            {k.removeprefix(f"{part}."): v for k, v in state.items() if k.startswith(f"{part}.")},
        )


def write(name: str, weights: dict[str, torch.Tensor]) -> None:
    """Write weights/<name>.safetensors in half precision."""
    WEIGHTS.mkdir(exist_ok=True)
    halves = {k: v.half().contiguous() for k, v in weights.items()}
    save_file(
        halves,
        WEIGHTS / f"{name}.safetensors",
        metadata={"license": "MIT", "source": "mini/train.py"},
    )


def train(work: Path, minutes: dict[str, float], seed: int = 0) -> None:
    """All stages, each for so many minutes; a stage whose result lies in `work` is not run
    again.
    """
    torch.manual_seed(seed)
    write_tokenizer()
    scenes = scenes_of(work / "train", SCENES, seed, held=False)
    train_painter(work, scenes, minutes, seed)
    for name, train_stage in (("sam", train_sam), ("clip", train_clip)):
        if not (work / f"{name}.done").is_file():
            write(
                name,
                train_stage(scenes, work / f"{name}.pt", minutes[name], seed=seed).state_dict(),
            )
            (work / f"{name}.done").touch()


def train_painter(work: Path, scenes: SceneArrays, minutes: dict[str, float], seed: int) -> None:
    """VAE, text encoder and Flux."""
    codec = Codec()
    if not (work / "codec.done").is_file():
        train_codec(scenes, work / "codec.pt", minutes["codec"], seed=seed)
        (work / "codec.done").touch()
    codec.load_state_dict(torch.load(work / "codec.pt", weights_only=True))
    latents = encode_all(codec.eval(), scenes, work / "latents.pt")
    data = (latents, loss_weights(scenes), Captions(scenes, seed))
    student = Student()
    if not (work / "flow.done").is_file():
        if (work / "flow.pt").is_file():
            student.load_state_dict(torch.load(work / "flow.pt", weights_only=True), strict=False)
        Run(student, *data, work / "flow.pt", minutes["flow"]).train(flow_loss, "flow")
        (work / "flow.done").touch()
    if (work / "guidance.done").is_file():
        return
    student.load_state_dict(torch.load(work / "flow.pt", weights_only=True), strict=False)
    teacher = Student()
    teacher.load_state_dict(student.state_dict())
    empty = torch.from_numpy(np.array([data[2].padded("")]))
    loss = guided_loss(teacher.requires_grad_(False), empty)
    run = Run(student, *data, work / "guided.pt", minutes["guidance"], rate=5e-4)
    export(codec, scenes, run.train(loss, "guidance"))
    (work / "guidance.done").touch()
