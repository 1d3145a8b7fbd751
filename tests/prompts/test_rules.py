"""The rules method: tables of prompts and their splits, and what must hold for any set."""

import re
from itertools import permutations
from random import Random

import pytest

from coupled.prompts.places import find_misplaced_place
from coupled.prompts.rules import split_by_rules
from coupled.prompts.split import SplitPrompts, parse_prompts

PAPER = [
    (
        (
            "An eagle soars gracefully in a vibrant meadow under a clear blue sky, bathed in"
            " sunlight.\nA red fox runs in a vibrant meadow under a clear blue sky, bathed in"
            " sunlight."
        ),
        "A vibrant meadow under a clear blue sky, bathed in sunlight.",
        ["An eagle soars gracefully.", "A red fox runs."],
    ),
    (
        (
            "A cute Pikachu sits in a cozy room bathed in warm sunshine. The room has wooden"
            " flooring and a peaceful, homely atmosphere.\nA beautiful girl stands in a cozy room"
            " bathed in warm sunshine. The room has wooden flooring and a peaceful, homely"
            " atmosphere."
        ),
        (
            "A cozy room bathed in warm sunshine. The room has wooden flooring and a peaceful,"
            " homely atmosphere."
        ),
        ["A cute Pikachu sits.", "A beautiful girl stands."],
    ),
    (
        (
            "An elderly man in a suit playing saxophone on Tokyo night street, adorned with neon"
            " lights and billboards.\nA young woman in a red dress dancing on Tokyo night street,"
            " adorned with neon lights and billboards."
        ),
        "Tokyo night street, adorned with neon lights and billboards.",
        ["An elderly man in a suit playing saxophone.", "A young woman in a red dress dancing."],
    ),
    (
        (
            "A majestic stag standing proud in a misty forest at dawn, sunlight through trees.\n"
            "A squirrel perched on a branch in a misty forest at dawn, sunlight through trees."
        ),
        "A misty forest at dawn, sunlight through trees.",
        ["A majestic stag standing proud.", "A squirrel perched on a branch."],
    ),
]
CLAUSES = [
    (
        (
            "In a misty forest at dawn, a stag stands.\nIn a misty forest at dawn, a squirrel sits"
            " on a branch."
        ),
        "A misty forest at dawn.",
        ["A stag stands.", "A squirrel sits on a branch."],
    ),
    (
        (
            "In a misty forest at dawn, a stag stands.\nA squirrel sits on a branch in a misty"
            " forest at dawn."
        ),
        "A misty forest at dawn.",
        ["A stag stands.", "A squirrel sits on a branch."],
    ),
    (
        "In a misty forest at dawn a stag stands.\nIn a misty forest at dawn a squirrel sits.",
        "A misty forest at dawn.",
        ["A stag stands.", "A squirrel sits."],
    ),
    (
        (
            "A cat sits on the floor of a cozy room.\nA dog sits on the floor of a cozy room.\n"
            "A girl stands on the floor of a cozy room."
        ),
        "The floor of a cozy room.",
        ["A cat sits.", "A dog sits.", "A girl stands."],
    ),
    (  # nothing is left dangling where the shared words were
        (
            "A cat sits on the floor of a cozy room with wooden flooring.\nA dog lies in a cozy"
            " room with wooden flooring."
        ),
        "A cozy room with wooden flooring.",
        ["A cat sits on the floor.", "A dog lies."],
    ),
    (  # the same words in another order of clauses; tags stay tags
        "sunlight, red fox, misty forest\nmisty forest, grey owl, sunlight",
        "misty forest, sunlight",
        ["red fox", "grey owl"],
    ),
    (
        "A fox in a misty forest holding a lamp.\nAn owl in a misty forest drinking tea.",
        "A misty forest.",
        ["A fox holding a lamp.", "An owl drinking tea."],
    ),
    (
        (
            "A fox runs in a meadow. It wears a hat. The meadow is green.\n"
            "An owl sits in a meadow. It reads a book. The meadow is green."
        ),
        "A meadow. The meadow is green.",
        ["A fox runs. It wears a hat.", "An owl sits. It reads a book."],
    ),
    (
        (
            "A fox runs in a meadow, wearing a hat. Sunlight.\nAn owl sits in a meadow, reading."
            " Sunlight."
        ),
        "A meadow. Sunlight.",
        ["A fox runs, wearing a hat.", "An owl sits, reading."],
    ),
    (  # punctuation that only one of them has
        (
            "A fox runs in a meadow under a sky bathed in light.\nAn owl sits in a meadow under a"
            " sky, bathed in light."
        ),
        "A meadow under a sky bathed in light.",
        ["A fox runs.", "An owl sits."],
    ),
    (
        (
            "A robot waters plants — a greenhouse at night, glass roof.\nA cat naps — a greenhouse"
            " at night, glass roof."
        ),
        "A greenhouse at night, glass roof.",
        ["A robot waters plants.", "A cat naps."],
    ),
]
INCIDENTAL = [
    (  # "in a red" is shared, but it is no phrase
        "A man in a red suit playing in a meadow.\nA fox in a red scarf in a meadow.",
        "A meadow.",
        ["A man in a red suit playing.", "A fox in a red scarf."],
    ),
    (  # the same subject, another verb
        "A red fox sleeps in a forest.\nA red fox runs in a forest.",
        "A forest.",
        ["A red fox sleeps.", "A red fox runs."],
    ),
    (  # the same noun and verb, another colour
        "A red fox sits in a meadow.\nA grey fox sits in a meadow.",
        "A meadow.",
        ["A red fox sits.", "A grey fox sits."],
    ),
    (
        "A fox wearing a red hat stands in a forest.\nAn owl wearing a red hat sits in a forest.",
        "A forest.",
        ["A fox wearing a red hat stands.", "An owl wearing a red hat sits."],
    ),
    (
        (
            "A photo of a red fox in the snow, 35mm, bokeh\nA photo of a blue bird in the snow,"
            " 35mm, bokeh"
        ),
        "A photo, the snow, 35mm, bokeh",
        ["A red fox", "A blue bird"],
    ),
]
TOKENS = [
    (
        "🦊 in a misty forest at dawn.\n🦉 in a misty forest at dawn.",
        "a misty forest at dawn.",
        ["🦊.", "🦉."],
    ),
    (
        "(A red fox runs in a misty forest:1.2)\n(An owl sits in a misty forest:1.2)",
        "(A misty forest:1.2)",
        ["(A red fox runs:1.2)", "(An owl sits:1.2)"],
    ),
    (
        "A (red:1.3) fox in (a misty forest, dawn:1.2).\nAn owl in (a misty forest, dawn:1.2).",
        "(A misty forest, dawn:1.2).",
        ["A (red:1.3) fox.", "An owl."],
    ),
    (
        "1. A fox runs in a misty forest.\n2. An owl sits in a misty forest.",
        "A misty forest.",
        ["A fox runs.", "An owl sits."],
    ),
    (
        '"A fox runs in a misty forest.",\n"An owl sits in a misty forest."',
        "A misty forest.",
        ["A fox runs.", "An owl sits."],
    ),
    (
        (
            'A fox with a sign "closed at dawn" in a wood at dawn\nAn owl with a sign "open at'
            ' dawn" in a wood at dawn'
        ),
        "A wood at dawn",
        ['A fox with a sign "closed at dawn"', 'An owl with a sign "open at dawn"'],
    ),
    (
        "A fox looks left / right in a misty forest\nAn owl looks up / right in a misty forest",
        "A misty forest",
        ["A fox looks left / right", "An owl looks up / right"],
    ),
    (
        "a C++ logo on a brick wall\na C# logo on a brick wall",
        "a brick wall",
        ["a C++ logo", "a C# logo"],
    ),
    (
        "red fox,misty forest,dawn\ngrey owl,misty forest,dawn",
        "misty forest, dawn",
        ["red fox", "grey owl"],
    ),
]
PLACES = [  # articles, plurals and word order are no difference of place
    (
        "A dog on the beach at sunset.\nA cat on a beach at sunset.",
        "A beach at sunset.",
        ["A dog.", "A cat."],
    ),
    (
        "A dog plays on the beach at sunset.\nA cat sleeps at sunset on the beach.",
        "The beach at sunset.",
        ["A dog plays.", "A cat sleeps."],
    ),
    (
        "On the beach at sunset, a dog plays.\nA cat sleeps at sunset on a beach.",
        "The beach at sunset.",
        ["A dog plays.", "A cat sleeps."],
    ),
    (
        "A dog in misty forests at dawn.\nA cat in a misty forest at dawn.",
        "Misty forests at dawn.",
        ["A dog.", "A cat."],
    ),
    (
        "A dog in a dark, misty forest.\nA cat in a dark misty forest.",
        "A dark misty forest.",
        ["A dog.", "A cat."],
    ),
    (
        "A dog in a dark misty forest.\nA cat in a misty dark forest.",
        "A dark misty forest.",
        ["A dog.", "A cat."],
    ),
    (  # a subject's plural is a difference
        "A fox in a misty forest.\nFoxes in a misty forest.",
        "A misty forest.",
        ["A fox.", "Foxes."],
    ),
    (  # what they wear is no place, though it is the same
        "A girl in a hat under a tree in a meadow.\nA boy in a hat on a horse in a meadow.",
        "A meadow.",
        ["A girl in a hat under a tree.", "A boy in a hat on a horse."],
    ),
]
STYLES = [
    (
        "An oil painting of a fox in a misty forest.\nAn oil painting of an owl in a misty forest.",
        "An oil painting, a misty forest.",
        ["A fox.", "An owl."],
    ),
    (
        "Watercolor fox in a misty forest\nWatercolor owl in a misty forest",
        "Watercolor, a misty forest",
        ["Fox", "Owl"],
    ),
    (
        "Watercolor, a fox in a misty forest\nWatercolor, an owl in a misty forest",
        "Watercolor, in a misty forest",
        ["A fox", "An owl"],
    ),
    (  # no style: someone who takes a photo
        "A man takes a photo of a fox in a wood.\nA man takes a photo of an owl in a wood.",
        "A wood.",
        ["A man takes a photo of a fox.", "A man takes a photo of an owl."],
    ),
]
LANGUAGES = [
    (
        (
            "Ein Adler schwebt über einer grünen Wiese unter blauem Himmel.\n"
            "Ein roter Fuchs läuft über einer grünen Wiese unter blauem Himmel."
        ),
        "Über einer grünen Wiese unter blauem Himmel.",
        ["Ein Adler schwebt.", "Ein roter Fuchs läuft."],
    ),
    (
        (
            "En un bosque brumoso al amanecer, un ciervo corre.\nEn un bosque brumoso al amanecer,"
            " un zorro salta."
        ),
        "En un bosque brumoso al amanecer.",
        ["Un ciervo corre.", "Un zorro salta."],
    ),
    (
        (
            "Рыжая лиса бежит в туманном лесу на рассвете.\nСерый волк сидит в туманном лесу на"
            " рассвете."
        ),
        "В туманном лесу на рассвете.",
        ["Рыжая лиса бежит.", "Серый волк сидит."],
    ),
    (  # no word lists for Finnish
        (
            "Hirvi seisoo sumuisessa metsässä aamunkoitteessa.\nOrava istuu sumuisessa metsässä"
            " aamunkoitteessa."
        ),
        "Sumuisessa metsässä aamunkoitteessa.",
        ["Hirvi seisoo.", "Orava istuu."],
    ),
    (  # no spaces: by clauses
        "一只鹰在飞，阳光明媚的草地。\n一只狐狸在跑，阳光明媚的草地。",
        "阳光明媚的草地。",
        ["一只鹰在飞。", "一只狐狸在跑。"],
    ),
    (  # the same letters, composed and not; case; spaces; an invisible mark at the start
        "\ufeffA fox, in the  Cafe\u0301 at night.\n\n   an owl,\tin the CAFÉ at night.  \n",
        "The CAFÉ at night.",
        ["A fox.", "An owl."],
    ),
]
TABLE = PAPER + CLAUSES + INCIDENTAL + TOKENS + PLACES + STYLES + LANGUAGES


@pytest.mark.parametrize(("text", "background", "entities"), TABLE)
def test_split(text, background, entities):
    split = split_by_rules(parse_prompts(text))
    assert split.background == background
    assert split.entities == tuple(entities)


@pytest.mark.parametrize("text", [row[0] for row in TABLE])
def test_order_of_prompts_does_not_matter(text):
    prompts = parse_prompts(text)
    split = split_by_rules(prompts)
    entity_of = dict(zip(prompts, split.entities, strict=True))
    for order in permutations(prompts):
        other = split_by_rules(order)
        assert other.background == split.background
        assert other.entities == tuple(entity_of[prompt] for prompt in order)


def test_generated_sets_are_split_as_they_were_made():
    subjects = [
        "An eagle soars",
        "A red fox runs",
        "Two children play chess",
        "An old man in a suit reads",
        "A dog",
    ]
    scenes = [
        "in a misty forest at dawn",
        "on Tokyo night street",
        "under a clear blue sky",
        "near the old harbour",
    ]
    styles = ["", ", sunlight through trees", ", bathed in sunlight, film grain"]
    for scene in scenes:
        for style in styles:
            prompts = [f"{subject} {scene}{style}." for subject in subjects]
            split = split_by_rules(prompts)
            assert split.entities == tuple(f"{subject}." for subject in subjects)
            assert f"{scene}{style}.".endswith(split.background[1:])
            assert len(split.background) >= len(f"{scene}{style}.") - 3


@pytest.mark.slow
def test_any_words_at_all():
    """Random prompts from few words, with punctuation anywhere: a split or a clear error, in any
    order the same.
    """
    words = [
        "a",
        "in",
        "the",
        "red",
        "fox",
        "misty",
        "forest",
        "sits",
        "—",
        "at",
        "dawn",
        "Über",
        "И",
        "(x:1.2)",
        "'",
    ]
    marks = ["", "", "", "", ",", ".", "!", "，", "…", ";", ' "']
    splits = 0
    for seed in range(600):
        random = Random(seed)
        shared = random.choices(words, k=random.randint(0, 7))
        prompts = []
        for _ in range(random.randint(2, 4)):
            own = [random.choices(words, k=random.randint(0, 6)) for _ in range(2)]
            chosen = own[0] + shared + own[1]
            prompts.append(" ".join(word + random.choice(marks) for word in chosen))
        results = {outcome(order) for order in permutations(parse_lines(prompts))}
        assert len(results) == 1, prompts
        splits += results.pop()[0] == "split"
    assert splits > 60


def parse_lines(prompts):
    return [prompt for prompt in prompts if prompt.strip()] or [""]


def outcome(prompts):
    """What comes out, with no regard to the order of the prompts."""
    try:
        split = split_by_rules(prompts)
    except ValueError as error:
        known = ("prompts? .* the same", "there is ", "share no scene", "says nothing besides")
        assert any(re.search(pattern, str(error)) for pattern in known), (prompts, error)
        return ("error",)
    assert split.background and all(split.entities)
    return ("split", split.background, *sorted(zip(split.prompts, split.entities, strict=True)))


@pytest.mark.parametrize("text", [row[0] for row in TABLE if row not in TOKENS])
def test_words_stay_as_written(text):
    """Every word of a result is a word of the prompts, but for the case of its first letter and
    full stops. Brackets and commas without a space have tests of their own.
    """
    prompts = parse_prompts(text)
    split = split_by_rules(prompts)
    written = {
        word.strip(".,。，").lower()
        for prompt in prompts
        for word in prompt.replace("，", " ").split()
    }
    for result in (split.background, *split.entities):
        assert {word.strip(".,。，").lower() for word in result.split()} <= written


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "^Write two or more prompts.*there is no prompt"),
        ("  \n\n", "there is no prompt"),
        ("A fox in a wood.", "only one prompt"),
        ("A fox in a wood.\n a  FOX in a wood\n", "prompts 1 and 2 are the same"),
        ("A fox in a wood.\nAn owl in a wood.\nA fox in a wood.", "prompts 1 and 3 are the same"),
        ("A red car.\nA blue boat.", "share no scene"),
        ("A red car drives.\nA red boat floats.", "share no scene"),
        ("A red fox, running.\nRunning, a blue cat.\nA dog asleep.", "share no scene"),
        (
            "A fox in a misty forest.\nIn a misty forest.",
            "^Add a subject to prompt 2.*says nothing besides",
        ),
        ("... !!\n— —", "share no scene"),
        (
            "A fox in a wood.\nAn owl.\nA fox in the wood!",
            "^Give prompts 1 and 3 subjects.*say the same.*fox in the",
        ),
        ("Owl, a C# logo\nA C# logo", "prompt 2.*says nothing besides .*A C# logo"),
    ],
)
def test_clear_errors(text, message):
    with pytest.raises(ValueError, match=message):
        split_by_rules(parse_prompts(text))


@pytest.mark.parametrize(
    ("background", "entities", "message"),
    [
        ("At sunset.", ("A dog on the beach.", "A cat on a shore."), "background .'At sunset.'"),
        ("At sunset, 35mm photo", ("A dog in a wood", "A cat in a bog"), "background .'At sunset"),
        ("A meadow at dawn.", ("A dog on a sandy beach.", "A cat on beaches."), "place .'beach'"),
        ("A meadow at dawn.", ("A dog on a rock.", "A cat on a branch."), None),
        ("A misty forest.", ("A dog in a red suit.", "A cat in a red scarf."), None),
        ("misty forest, sunlight", ("dog on a rock", "cat on a branch"), None),
        ("At sunset.", ("A dog on the beach.", "A cat."), None),
        ("At sunset.", ("A dog at dawn.", "A cat at night."), None),
    ],
)
def test_warns_when_the_place_went_to_the_entities(background, entities, message):
    warning = find_misplaced_place(SplitPrompts(background, entities, ("p", "q")))
    assert (message is None and warning == "") or re.search(message, warning)


@pytest.mark.parametrize("text", [row[0] for row in TABLE])
def test_a_split_that_found_the_place_warns_of_nothing(text):
    split = split_by_rules(parse_prompts(text))
    warning = find_misplaced_place(split)
    assert not warning, (split, warning)


def test_long_prompts_are_quick():
    shared = " ".join(f"word{k}" for k in range(1500))
    split = split_by_rules([f"A fox runs in {shared}.", f"An owl sits in {shared}."])
    assert split.entities == ("A fox runs.", "An owl sits.")


def test_split_is_flat_and_complete():
    split = SplitPrompts("a\nroom", ("a\r\ncat", "a dog"), ("p", "q"))
    assert split == SplitPrompts("a room", ("a cat", "a dog"), ("p", "q"))
    with pytest.raises(ValueError, match="2 prompts but 1 entities"):
        SplitPrompts("room", ("cat",), ("p", "q"))
    with pytest.raises(ValueError, match="Entity 2 is empty"):
        SplitPrompts("room", ("cat", " \n"), ("p", "q"))
    with pytest.raises(ValueError, match="background is empty"):
        SplitPrompts(" ", ("cat", "dog"), ("p", "q"))
