"""Writes the mini model's tokenizer: every word that the mini world's captions can hold, and a few
kin.
"""

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from ..text import END, PAD, TOKENIZER, UNKNOWN, WORDS, words_of
from ..world import PLACES, SUBJECTS

# Words that users type beside the captions' own; trained as unknown words, so known ones keep their
# meaning.
FRAME = "a an the in on at of by with and is , . under beside between"


def vocabulary() -> list[str]:
    texts = [FRAME]
    for place in PLACES:
        texts += [*place.phrases, *place.tails]
    for subject in SUBJECTS:
        texts += [*subject.nouns, *subject.verbs]
    return sorted({word for text in texts for word in words_of(text)})


def write_tokenizer() -> int:
    """Write tokenizer.json; returns the number of tokens."""
    special = {"<pad>": PAD, "</s>": END, "<unk>": UNKNOWN}
    vocab = special | {word: i for i, word in enumerate(vocabulary(), len(special))}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(
        Regex(WORDS.pattern), behavior="removed", invert=True
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", END)]
    )
    TOKENIZER.mkdir(exist_ok=True)
    tokenizer.save(str(TOKENIZER / "tokenizer.json"))
    return len(vocab)
