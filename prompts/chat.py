"""Split prompts by asking a language model: the paper's instruction, strict reading of the answer
(`answers`), one request for repair.

The model is any `complete(messages) -> str`; `endpoint`, `local` and `host_llm` provide one each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .answers import AnswerError, name_parts, parse_answer, strip_thoughts
from .split import SplitPrompts, check_prompts, clean_prompts, shorten

Messages = list[dict[str, str]]
Complete = Callable[[Messages], str]

# The paper's Appendix C, Figure 11, word for word.
SYSTEM = "You are a helpful assistant to arrange prompts for text-to-image generation."
INSTRUCTION = (
    "You are given a set of prompts for text-to-image generation. Your task is to first identify"
    " and extract the common background shared across all prompts. Then, for each individual"
    " prompt, present the distinct entity description. Please format your output as"
    " follows:\nBackground: [shared background]\nEntity 1: [description of the first unique"
    " entity]\nEntity 2: [description of the second unique entity]\n... and so on."
)
REPAIR = (
    "That answer cannot be used: {problem} Answer again with exactly {lines} lines and nothing"
    " else, in this format:\n{form}"
)
MAX_ECHO = 4000  # characters of a failed answer that are sent back for repair


def split_by_chat(
    prompts: Sequence[str], complete: Complete, who: str = "The model"
) -> SplitPrompts:
    """Split n >= 2 prompts by a language model, which gets one chance to repair a bad answer.

    ValueError if the prompts are not a set, or when both answers are bad.
    """
    prompts = clean_prompts(prompts)
    check_prompts(prompts)
    messages = first_messages(prompts)
    try:
        return ask(complete, messages, prompts)
    except AnswerError as error:
        messages = [*messages, *repair_messages(error, len(prompts))]
    try:
        return ask(complete, messages, prompts)
    except AnswerError as error:
        raise ValueError(
            f"{who} was asked twice and gave no usable split: {error} It answered:"
            f" '{shorten(error.answer, 200)}'. Try a larger instruction-tuned model or the method"
            " 'rules', or type background and entities by hand."
        ) from None


def ask(complete: Complete, messages: Messages, prompts: Sequence[str]) -> SplitPrompts:
    """The split in the model's answer. Raises AnswerError, with the answer, when there is none."""
    answer = complete(messages)
    try:
        return parse_answer(answer, prompts)
    except AnswerError as error:
        error.answer = answer
        raise


def answer_format(count: int) -> dict:
    """What an OpenAI-compatible server wants to be told to answer in JSON (`response_format`), with
    a background and `count` entities under the names that the instruction uses.
    """
    names = name_parts(count)
    schema = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": names,
        "additionalProperties": False,
    }
    return {
        "type": "json_schema",
        "json_schema": {"name": "split_prompts", "strict": True, "schema": schema},
    }


def first_messages(prompts: Sequence[str]) -> Messages:
    """The paper's two messages.

    Its third (the prompts) joins the second: many chat templates want turns.
    """
    listed = "\n".join(f"Prompt {number}: {prompt}" for number, prompt in enumerate(prompts, 1))
    return [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": f"{INSTRUCTION}\n\n{listed}"},
    ]


def repair_messages(problem: AnswerError, count: int) -> Messages:
    """The failed answer and what to do better."""
    form = "\n".join(f"{name}: ..." for name in name_parts(count))
    request = REPAIR.format(problem=problem, lines=count + 1, form=form)
    echo = strip_thoughts(problem.answer).strip()[:MAX_ECHO] or "(empty)"
    return [{"role": "assistant", "content": echo}, {"role": "user", "content": request}]
