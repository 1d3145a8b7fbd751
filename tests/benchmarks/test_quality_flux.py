"""`dev.py bench quality --flux` on small random files of the real key layout, through the host's
own loaders.
"""

import json
import math

import comfy.ldm.modules.diffusionmodules.model as autoencoder
import comfy.sd
import comfy.text_encoders.flux
import pytest
import torch
from safetensors.torch import save_file

from coupled.benchmarks.models import FluxFiles, find_file, load_flux_bench
from coupled.benchmarks.quality import __main__ as quality
from coupled.benchmarks.quality.paint import JobPainter
from coupled.benchmarks.quality.run import make_results, plan_jobs
from coupled.benchmarks.sets import paper_sets
from coupled.benchmarks.store import Store

from paths import HOST
from tiny import fill, tiny_flux
from tiny_sam import tiny_sam

WIDTH = 64  # of both text encoders
CLIP_L = {
    "hidden_size": WIDTH,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
}
T5 = {"d_model": WIDTH, "d_ff": 128, "d_kv": 16, "num_heads": 4, "num_layers": 1}
# The host's own options for text encoders of other sizes; when it loads CLIP-L it asks for
# `model_config`.
SMALL = {"clip_l_model_config": CLIP_L, "model_config": CLIP_L, "t5xxl_model_config": T5}
CLIP = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def save(module, path, prefix=""):
    save_file(
        {
            prefix + name: weight.contiguous().clone()
            for name, weight in module.state_dict().items()
        },
        path,
    )


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Files like a user's, but small; and the host told to build its text encoders small."""
    import open_clip

    flux = tiny_flux(
        gain=0.5,
        hidden_size=128,
        num_heads=1,
        axes_dim=[16, 56, 56],
        mlp_ratio=4.0,
        context_in_dim=WIDTH,
        vec_in_dim=WIDTH,
    )
    save(flux.model.diffusion_model, tmp_path / "flux.safetensors")
    texts = comfy.text_encoders.flux.FluxClipModel(torch.float32, "cpu", torch.float32, dict(SMALL))
    fill(texts, 1)
    save(texts.clip_l.transformer, tmp_path / "clip_l.safetensors")
    save(texts.t5xxl.transformer, tmp_path / "t5.safetensors")
    decoder = autoencoder.Decoder(
        ch=32,
        out_ch=3,
        ch_mult=[1, 2, 4, 4],
        num_res_blocks=2,
        attn_resolutions=[],
        in_channels=3,
        resolution=256,
        z_channels=16,
    )
    fill(decoder, 2)
    save(decoder, tmp_path / "vae.safetensors", "decoder.")
    save(tiny_sam(), tmp_path / "sam.safetensors")
    (tmp_path / "Tiny-B-8.json").write_text(json.dumps(CLIP))
    open_clip.add_model_config(tmp_path / "Tiny-B-8.json")
    save(open_clip.create_model("Tiny-B-8"), tmp_path / "clip.safetensors")
    load = comfy.sd.load_clip
    monkeypatch.setattr(
        comfy.sd,
        "load_clip",
        lambda *args, **options: load(
            *args, **{**options, "model_options": {**options.get("model_options", {}), **SMALL}}
        ),
    )
    paths = {name: str(tmp_path / f"{name}.safetensors") for name in ("clip_l", "t5", "vae", "sam")}
    return FluxFiles(
        unet=str(tmp_path / "flux.safetensors"),
        clip_weights=str(tmp_path / "clip.safetensors"),
        clip_model="Tiny-B-8",
        **paths,
    )


def test_a_users_own_files_make_every_table(files, tmp_path, monkeypatch):
    bench = load_flux_bench(files, size=64, steps=2)
    flux = bench.model.model.diffusion_model
    assert (flux.hidden_size, flux.num_heads) == (128, 1) and bench.clip.tokenize("a")["t5xxl"]
    assert bench.title == "flux.safetensors, 64 × 64, 2 steps"
    store, sets = Store(tmp_path / "work"), paper_sets()[:1]
    jobs = plan_jobs(sets, 1)[:5]  # every baseline, and coupling in both modes
    painter = JobPainter(bench.model, bench.clip, bench.vae, bench.latent, bench.steps)
    make_results(jobs, painter, bench.meter, store)
    records = store.records()
    assert len(records) == 5 and not any("error" in record for record in records.values()), records
    assert all(math.isfinite(record["f_ti"]) for record in records.values())
    assert all(record["f_bg"] is not None or record["reason"] for record in records.values())
    same, coupled = (store.load(jobs[i].key, "images", 2) for i in (0, 4))
    assert same.shape == (2, 64, 64, 3) and not torch.equal(same, coupled)


def test_a_file_that_is_not_there_is_named(capsys, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.pth.*models/sams"):
        find_file("sams", "nowhere.pth")
    names = [f"--{name}=nowhere.pth" for name in quality.FILES]
    options = ["--host", str(HOST), "--flux", *names, "--work", str(tmp_path)]
    assert quality.main(options) == 1
    assert "nowhere.pth" in capsys.readouterr().err
