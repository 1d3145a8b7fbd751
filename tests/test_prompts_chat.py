"""The instruction for language models, the parsing of their answers, and the one repair."""

import pytest

from coupled.prompts import chat

PROMPTS = (
    "A cute Pikachu sits in a cozy room bathed in warm sunshine. The room has wooden flooring.",
    "A beautiful girl stands in a cozy room bathed in warm sunshine. The room has wooden flooring.",
)
GOOD = (
    "Background: A cozy room bathed in warm sunshine with wooden flooring.\n\n"
    "Entity 1: A cute Pikachu sits.\n\nEntity 2: A beautiful girl stands."
)
ROOM = "A cozy room bathed in warm sunshine with wooden flooring."
ENTITIES = ("A cute Pikachu sits.", "A beautiful girl stands.")


def test_instruction_is_the_papers():
    system, user = chat.first_messages(PROMPTS)
    assert system == {
        "role": "system",
        "content": "You are a helpful assistant to arrange prompts for text-to-image generation.",
    }
    flat = " ".join(user["content"].split())
    assert flat.startswith(
        "You are given a set of prompts for text-to-image generation. Your task is to first"
        " identify and extract the common background shared across all prompts. Then, for each"
        " individual prompt, present the distinct entity description. Please format your output as"
        " follows: Background: [shared background] Entity 1: [description of the first unique"
        " entity] Entity 2: [description of the second unique entity] ... and so on. Prompt 1: A"
        " cute"
    )
    assert user["content"].endswith("Prompt 2: " + PROMPTS[1])


@pytest.mark.parametrize(
    "answer",
    [
        GOOD,
        GOOD.replace("\n\n", "\n"),
        GOOD.replace("\n\n", " "),
        GOOD.replace("sits", "\n  sits"),  # a line break within an entity
        "Sure! Here it is:\n\n" + GOOD + "\n\n---",
        "<think>Background: hm? Entity 1: …</think>" + GOOD,
        "**Background:** "
        + ROOM
        + "\n- **Entity 1:** A cute Pikachu sits.\n- **Entity 2**: A beautiful girl stands.",
        (
            f'background: [{ROOM}]\nENTITY 1: "A cute Pikachu sits."\nEntity #2： A beautiful girl'
            " stands."
        ),
    ],
)
def test_parse_good_answers(answer):
    split = chat.parse_answer(answer, PROMPTS)
    assert (split.background, split.entities, split.prompts) == (ROOM, ENTITIES, PROMPTS)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("", "it has none of them"),
        ("I cannot help with that.", "it has none of them"),
        ("<think>" + GOOD, "it has none of them"),
        ("Background: room\nEntity 1: cat", "it has Background, Entity 1"),
        (GOOD + "\nEntity 3: a dog", "Entity 3"),
        ("Entity 1: cat\nEntity 2: dog\nBackground: room", "in this order"),
        ("Background: room\nEntity 2: cat\nEntity 1: dog", "in this order"),
        (GOOD + "\n" + GOOD, "once each"),
        ("Background: room\nEntity 1:\nEntity 2: dog", "Entity 1 is empty"),
        ("Background: ** \nEntity 1: cat\nEntity 2: dog", "Background is empty"),
        ("Background: room\nEntity 1: a cat\nEntity 2: A cat.", "are the same"),
        (
            "Background: [shared background]\nEntity 1: cat\nEntity 2: dog",
            "repeats the instruction",
        ),
        (
            "Background: room\nEntity 1: [description of the first unique entity]\nEntity 2: dog",
            "repeats the instr",
        ),
        (GOOD + "\n\nI hope this helps!", "other text"),
        ("Background: room\nEntity 1: cat\nEntity 2: " + "very " * 999, "longer than"),
    ],
)
def test_parse_bad_answers(answer, message):
    with pytest.raises(chat.AnswerError, match=message):
        chat.parse_answer(answer, PROMPTS)


def test_one_repair_request():
    seen, answers = [], ["no idea", GOOD]

    def complete(messages):
        seen.append(messages)
        return answers[len(seen) - 1]

    assert chat.split_by_chat(PROMPTS, complete).entities == ENTITIES
    assert [message["role"] for message in seen[1]] == ["system", "user", "assistant", "user"]
    assert seen[1][:2] == seen[0] and seen[1][2]["content"] == "no idea"
    assert "exactly 3 lines" in seen[1][3]["content"] and "Entity 2: ..." in seen[1][3]["content"]

    seen, answers = [], ["no idea", "Background: x"]
    with pytest.raises(ValueError, match="asked twice.*'Background: x'.*'rules'"):
        chat.split_by_chat(PROMPTS, complete)
    assert len(seen) == 2


def test_prompts_are_checked_before_the_model_is_asked():
    with pytest.raises(ValueError, match="only one prompt"):
        chat.split_by_chat(PROMPTS[:1], lambda messages: pytest.fail("asked"))
