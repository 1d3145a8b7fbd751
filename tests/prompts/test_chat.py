"""The instruction for language models, the parsing of their answers, and the one repair."""

import json

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
        # thoughts whose beginning the chat template wrote
        "Background: hm, a room? Entity 1: …\n</think>\n" + GOOD,
        "<thinking>\nhm</thinking>" + GOOD,
        "<|channel|>analysis<|message|>Entity 1?<|end|><|start|>assistant"
        "<|channel|>final<|message|>" + GOOD + "<|return|>",
        # the end of the turn, and what comes of not stopping there
        GOOD + "<|im_end|>",
        GOOD + "</s>\n\nBackground: Another one.",
        # code fences
        "```\n" + GOOD + "\n```",
        "Here you are:\n```text\n" + GOOD + "\n```\n",
        GOOD + "\n```",
        # lists
        f"1. Background: {ROOM}\n2. Entity 1: {ENTITIES[0]}\n3. Entity 2: {ENTITIES[1]}",
        f"1) **Background:** {ROOM}\n2) **Entity 1:** {ENTITIES[0]}\n3) *Entity 2*: {ENTITIES[1]}",
        f"1. Background: {ROOM} 2. Entity 1: {ENTITIES[0]} 3. Entity 2: {ENTITIES[1]}",
        f"### Background:\n{ROOM}\n\n### Entity 1:\n{ENTITIES[0]}\n\n### Entity 2:\n{ENTITIES[1]}",
        # a name of the entity
        f"Background: {ROOM}\nEntity 1 (Pikachu): {ENTITIES[0]}\nEntity 2 (girl): {ENTITIES[1]}",
        f"Background: {ROOM}\n**Entity 1** (a *cute* one): {ENTITIES[0]}\n"
        f"**Entity 2 (girl):** {ENTITIES[1]}",
        # JSON
        json.dumps({"Background": ROOM, "Entity 1": ENTITIES[0], "Entity 2": ENTITIES[1]}),
        json.dumps(
            {"entity_2": ENTITIES[1], "entity_1": ENTITIES[0], "background": ROOM}, indent=2
        ),
        json.dumps({"background": ROOM, "entities": ENTITIES}),
        "Sure:\n```json\n" + json.dumps({"background": ROOM, "entities": ENTITIES}) + "\n```",
        "<think>{}</think>\nIt is " + json.dumps({"background": ROOM, "entities": ENTITIES}),
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
        (GOOD + "\nI hope this helps!", "other text .'I hope this helps!"),
        (GOOD + " I hope this helps!", "other text .'I hope this helps!"),
        (GOOD.rstrip(".") + "\n(Let me know about the room.)\n\nBye", "other text"),
        (GOOD + "\nNote: the room is shared.", "other text .'Note"),
        ("```\n" + GOOD + "\n```\nDone, as you asked.", "After the code block .*'Done, as"),
        ("```\n" + GOOD + "\n```\n```\n" + GOOD + "\n```", "2 code blocks"),
        (GOOD.replace("A cute", "<|im_start|>A cute"), "holds '<|im_start|>'".replace("|", "[|]")),
        (GOOD.replace("A cute", "A ```cute"), "holds '```'"),
        (GOOD.replace("A cute", "Prompt 1: A cute"), "holds 'Prompt 1:'"),
        ("Background: None\nEntity 1: cat\nEntity 2: dog", "Background says only 'None'"),
        ("Background: room\nEntity 1: N/A\nEntity 2: dog", "Entity 1 says only 'N/A'"),
        ("Background: room\nEntity 1: cat\nEntity 2: (none).", "Entity 2 says only"),
        ("Background: No common background.\nEntity 1: cat\nEntity 2: dog", "Background says only"),
        ("Background: r\nEntity 1: cat\nEntity 2: dog Entity 3: owl", "it has .*Entity 3"),
        ('{"background": "room", "entities": ["cat"]}', "it has Background, Entity 1"),
        ('{"background": "room", "entities": ["cat", 2]}', "Entity 2 is not a text but 2"),
        ('{"background": null, "entities": ["cat", "dog"]}', "Background is not a text but null"),
        ('{"background": "a", "background": "b", "entities": ["cat", "dog"]}', "once each"),
        ('{"background": "a", "entities": ["cat", "dog"], "notes": "x"}', "'notes' that was not"),
        ('{"background": "a", "entities": ["cat", "dog"]', "no valid JSON"),
        ('{"background": "a", "entities": ["cat", "dog"]} Enjoy!', "After the JSON object .*Enjoy"),
    ],
)
def test_parse_bad_answers(answer, message):
    with pytest.raises(chat.AnswerError, match=message):
        chat.parse_answer(answer, PROMPTS)


@pytest.mark.parametrize(
    ("answer", "background", "entities"),
    [
        (  # a word like a label within a line is text
            "Background: A cozy room.\nEntity 1: A cute Pikachu, blurred background: a lamp.\n"
            "Entity 2: A beautiful girl stands.",
            "A cozy room.",
            ("A cute Pikachu, blurred background: a lamp.", "A beautiful girl stands."),
        ),
        (  # a number at the end of a text is no list's
            "Background: A cozy room 2. Entity 1: A cute Pikachu. Entity 2: A girl.",
            "A cozy room 2.",
            ("A cute Pikachu.", "A girl."),
        ),
        (  # more than one sentence, and other words for the same
            "Background: A cozy room. The floor is made of wood.\nEntity 1: A cute Pikachu sits. It"
            " is in warm light.\nEntity 2: A girl, f/1.8.",
            "A cozy room. The floor is made of wood.",
            ("A cute Pikachu sits. It is in warm light.", "A girl, f/1.8."),
        ),
        ("Background: room\nEntity 1: 🐱\nEntity 2: 🐶", "room", ("🐱", "🐶")),
        ("Background: A **cozy** room\nEntity 1: a\nEntity 2: b", "A cozy room", ("a", "b")),
    ],
)
def test_parse_keeps_what_is_part_of_the_description(answer, background, entities):
    split = chat.parse_answer(answer, PROMPTS)
    assert (split.background, split.entities) == (background, entities)


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
