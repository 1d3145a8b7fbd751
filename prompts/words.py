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

# Words that cannot end a phrase: what follows them was cut off.
ARTICLES = frozenset(
    """
    a an the this that these those its his her their some
    ein eine einen einem einer eines der das dem den
    un une le la les des
    una unos unas el los las
    uno il lo gli
    um uma
    """.split()
)
LINKS = frozenset(
    """
    of with and or but from to for by und oder mit von et ou avec de du y o con e di com и или с
    """.split()
)
DANGLING = PLACE_WORDS | ARTICLES | LINKS

# Conjunctions that cannot begin an entity text.
CONJUNCTIONS = frozenset("and or but while und oder während et ou y e и".split())

# "In a misty forest" alone reads better as "A misty forest". English only: other languages decline
# what follows.
STRIPPED_AT_START = frozenset("in on inside within".split())
STRIPPED_BEFORE_ARTICLE = frozenset(["at"])  # "at the beach", but not "at dawn"
