"""Tiny, real language models for the tests: folders for transformers, and a host CLIP that
writes.
"""

import torch

from coupled.prompts import chat, local

PROMPTS = ("A cat sits in a cozy room.", "A dog runs in a cozy room.")
ANSWER = "Background: A cozy room. Entity 1: A cat sits. Entity 2: A dog runs."
TEMPLATE = (
    "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}{% if add_generation_prompt"
    " %}assistant{% endif %}"
)
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    + TEMPLATE
)


def word_tokenizer(texts):
    """A tokenizer with one token for each word of `texts`."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["[UNK]", "[EOS]", *sorted({word for text in texts for word in text.split()})]
    tokenizer = Tokenizer(
        models.WordLevel({word: k for k, word in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", eos_token="[EOS]")


def tiny_model(vocabulary, context=512):
    """A random GPT-2, 1 layer, 32 wide."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    end = {"bos_token_id": 1, "eos_token_id": 1}
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocabulary, n_positions=context, n_embd=32, n_layer=1, n_head=2, **end
        )
    )


def teach(model, prompt_ids, answer_ids):
    """Fit the model to one answer; some tenths of a second."""
    ids = torch.cat([prompt_ids, answer_ids], 1)
    labels = ids.clone()
    labels[:, : prompt_ids.shape[1]] = -100
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-2)
    model.eval()
    for _ in range(150):
        loss = model(ids, labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if loss < 0.02:
            return
    raise AssertionError(f"the tiny model did not learn: loss {loss:.3f}")


def make_folder(folder, template, taught, context=512):
    """Save a tiny model that answers PROMPTS with ANSWER (or, not `taught`, with garbage) in
    `folder`.
    """
    messages = chat.first_messages(PROMPTS)
    text = " ".join(message["content"] for message in messages)
    tokenizer = word_tokenizer([text, ANSWER, "system user assistant"])
    tokenizer.chat_template = template
    model = tiny_model(len(tokenizer), context)
    if taught:
        answer = tokenizer(ANSWER + " [EOS]", return_tensors="pt").input_ids
        teach(model, local.encode(tokenizer, messages), answer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_root(root):
    """A folder like models/LLM with tiny models in it."""
    make_folder(root / "taught", TEMPLATE, True)
    make_folder(root / "someone" / "plain", None, True)
    make_folder(root / "no-system", NO_SYSTEM, True)
    make_folder(root / "random", TEMPLATE, False)
    make_folder(root / "short", TEMPLATE, False, context=64)
    pickled = make_folder(root / "pickled", TEMPLATE, False)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    return root


END = 151645  # <|im_end|> of the host's Qwen tokenizer
# no token twice
CLIP_ANSWER = "Background: forest at dawn ENTITY 1： A fox runs. entity#2 : an owl sits"


def language_clip():
    """The host's Z-Image CLIP (Qwen3 and its real tokenizer) at width 64, 1 layer, random
    weights.
    """
    import comfy.sd
    import comfy.text_encoders.llama as llama
    from comfy import sd1_clip
    from comfy.text_encoders.z_image import ZImageTokenizer

    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1,
             "num_attention_heads": 2, "num_key_value_heads": 1, "lm_head": True}  # fmt: skip

    class Model(sd1_clip.SDClipModel):
        def __init__(self, device="cpu", dtype=None, model_options=None):
            super().__init__(
                device=device, dtype=dtype, textmodel_json_config=sizes,
                special_tokens={"pad": 151643}, layer_norm_hidden_state=False,
                model_class=llama.Qwen3_06B,
                model_options=model_options or {},
            )  # fmt: skip

    class Encoder(sd1_clip.SD1ClipModel):
        def __init__(self, device="cpu", dtype=None, model_options=None):
            super().__init__(
                device=device,
                dtype=dtype,
                name="qwen3_4b",
                clip_model=Model,
                model_options=model_options or {},
            )

    class Target:
        params = {}
        clip = Encoder
        tokenizer = ZImageTokenizer

    clip = comfy.sd.CLIP(Target, parameters=20_000_000)
    generator = torch.Generator().manual_seed(0)
    for parameter in clip.cond_stage_model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.02
    return clip


def make_it_say(clip, answer):
    """Turn the model into a table from each token to the next: no attention, no MLP, a head that
    knows the pairs.
    """
    token_of = clip.tokenizer.qwen3_4b.tokenizer
    ids = [*token_of("assistant\n").input_ids[-1:], *token_of(answer).input_ids, END]
    assert len(set(ids)) == len(ids), "a token occurs twice"
    weights = clip.cond_stage_model.qwen3_4b.transformer.model
    generator = torch.Generator().manual_seed(1)
    for name, parameter in weights.named_parameters():
        parameter.data = (
            torch.ones(parameter.shape) if "norm" in name else torch.zeros(parameter.shape)
        )
    for this, following in zip(ids, ids[1:], strict=False):
        vector = torch.nn.functional.normalize(torch.randn(64, generator=generator), dim=0)
        weights.embed_tokens.weight.data[this] = vector
        weights.lm_head.weight.data[following] += vector
