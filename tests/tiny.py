"""A small random Flux in the host's own classes, and random texts for it.

Every weight is active.
"""

import comfy.model_base
import comfy.model_patcher
import comfy.supported_models
import torch

TEXT_DIM, POOLED_DIM, LATENT_CHANNELS = 32, 16, 16

CONFIG = {
    "image_model": "flux",
    "in_channels": LATENT_CHANNELS,
    "out_channels": LATENT_CHANNELS,
    "vec_in_dim": POOLED_DIM,
    "context_in_dim": TEXT_DIM,
    "hidden_size": 64,
    "mlp_ratio": 2.0,
    "num_heads": 4,
    "depth": 2,
    "depth_single_blocks": 2,
    "axes_dim": [4, 6, 6],
    "theta": 10000,
    "patch_size": 2,
    "qkv_bias": True,
    "guidance_embed": True,
    "txt_ids_dims": [],
}


def fill(module: torch.nn.Module, seed: int, gain: float = 1.0) -> None:
    """Random weights in place: matrices scale what they map by about `gain`, biases are small,
    norms near 1.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, weight in module.named_parameters():
        noise = torch.randn(weight.shape, generator=generator)
        if weight.ndim > 1:
            value = gain * noise / weight[0].numel() ** 0.5
        else:
            value = 1 + 0.2 * noise if "norm" in name else 0.2 * noise
        weight.data.copy_(value)


def tiny_flux(
    seed: int = 0, dtype=torch.float32, gain: float = 1.0, **config
) -> comfy.model_patcher.ModelPatcher:
    """A ModelPatcher around the host's model_base.Flux: 2 double and 2 single blocks, hidden size
    64, on the CPU.

    The weights depend on `seed` and `gain` alone, so models of different dtype differ by rounding
    only. A gain of 1 answers strongly to all that it is given, rounding errors included; 0.5 is
    nearer to a trained model.
    """
    model_config = comfy.supported_models.Flux({**CONFIG, **config, "dtype": dtype})
    model = comfy.model_base.Flux(model_config)
    fill(model.diffusion_model, seed, gain)
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(model, load_device=cpu, offload_device=cpu)


def tiny_text(n_tokens: int, batch: int = 1, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A random encoded text: context [batch, n_tokens, 32] and pooled vector [batch, 16]."""
    generator = torch.Generator().manual_seed(1000 + seed)
    context = torch.randn(batch, n_tokens, TEXT_DIM, generator=generator)
    return context, torch.randn(batch, POOLED_DIM, generator=generator)


def tiny_conditioning(n_tokens: int, batch: int = 1, seed: int = 0, guidance: float = 3.5) -> list:
    """A random text as an ordinary (uncoupled) CONDITIONING."""
    context, pooled = tiny_text(n_tokens, batch, seed)
    return [[context, {"pooled_output": pooled, "guidance": guidance}]]


def tiny_coupled(
    n: int = 3, background_tokens: int = 5, entity_tokens: int = 7, seed: int = 0
) -> list:
    """A coupled CONDITIONING of n random entities on one random background."""
    from coupled.attention import couple_conditioning

    background = tiny_conditioning(background_tokens, seed=seed)
    entities = [tiny_conditioning(entity_tokens, seed=seed + 1 + i) for i in range(n)]
    return couple_conditioning(background, entities, guidance=3.5)


def tiny_latent(batch: int = 3, height: int = 8, width: int = 12, seed: int = 0) -> torch.Tensor:
    """One random latent [16, height, width], the same for every image of the batch."""
    generator = torch.Generator().manual_seed(2000 + seed)
    return torch.randn(1, LATENT_CHANNELS, height, width, generator=generator).repeat(
        batch, 1, 1, 1
    )


@torch.no_grad()
def tiny_forward(
    patcher, conditioning: list, x: torch.Tensor, position: float = 0.0, steps: int = 4, **arguments
):
    """One direct call of the diffusion model of `patcher`, at a step index of a run of `steps`; [B,
    16, h, w].
    """
    ((context, values),) = conditioning
    sigmas = torch.linspace(1, 0, steps + 1)
    B, dtype = x.shape[0], patcher.model.get_dtype()
    sigma = torch.full((B,), 1 - position / steps)
    conds = {k: c.process_cond(B).cond for k, c in values.get("model_conds", {}).items()}
    conds = {k: c.to(dtype) if torch.is_tensor(c) else c for k, c in conds.items()}
    options = {**patcher.model_options["transformer_options"], "wrappers": patcher.wrappers}
    options.update(sigmas=sigma, sample_sigmas=sigmas)
    options.update(arguments.pop("options", {}))
    rows = {
        "context": context,
        "y": values["pooled_output"],
        "guidance": torch.full((B,), 3.5),
        "timestep": sigma,
    }
    rows = {
        k: v.expand(B, *v.shape[1:]).to(v.dtype if k == "timestep" else dtype)
        for k, v in rows.items()
    }
    return patcher.model.diffusion_model(
        x.to(dtype), **rows, transformer_options=options, **conds, **arguments
    )


def tiny_sample(
    patcher, positive: list, negative: list | None = None, batch: int = 3, **settings
) -> torch.Tensor:
    """A whole run through the host's sample(), the same noise for each image; [batch, 16, 8,
    12].
    """
    import comfy.sample

    defaults = {"steps": 4, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "seed": 7}
    defaults["latent_image"] = torch.zeros_like(tiny_latent(batch))
    negative = tiny_conditioning(6, seed=90) if negative is None else negative
    return comfy.sample.sample(
        patcher,
        tiny_latent(batch),
        positive=positive,
        negative=negative,
        **{**defaults, **settings},
    )


def tiny_controlnet(**settings):
    """A small random Flux ControlNet and the host's object around it."""
    import comfy.controlnet
    import comfy.ldm.flux.controlnet
    import comfy.ops

    config = {k: v for k, v in CONFIG.items() if k != "image_model"}
    net = comfy.ldm.flux.controlnet.ControlNetFlux(
        operations=comfy.ops.manual_cast,
        dtype=torch.float32,
        **{"latent_input": False, "control_latent_channels": 16, **config, **settings},
    )
    fill(net, 11)
    cpu = torch.device("cpu")
    control = comfy.controlnet.ControlNet(net, load_device=cpu, extra_conds=["y", "guidance"])
    return net, control


def count_calls(model):
    """`model`, and a list that grows with its calls."""
    import comfy.patcher_extension

    calls = []

    def wrapper(executor, x, *args, **kwargs):
        calls.append(x.shape[0])
        return executor(x, *args, **kwargs)

    model = model.clone()
    model.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.APPLY_MODEL, "count", wrapper)
    return model, calls


def find_all(contrast_NS, x0_NCHW: torch.Tensor, patch: int) -> torch.Tensor:
    """In the place of region.find_region: all of a picture is its entity's."""
    return torch.ones(x0_NCHW.shape[0] - 1, *x0_NCHW.shape[-2:], dtype=torch.bool)
