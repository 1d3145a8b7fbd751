"""The baseline Prompt-to-Prompt (Hertz et al. 2022, refinement) for Flux.1: exact, no stored map.

The first prompt is the source, row 0 of the batch; each other prompt is an edit of it, sampled
with it. In an edit the image queries look at aligned words, and at the image, with the source's
attention map. The edited map meets the edit's own values, and the map's part of the result is
linear in them, so it is the sum of two ordinary attentions:

    SDPA(q_s, k_s, [M(alpha·V_txt); self·V_img]) + SDPA(q_t, k_t, [(1-alpha)·V_txt; (1-self)·V_img])

Legend: B images, n - 1 of them edits; H heads, L tokens in the order [text | image], T text tokens,
D head width.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

import comfy.conds
import torch
from comfy.patcher_extension import WrappersMP

from ..attention.architectures import Block, uncompiled
from ..attention.conditioning import Conditioning
from ..attention.encoding import longest, pad_tokens
from ..attention.equations import QKV, Streams
from ..attention.families.flux import FLUX1
from ..attention.override import OVERRIDE, BlockAttention, check_joint_calls
from ..attention.progress import step_position
from ..sampling.noise import in_lockstep
from ..sampling.preview import SetProgress
from .common import add_guidance, check_share, finish, plan_baseline
from .word_alignment import align

PATCH = "coupled_p2p"
# [B, T] in a conditioning: of each source token, the index in row b; T for none
PARTNERS = "coupled_p2p_partners"


def p2p(
    model,
    clip,
    prompts: Sequence[str],
    latent: dict,
    seed: int,
    steps: int,
    sampler_name: str = "euler",
    scheduler: str = "simple",
    guidance: float = 3.5,
    cross_replace: float = 0.8,
    self_replace: float = 0.4,
) -> dict:
    """A LATENT [n, C, H, W]: the image of the first prompt, and the other prompts as edits of it.

    cross_replace, self_replace: the share of the steps, from the first, in which an edit has the
    source's attention to the aligned words, and of the image to itself. latent: one row, used for
    every image, or n. ValueError if something does not fit, or the model is not Flux.1.
    """
    edited = edit_model(model, cross_replace, self_replace)
    run = plan_baseline(
        model, clip, prompts, latent, seed, steps, sampler_name, scheduler, guidance
    )
    run = dataclasses.replace(
        run, model=edited, positive=add_guidance(encode_edits(clip, prompts), guidance)
    )
    images = range(len(prompts))
    step_done = SetProgress(model, len(prompts), len(run.sigmas) - 1).callback(images, 0, 1)
    with compilation_off(model):
        return finish(latent, run.sample(images, step_done))


def compilation_off(model):
    """A context without torch.compile where the model has it: the host's node tells torch not to
    look at the options of a call, so code compiled for the steps with an edit would be taken for
    those without."""
    compiled = model.model_options.get("torch_compile_kwargs")
    return torch.compiler.set_stance("force_eager") if compiled else contextlib.nullcontext()


def encode_edits(clip, prompts: Sequence[str]) -> Conditioning:
    """The prompts as one conditioning of n rows of equal length, with their tokens' partners."""
    tokens = [clip.tokenize(prompt) for prompt in prompts]
    if FLUX1.text_key not in tokens[0]:
        raise ValueError(
            "Prompt-to-Prompt needs Flux's text encoder, with T5; this one has none. Load CLIP-L"
            " and T5-XXL with DualCLIPLoader, type flux."
        )
    lengths = longest(tokens)
    tokens = [
        pad_tokens(clip, prompt, t, lengths) for prompt, t in zip(prompts, tokens, strict=True)
    ]
    texts = [clip.encode_from_tokens_scheduled(t) for t in tokens]
    return join_texts(texts, partners_of([token_ids(t) for t in tokens]))


def token_ids(tokens: dict) -> list:
    """The tokens of a text, to be compared; an embedding in a word's place equals no other."""
    entries = [token for token, *_ in tokens[FLUX1.text_key][0]]
    return [token if isinstance(token, int) else object() for token in entries]


def partners_of(texts: Sequence[list]) -> torch.Tensor:
    """[n, T]: the partner in each text of each token of text 0; T, past the last, for none."""
    rows = [[len(text) if j is None else j for j in align(texts[0], text)] for text in texts]
    return torch.tensor(rows, dtype=torch.long)


def join_texts(texts: Sequence[Conditioning], partners_NT: torch.Tensor) -> Conditioning:
    """Encoded texts of equal length as the rows of one conditioning."""
    return [join_entry(entries, partners_NT) for entries in zip(*texts, strict=True)]


def join_entry(entries: Sequence[list], partners_NT: torch.Tensor) -> list:
    context_NTD, values = torch.cat([context for context, _ in entries]), dict(entries[0][1])
    if context_NTD.shape[1] != partners_NT.shape[1]:
        raise ValueError(
            f"The text encoder made {context_NTD.shape[1]} tokens out of {partners_NT.shape[1]}, so"
            " Prompt-to-Prompt cannot tell the words apart. Use Flux's own text encoder."
        )
    if values.get("pooled_output") is not None:
        values["pooled_output"] = torch.cat([v["pooled_output"] for _, v in entries])
    values["model_conds"] = {
        **values.get("model_conds", {}),
        PARTNERS: comfy.conds.CONDRegular(partners_NT),
    }
    return [context_NTD, values]


def edit_model(model, cross_replace: float, self_replace: float):
    """A clone of a Flux.1 ModelPatcher that edits the rows of `encode_edits`, and only those."""
    check_share("cross_replace", cross_replace)
    check_share("self_replace", self_replace)
    diffusion_model = uncompiled(model.get_model_object("diffusion_model"))
    if not FLUX1.matches(diffusion_model):
        raise ValueError(
            f"Prompt-to-Prompt works with {FLUX1.name} only, loaded with the host's own loader;"
            f" this model is a {type(diffusion_model).__name__}."
        )
    model = model.clone()
    model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, PATCH, share_steps_noise)
    model.add_wrapper_with_key(
        WrappersMP.DIFFUSION_MODEL, PATCH, partial(run_model, cross_replace, self_replace)
    )
    return model


def share_steps_noise(
    executor, noise: torch.Tensor, latent_image: torch.Tensor, sampler, sigmas, *args, **kwargs
):
    """OUTER_SAMPLE wrapper: a stochastic sampler gives all rows one noise."""
    sampler = in_lockstep(executor.class_obj, sampler, sigmas, [latent_image])
    return executor(noise, latent_image, sampler, sigmas, *args, **kwargs)


def run_model(cross_replace: float, self_replace: float, executor, *args, **kwargs):
    """DIFFUSION_MODEL wrapper: sets the attention of this call.

    The lists and dicts of the host are not written.
    """
    partners_BT = kwargs.pop(PARTNERS, None)
    if partners_BT is None:
        return executor(*args, **kwargs)
    named = FLUX1.name_arguments(args)
    options = named["options"]
    n_text, progress = partners_BT.shape[1], progress_of(options)
    cross, itself = progress < cross_replace, progress < self_replace
    if not (cross or itself):
        return executor(*args, **kwargs)
    attention = EditAttention(
        architecture=FLUX1,
        streams=Streams(0, n_text),
        previous=options.get(OVERRIDE),
        partners_BT=partners_BT if cross else torch.full_like(partners_BT, n_text),
        replace_self=itself,
    )
    named["options"] = {**options, OVERRIDE: attention}
    out = executor(*named.values(), **kwargs)
    check_joint_calls(attention, executor.class_obj)
    return out


def progress_of(options: dict) -> float:
    """The step index of this model call over the number of steps."""
    sigmas = options["sample_sigmas"].tolist()
    return step_position(options["sigmas"][0].item(), sigmas) / (len(sigmas) - 1)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class EditAttention(BlockAttention):
    """Prompt-to-Prompt's attention of one model call."""

    partners_BT: torch.Tensor
    replace_self: bool

    def joint(self, qkv: QKV, block: Block, plain: Callable, scale: float | None) -> torch.Tensor:
        return attend_edited(qkv, self.partners_BT, self.replace_self, plain)


def attend_edited(
    qkv: QKV, partners_BT: torch.Tensor, replace_self: bool, plain: Callable
) -> torch.Tensor:
    """Row 0 and text queries stay; image queries of the other rows are edited. [B, L, H·D]."""
    every, text, image = (
        slice(None),
        slice(0, partners_BT.shape[1]),
        slice(partners_BT.shape[1], None),
    )
    source, target = rows(qkv, slice(0, 1)), rows(qkv, slice(1, None))
    v_source, v_own = separate_values(target.v, partners_BT[1:], replace_self)
    n = len(v_own)
    from_source = QKV(
        source.q.expand(n, -1, -1, -1), source.k.expand(n, -1, -1, -1), v_source, source.mask
    )
    own = QKV(target.q, target.k, v_own, target.mask)
    image_rows = from_source.over(plain, image, every) + own.over(plain, image, every)
    text_rows = target.over(plain, text, every)
    return torch.cat((source.over(plain, every, every), torch.cat((text_rows, image_rows), 1)))


def rows(qkv: QKV, which: slice) -> QKV:
    mask = qkv.mask if qkv.mask is None or qkv.mask.shape[0] == 1 else qkv.mask[which]
    return QKV(qkv.q[which], qkv.k[which], qkv.v[which], mask)


def separate_values(v_BHLD: torch.Tensor, partners_BT: torch.Tensor, replace_self: bool):
    """[M(alpha·V_txt); self·V_img], in the order of the source's tokens, and [(1-alpha)·V_txt;
    (1-self)·V_img].
    """
    B, H, L, D = v_BHLD.shape
    T = partners_BT.shape[1]
    text, image = v_BHLD[:, :, :T], v_BHLD[:, :, T:]
    none = v_BHLD.new_zeros(B, H, 1, D)  # the value at index T: a source token without a partner
    at_source = torch.cat((text, none), 2).gather(
        2, partners_BT[:, None, :, None].expand(-1, H, -1, D)
    )
    alone_BT1 = v_BHLD.new_ones(B, T + 1).scatter_(1, partners_BT, 0)[
        :, None, :T, None
    ]  # 1 - alpha
    images = (image, torch.zeros_like(image))
    from_source, own = images if replace_self else reversed(images)
    return torch.cat((at_source, from_source), 2), torch.cat((text * alone_BT1, own), 2)
