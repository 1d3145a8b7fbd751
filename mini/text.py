"""The mini model's text side: the host's own T5 at a small size over a vocabulary of whole
words.
"""

import logging
import re
from pathlib import Path
from typing import Any

import comfy.sd1_clip
import comfy.text_encoders.t5
import torch
from transformers import PreTrainedTokenizerFast

TOKENIZER = Path(__file__).parent / "tokenizer"
PAD, END, UNKNOWN = 0, 1, 2
POOLED_WIDTH = 64
MIN_TOKENS = 24  # every text is padded to this many, as Flux's T5 pads to 256
WORDS = re.compile(r"[a-z0-9]+(?:'[a-z]+)?|[.,]")

T5_CONFIG = {
    "num_layers": 2,
    "d_model": 128,
    "d_kv": 32,
    "num_heads": 4,
    "d_ff": 384,
    "dense_act_fn": "gelu_pytorch_tanh",
    "is_gated_act": True,
    "model_type": "t5",
    "vocab_size": 512,
}


def words_of(text: str) -> list[str]:
    """The words and stops of a text, as the tokenizer cuts it."""
    return WORDS.findall(text.lower())


class MiniTokenizer:
    """Tokens under the key of the host's Flux tokenizer, `t5xxl`; words it does not know are named
    in a warning.
    """

    def __init__(self, embedding_directory=None, tokenizer_data=None):
        self.t5xxl = comfy.sd1_clip.SDTokenizer(
            str(TOKENIZER),
            tokenizer_class=PreTrainedTokenizerFast,
            embedding_key="t5xxl",
            embedding_size=T5_CONFIG["d_model"],
            max_length=99999999,
            min_length=MIN_TOKENS,
            pad_to_max_length=False,
            pad_token=PAD,
            has_start_token=False,
            tokenizer_data=tokenizer_data or {},
        )

    def unknown_words(self, text: str) -> list[str]:
        return sorted(set(words_of(text)) - self.t5xxl.tokenizer.get_vocab().keys())

    def warn_unknown(self, text: str) -> None:
        unknown = self.unknown_words(text)
        if unknown:
            logging.warning(
                "Mini Flux does not know these words and passes over them: %s", ", ".join(unknown)
            )

    def tokenize_with_weights(self, text: str, return_word_ids=False, **kwargs):
        self.warn_unknown(text)
        return {"t5xxl": self.t5xxl.tokenize_with_weights(text, return_word_ids, **kwargs)}

    def untokenize(self, token_weight_pair):
        return self.t5xxl.untokenize(token_weight_pair)

    def state_dict(self):
        return {}


class MiniTextEncoder(torch.nn.Module):
    """T5 token states, and a pooled vector read off the end token (Flux reads its own off
    CLIP's).
    """

    def __init__(self, device="cpu", dtype=None, model_options=None):
        super().__init__()
        self.t5xxl = comfy.sd1_clip.SDClipModel(
            device=device,
            dtype=dtype,
            model_options=model_options or {},
            textmodel_json_config=dict(T5_CONFIG),
            model_class=comfy.text_encoders.t5.T5,
            special_tokens={"end": END, "pad": PAD},
        )
        operations: Any = self.t5xxl.operations
        self.pool = operations.Linear(
            T5_CONFIG["d_model"], POOLED_WIDTH, device=device, dtype=dtype
        )
        self.dtypes = {dtype}

    def set_clip_options(self, options):
        self.t5xxl.set_clip_options(options)

    def reset_clip_options(self):
        self.t5xxl.reset_clip_options()

    def encode_token_weights(self, token_weight_pairs):
        """Token states [B, T, 128] and pooled vectors [B, 64]."""
        pairs = token_weight_pairs["t5xxl"]
        states_BTD, _ = self.t5xxl.encode_token_weights(pairs)
        end = [token for token, *_ in pairs[0]].index(END)
        return states_BTD, self.pool(states_BTD[:, end])

    def load_sd(self, sd):
        return self.load_state_dict(sd, strict=False)
