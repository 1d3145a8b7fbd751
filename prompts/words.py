"""Small word lists, by language, that help `rules` to cut phrases where people would.

They are evidence, not a grammar: without them (any other language) only length and punctuation
decide. English, German, French, Spanish, Italian, Portuguese and Russian are covered; a word whose
meaning differs too much between these languages is left out.
"""

# Words that open a place, a time or a light: a scene begins here.
PLACE_WORDS = frozenset(
    """
    in on at inside within under beneath below above over across along amid among amidst between
    beside behind around near outside through throughout against beyond upon underneath
    im am auf unter über vor hinter neben zwischen bei beim
    dans sur sous devant derrière entre parmi
    en sobre bajo ante tras al
    nel nello nella sul sullo sulla sotto tra fra presso
    em nos nas sob num numa
    в во на под над у за перед среди между около возле
    """.split()
)

# Articles that make no difference: "on a beach" is "on the beach".
ARTICLES = frozenset(
    """
    a an the
    ein eine einen einem einer eines der das dem den
    un une le la les des
    una unos unas el los las
    uno il lo gli
    um uma
    """.split()
)
DETERMINERS = frozenset("this that these those its his her their some".split())
LINKS = frozenset(
    """
    of with and or but from to for by und oder mit von et ou avec de du y o con e di com и или с
    & +
    """.split()
)
# Words that cannot end a phrase: what follows them was cut off.
DANGLING = PLACE_WORDS | ARTICLES | DETERMINERS | LINKS

# Conjunctions that cannot begin an entity text.
CONJUNCTIONS = frozenset("and or but while und oder während et ou y e и & +".split())

# "In a misty forest" alone reads better as "A misty forest". English only: other languages decline
# what follows.
STRIPPED_AT_START = frozenset("in on inside within".split())
STRIPPED_BEFORE_ARTICLE = frozenset(["at"])  # "at the beach", but not "at dawn"

# Kinds of pictures. "A photo of" in front of every subject is the background's.
STYLE_NOUNS = frozenset(
    """
    photo photograph picture image painting illustration drawing sketch portrait render rendering
    watercolor watercolour screenshot shot still close-up closeup poster print engraving etching
    woodcut cartoon comic artwork art style collage mosaic sculpture
    foto gemälde zeichnung aquarell bild peinture dessin aquarelle pintura dibujo acuarela
    ilustración dipinto disegno acquerello desenho aquarela ilustração
    """.split()
)
STYLE_LINKS = frozenset("of von de di du".split())
# These name the style before a subject too: "watercolor fox".
STYLE_ADJECTIVES = frozenset(
    "watercolor watercolour anime manga cinematic photorealistic hyperrealistic style".split()
)

# Words of time, light and quality: a background of these alone has no place in it.
TIME_AND_LIGHT = frozenset(
    """
    dawn dusk sunset sunrise noon midday midnight night nighttime day daytime daylight morning
    afternoon evening twilight hour time golden blue spring summer autumn fall winter
    sun sunlight sunshine sunlit moonlight light lights lighting lit bathed backlit soft warm cool
    bright dark dramatic natural beautiful cinematic studio shadow shadows haze mood atmosphere
    detailed highly quality high best masterpiece sharp focus depth field bokeh film grain 35mm 4k
    8k hd uhd realistic photorealistic hyperrealistic professional photography during
    """.split()
)


def make_singular(key: str) -> str:
    """An English, French or Spanish word without the ending of its plural, as far as rules go."""
    if len(key) <= 3 or key in DANGLING or key.endswith(("ss", "us", "is")):
        return key
    if key.endswith("ies"):
        return key[:-3] + "y"
    if key.endswith(("ches", "shes", "xes", "sses")):
        return key[:-2]
    return key.removesuffix("s")
