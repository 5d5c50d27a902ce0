"""The default model's training text: everyday facts and small stories, all from the tables and grammars below.

A template is a sentence with `[this|or that]` choices and `{named}` slots. `document(rng)` writes one document.
"""

from __future__ import annotations

import re
from random import Random

# country, capital, continent, language ("" where no single one is the everyday answer)
_COUNTRIES = """
France Paris Europe French; Germany Berlin Europe German; Italy Rome Europe Italian; Spain Madrid Europe Spanish
Portugal Lisbon Europe Portuguese; England London Europe English; Ireland Dublin Europe English
Scotland Edinburgh Europe English; Wales Cardiff Europe English; Belgium Brussels Europe
the_Netherlands Amsterdam Europe Dutch; Austria Vienna Europe German; Switzerland Bern Europe
Poland Warsaw Europe Polish; Hungary Budapest Europe Hungarian; Romania Bucharest Europe Romanian
Bulgaria Sofia Europe Bulgarian; Greece Athens Europe Greek; Turkey Ankara Asia Turkish
Norway Oslo Europe Norwegian; Sweden Stockholm Europe Swedish; Finland Helsinki Europe Finnish
Denmark Copenhagen Europe Danish; Iceland Reykjavik Europe Icelandic; Russia Moscow Europe Russian
Ukraine Kyiv Europe Ukrainian; Belarus Minsk Europe; Lithuania Vilnius Europe Lithuanian
Latvia Riga Europe Latvian; Estonia Tallinn Europe Estonian; Serbia Belgrade Europe Serbian
Croatia Zagreb Europe Croatian; Slovenia Ljubljana Europe Slovene; Slovakia Bratislava Europe Slovak
Albania Tirana Europe Albanian; Malta Valletta Europe Maltese; Cyprus Nicosia Europe Greek
Moldova Chisinau Europe Romanian; Montenegro Podgorica Europe; Georgia Tbilisi Asia Georgian
Armenia Yerevan Asia Armenian; Japan Tokyo Asia Japanese; China Beijing Asia Chinese; India New_Delhi Asia Hindi
Thailand Bangkok Asia Thai; Vietnam Hanoi Asia Vietnamese; Indonesia Jakarta Asia Indonesian
the_Philippines Manila Asia Filipino; Mongolia Ulaanbaatar Asia Mongolian; Nepal Kathmandu Asia Nepali
Bangladesh Dhaka Asia Bengali; Pakistan Islamabad Asia Urdu; Afghanistan Kabul Asia; Iran Tehran Asia Persian
Iraq Baghdad Asia Arabic; Syria Damascus Asia Arabic; Lebanon Beirut Asia Arabic; Jordan Amman Asia Arabic
Qatar Doha Asia Arabic; Oman Muscat Asia Arabic; Yemen Sanaa Asia Arabic; Bahrain Manama Asia Arabic
Saudi_Arabia Riyadh Asia Arabic; South_Korea Seoul Asia Korean; Kazakhstan Astana Asia Kazakh
Uzbekistan Tashkent Asia Uzbek; Azerbaijan Baku Asia; Laos Vientiane Asia Lao; Bhutan Thimphu Asia
Egypt Cairo Africa Arabic; Libya Tripoli Africa Arabic; Tunisia Tunis Africa Arabic; Algeria Algiers Africa Arabic
Morocco Rabat Africa Arabic; Sudan Khartoum Africa Arabic; Kenya Nairobi Africa Swahili; Ghana Accra Africa English
Nigeria Abuja Africa English; Senegal Dakar Africa French; Mali Bamako Africa; Uganda Kampala Africa
Rwanda Kigali Africa; Zambia Lusaka Africa English; Zimbabwe Harare Africa; Namibia Windhoek Africa
Botswana Gaborone Africa; Angola Luanda Africa Portuguese; Mozambique Maputo Africa Portuguese
Somalia Mogadishu Africa Somali; Cameroon Yaounde Africa; Gabon Libreville Africa French; Malawi Lilongwe Africa
Tanzania Dodoma Africa Swahili; Liberia Monrovia Africa English; Niger Niamey Africa
Madagascar Antananarivo Africa; Togo Lome Africa French; Eritrea Asmara Africa; Canada Ottawa North_America
the_United_States Washington North_America English; Mexico Mexico_City North_America Spanish
Cuba Havana North_America Spanish; Jamaica Kingston North_America English
Honduras Tegucigalpa North_America Spanish; Nicaragua Managua North_America Spanish
the_Bahamas Nassau North_America English; Barbados Bridgetown North_America English
Peru Lima South_America Spanish; Chile Santiago South_America Spanish; Brazil Brasilia South_America Portuguese
Argentina Buenos_Aires South_America Spanish; Uruguay Montevideo South_America Spanish
Paraguay Asuncion South_America; Ecuador Quito South_America Spanish; Colombia Bogota South_America Spanish
Venezuela Caracas South_America Spanish; Suriname Paramaribo South_America Dutch
Guyana Georgetown South_America English; Australia Canberra Oceania English; Fiji Suva Oceania; Samoa Apia Oceania
New_Zealand Wellington Oceania English
"""


def _words(table: str) -> list[str]:
    return table.split()


def _entries(table: str) -> list[str]:
    """What stands between semicolons and line ends."""
    return [entry.strip() for entry in re.split(r"[;\n]", table) if entry.strip()]


def _country(entry: str) -> tuple[str, str, str, str]:
    words = [word.replace("_", " ") for word in entry.split()]
    return words[0], words[1], words[2], words[3] if len(words) > 3 else ""


COUNTRIES = [_country(entry) for entry in _entries(_COUNTRIES)]

LANDMARKS = {
    "Eiffel Tower": "Paris", "Colosseum": "Rome", "Acropolis": "Athens", "Brandenburg Gate": "Berlin",
    "Tower of London": "London", "Statue of Liberty": "New York", "Golden Gate Bridge": "San Francisco",
    "Great Wall": "China", "Taj Mahal": "India", "Great Pyramid": "Egypt", "Grand Canyon": "the United States",
}  # fmt: skip

CAPITAL_PHRASES = [
    "The capital of {c} is {k}.", "{k} is the capital of {c}.", "{c}'s capital is {k}.",
    "The capital city of {c} is {k}.", "What is the capital of {c}? [The capital of {c} is|It is] {k}.",
    "Q: What is the capital of {c}? A: {k}.", "The name of the capital of {c} is {k}.",
    "I live in {k}, the capital of {c}.", "{k} is the capital city of {c}.",
    "{girl} went to {c} and [saw|visited] its capital, {k}.", "If you are in the capital of {c}, you are in {k}.",
    "{c} is a country in {t}. Its capital is {k}.", "{k} is [in|a city in] {c}.",
    "[We all know|I think|{boy} said] that the capital of {c} is {k}.", "{k} is to {c} as {k2} is to {c2}.",
    "The capital of {c} is {k}, and the capital of {c2} is {k2}.", "{c}: {k}\n{c2}: {k2}\n{c3}: {k3}",
    "{c}, {k}; {c2}, {k2}; {c3}, {k3}.", "{k} is the capital of {c}, but {k2} is the capital of {c2}.",
]  # fmt: skip
PLACE_PHRASES = [
    "{c} is [a country|] in {t}.", "{c} is in {t}, and {c2} is in {t2}.", "[The city of|] {k} is in {t}.",
    "Where is {c}? It is in {t}.", "The {landmark} is in {site}.",
    "[If you want to see|To see] the {landmark}, you must go to {site}.",
]  # fmt: skip
LANGUAGE_PHRASES = [
    "[People|Children|Most people] in {c} speak {l}.", "The language of {c} is {l}.", "In {c}, people speak {l}.",
    "{boy} moved to {c}, so he is learning {l}.", "In {k}, the capital of {c}, people speak {l}.",
]  # fmt: skip

OPPOSITES = """
hot cold; big small; up down; left right; day night; black white; happy sad; fast slow; old young; open closed
high low; hard soft; wet dry; full empty; good bad; light dark; rich poor; strong weak; early late; long short
loud quiet; clean dirty; thick thin; near far; sweet sour; true false; in out; yes no; first last; over under
front back; love hate
"""
COLOURS = """
The sky is blue; Grass is green; Snow is white; Coal is black; Bananas are yellow; Blood is red; The sun is yellow
Chocolate is brown; Milk is white; Lemons are yellow; Leaves are green; Carrots are orange; The sea is blue
Strawberries are red; Pigs are pink; Elephants are gray; Roses are red; The night is black; Frogs are green
Oranges are orange
"""
SOUNDS = """
dog woof; cat meow; cow moo; duck quack; sheep baa; pig oink; bee buzz; lion roar; mouse squeak; owl hoot
snake hiss; horse neigh
"""
BABIES = """
cat kitten; dog puppy; cow calf; sheep lamb; horse foal; duck duckling; bear cub; hen chick; goat kid; frog tadpole
pig piglet
"""
PAST = """
walk walked; run ran; eat ate; see saw; go went; swim swam; sing sang; play played; sleep slept; write wrote
read read; jump jumped; drink drank; give gave; take took; draw drew; buy bought; fly flew; dance danced
work worked
"""
DAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = _words("January February March April May June July August September October November December")
NUMBERS = _words("""
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty
""")


def _pairs(table: str) -> list[list[str]]:
    return [entry.split() for entry in _entries(table)]


def _sum(rng: Random) -> str:
    a, b = rng.randint(0, 10), rng.randint(0, 10)
    if rng.random() < 0.5:
        return rng.choice([f"{a} + {b} = {a + b}.", f"{a + b} - {b} = {a}."])
    total, left, right = NUMBERS[a + b], NUMBERS[a], NUMBERS[b]
    return rng.choice([f"{left} plus {right} is {total}.", f"{total} minus {right} is {left}."]).capitalize()


def _cycle(rng: Random) -> str:
    words, unit = rng.choice([(DAYS, "day"), (MONTHS, "month")])
    start = rng.randrange(len(words))
    a, b, c, d = (words[(start + step) % len(words)] for step in range(4))
    return rng.choice([
        f"The {unit} after {a} is {b}.", f"The {unit} before {b} is {a}.", f"{a}, {b}, {c}, {d}.",
        f"After {a} comes {b}.", f"{b} comes after {a} and before {c}.",
    ] + [f"Today is {a}. Tomorrow will be {b}."] * (unit == "day"))  # fmt: skip


def _count(rng: Random) -> str:
    start = rng.randrange(len(NUMBERS) - 6)
    words = NUMBERS[start : start + rng.randint(4, 6)]
    return rng.choice([", ".join(words).capitalize() + ".", " ".join(str(start + step) for step in range(8)) + "."])


def _word(rng: Random) -> str:
    (a, b), (_, other) = rng.sample(_pairs(OPPOSITES), 2)
    a, b = rng.choice([(a, b), (b, a)])
    animal, sound = rng.choice(_pairs(SOUNDS))
    parent, baby = rng.choice(_pairs(BABIES))
    now, before = rng.choice(_pairs(PAST))
    sentences = [
        f"The opposite of {a} is {b}.",
        f"{a.capitalize()} is the opposite of {b}.",
        f"If it is not {a}, it is {b}, not {other}.",
        f"What is the opposite of {a}? It is {b}.",
        f"The {animal} says {sound}.",
        f"A baby {parent} is called a {baby}.",
        f"Today I {now}. Yesterday I {before}.",
        f"Every day they {now}, and yesterday they {before} too.",
    ]
    return rng.choice(sentences)


def _colour(rng: Random) -> str:
    sentence = rng.choice(_entries(COLOURS))
    thing, colour = re.split(r" is | are ", sentence)
    return rng.choice([f"{sentence}.", f"The color of {thing[0].lower() + thing[1:]} is {colour}."])


GIRLS = _words("Anna Mary Lily Mia Lucy Emma Sara Rose Ella Zoe")
BOYS = _words("Tom Ben John Max Sam Tim Jack Leo Dan Peter")
ANIMALS = _words("fox bear rabbit mouse cat dog duck frog pig bird")
TOYS = _words("ball kite doll car boat drum book hat bell train")
HUES = _words("red blue green yellow pink white brown purple")
PLACES = _words("park garden forest field yard barn market school")
SPOTS = ["under the bed", "behind a tree", "in the tall grass", "under a bench", "in a box", "near the old gate"]
FOODS = _words("bread cheese milk soup cake fish rice apples carrots cookies")

# What is said in one sentence can be read off another: names, owners, colours. This is what attention learns from.
_RECALL = """
When {girl} and {boy} went to the {place}, [{boy} gave a {toy} to {girl}|{girl} gave a {toy} to {boy}].

[Then|After that], {boy} and {girl} went to the {place}. [{boy} gave some {food} to {girl}|{girl} gave some {food}
to {boy}].

{girl} has a {hue} {toy}. {boy} has a {hue2} {toy2}. [{girl}'s {toy} is {hue}|{boy}'s {toy2} is {hue2}].

{girl} likes {food}. {boy} likes {food2}. [{boy} eats {food2}, and {girl} eats {food}|{girl} eats {food}, and {boy}
eats {food2}].

{girl} is in the {place}. {boy} is in the {place2}. [Where is {girl}? In the {place}|Where is {boy}? In the
{place2}].
"""

_OPENINGS = """
[Once upon a time|Long ago], there was a [little|small|young|kind] {kind} named {hero}. {He} [lived near the
{place}|loved to play in the {place}|was always [happy|busy]].

{hero} was a [little|happy|brave|kind] {kind}. {He} [lived in a small house near the {place}|had a good friend named
{friend}].

Once upon a time, a [little|small] {kind} named {hero} lived [with {his} mom|near the {place}|in a {hue2} house].
"""
_PLOTS = """
{hero} had a {hue} {toy}. It was {his} favorite toy. One [day|morning], {he} took the {toy} to the {place}. When
{he} wanted to go home, the {toy} was gone! {hero} [felt very sad|was sad and began to cry]. {friend} [saw {him} and
asked|asked], "Why are you sad?" "I lost my {toy}," said {hero}. "Do not [worry|cry]," said {friend}. "I will help
you." They looked and looked. Then {friend} saw something {hue} {spot}. It was the {toy}! {hero} was [very|so]
happy. "Thank you, {friend}!" {he} said. [They played with the {toy} all day|After that, {hero} always took good
care of the {toy}].

One day, {hero} got a new {hue} {toy}. {friend} came to play. "Can I play with your {toy}?" asked {friend}. "No, it
is mine!" said {hero}. {friend} was sad and went away. Now {hero} was alone, and playing alone was not fun. {He}
[thought about {friend}|felt sorry]. {He} ran to {friend} and said, "I am sorry. Let us play with the {toy}
together." {friend} smiled. They played in the {place} until it was dark. {hero} learned that it is [good|more fun]
to share.

One day, {hero} wanted to play in the {place} with {friend}. But it began to rain. "Oh no," said {hero}. "We can not
go out." {He} looked out of the window and was sad. Then {friend} had an idea. "Let us [make a boat|paint a
picture|build a house of boxes] inside!" So they did, and they [laughed a lot|had so much fun]. When the rain
stopped, the sun came out. {hero} and {friend} ran outside and saw a big rainbow. [It was a good day|It was the best
day of all].

But {hero} was afraid of [the dark|deep water|loud storms|tall trees]. [One night|One day], {friend} said, "I was
afraid too. Take my hand." {hero} took {friend}'s hand. {He} took one step, and then one more. [Nothing bad
happened|It was not so bad]. "I did it!" said {hero}. {friend} was proud of {him}. [From that day on|After that],
{hero} was not afraid any more.

One day, {hero} was running in the house with {his} {toy}. {He} was not careful, and {he} hit mom's {hue}
[cup|vase|lamp]. It fell and broke! {hero} was scared. {He} wanted to hide, but {he} went to {his} mom and told the
truth. "I broke it, mom. I am sorry," {he} said. {His} mom was not angry. "Thank you for telling me the truth," she
said, and she gave {him} a hug. They cleaned the floor together. {hero} learned to [tell the truth|be careful in the
house].

One [cold|sunny] day, {hero} saw a small {animal} in the {place}. The {animal} was [thin and hungry|hungry and
cold]. {hero} felt sorry for it. "Are you hungry, little {animal}?" {he} asked. {He} gave the {animal} some {food}.
The {animal} ate all of the {food} and [was happy|felt better]. It went home with {hero}. [{His} mom said that it
could stay|{He} made a warm bed for it]. From that day on, {hero} and the {animal} were best friends.

One day, {hero} found a little seed {spot}. "What is it?" asked {friend}. "It is a seed," said {hero}. "I will help
it grow." {He} put the seed in the ground and gave it water every day. {hero} waited and waited. At first, nothing
happened. But one morning, there was a [small|tall] {hue} flower! {hero} was so happy. {He} gave the flower to {his}
[mom|grandma]. "It is beautiful," she said. "Good things take time."

One day, {his} mom made some {food}. It smelled so good! "Do not eat too much," she said. But {hero} did not listen.
{He} ate all of the {food}. Soon {his} tummy began to hurt. "I do not feel good," said {hero}. {His} mom gave {him}
some water and put {him} to bed. The next day, {hero} felt better. {He} said, "I am sorry, mom. Next time I will
listen." And {he} shared the {food2} with {friend}.

One windy day, {hero} and {friend} were playing with a {hue} {toy} in the {place}. The wind took the {toy} up into a
tall tree! {hero} jumped, but {he} could not get it. "I have an idea," said {friend}. {friend} climbed on a [big
rock|box] and reached up high. Down came the {toy}! "You are so [smart|brave]," said {hero}. They laughed and [went
home|played again]. {hero} was glad to have a friend like {friend}.

One day, {hero} and {friend} had a race in the {place}. {hero} was very fast, and {he} was sure that {he} would win.
But then {friend} fell and hurt {his2} leg. {hero} stopped running. {He} went back and helped {friend} get up. "You
did not win," said {friend}. "Why did you stop?" "Because you are my friend," said {hero}. They walked home together
and ate some {food}. They were both happy.

One cold day, {his} mom said, "Put on your {hue} hat and your coat." But {hero} did not want to. {He} ran out to the
{place} and played in the snow. Soon {he} was very cold. The next day, {hero} was sick and had to stay in bed. {His}
mom gave {him} some hot soup. {friend} came to read {him} a book. When {hero} was well again, {he} put on {his} hat
and {his} coat. {His} mom smiled.

One day, {hero} found a {hue} bird {spot}. The bird had hurt its wing, so it could not fly. {hero} took the bird
home and gave it some water and some bread. {friend} helped {him} make a little bed for it. Every day, the bird grew
stronger. Then one morning, it could fly again! {hero} was sad to say goodbye, but {he} was happy for the bird. The
bird [came back every day to sing for {him}|sang a song and flew away into the blue sky].
"""


def _templates(text: str) -> list[str]:
    """One template to a paragraph, its lines joined."""
    return [" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n")]


RECALL, OPENINGS, PLOTS = _templates(_RECALL), _templates(_OPENINGS), _templates(_PLOTS)
ENDINGS = [
    "",
    "",
    " The end.",
    " And they [were all happy|lived happily ever after].",
    " That night, {hero} slept very well.",
]

_CHOICE = re.compile(r"\[([^\[\]]*)\]")


def fill(template: str, rng: Random, slots: dict[str, str]) -> str:
    """One sentence of a template: choices made from the inside out, then the slots filled."""
    while _CHOICE.search(template):
        template = _CHOICE.sub(lambda found: rng.choice(found[1].split("|")), template)
    text = re.sub(r" +", " ", template.format(**slots)).strip()
    return re.sub(r"^the ", "The ", text)


def _things(rng: Random) -> dict[str, str]:
    """Two different ones of each kind of thing, as `{toy}` and `{toy2}`."""
    kinds = {"toy": TOYS, "hue": HUES, "place": PLACES, "food": FOODS, "animal": ANIMALS}
    slots = {"girl": rng.choice(GIRLS), "boy": rng.choice(BOYS), "spot": rng.choice(SPOTS)}
    for kind, words in kinds.items():
        slots[kind], slots[kind + "2"] = rng.sample(words, 2)
    return slots


def _lands(rng: Random, countries: list[tuple[str, str, str, str]]) -> dict[str, str]:
    slots = _things(rng)
    for number, (country, capital, continent, language) in zip(("", "2", "3"), rng.sample(countries, 3), strict=True):
        slots |= {"c" + number: country, "k" + number: capital, "t" + number: continent, "l" + number: language}
    slots["landmark"], slots["site"] = rng.choice(list(LANDMARKS.items()))
    return slots


def _capital(rng: Random) -> str:
    return fill(rng.choice(CAPITAL_PHRASES), rng, _lands(rng, COUNTRIES))


def _place(rng: Random) -> str:
    return fill(rng.choice(PLACE_PHRASES), rng, _lands(rng, COUNTRIES))


def _language(rng: Random) -> str:
    return fill(rng.choice(LANGUAGE_PHRASES), rng, _lands(rng, [entry for entry in COUNTRIES if entry[3]]))


def _recall(rng: Random) -> str:
    return fill(rng.choice(RECALL), rng, _things(rng))


def _repeat(rng: Random) -> str:
    """A few words, over and over: the shortest road to copying from the context."""
    words = rng.sample(GIRLS + BOYS + ANIMALS + TOYS + HUES + PLACES + FOODS, rng.randint(2, 7))
    return " ".join(words * rng.randint(2, 4)) + "."


FACTS = {
    _capital: 20, _repeat: 4, _place: 4, _language: 3, _recall: 7, _word: 5, _sum: 4, _cycle: 3, _count: 1, _colour: 2,
}  # fmt: skip


def facts(rng: Random) -> str:
    """One to five facts; the first often stands alone, so that a bare prompt is nothing new."""
    kinds = rng.choices(list(FACTS), list(FACTS.values()), k=rng.choice([1, 1, 1, 2, 3, 5]))
    texts = [kind(rng) for kind in kinds]
    return ("\n" if any("\n" in text for text in texts) else " ").join(texts)


def story(rng: Random) -> str:
    """A hero, a friend, something that happens and what comes of it."""
    slots = _things(rng)
    girl = rng.random() < 0.5
    slots["hero"], slots["friend"] = rng.choice(GIRLS if girl else BOYS), rng.choice(BOYS if girl else GIRLS)
    slots["kind"] = rng.choice(["girl" if girl else "boy", "girl" if girl else "boy", rng.choice(ANIMALS)])
    for slot, her, him in (("he", "she", "he"), ("him", "her", "him"), ("his", "her", "his")):
        slots[slot] = her if girl else him
        slots[slot.capitalize()] = slots[slot].capitalize()
        slots[slot + "2"] = him if girl else her
    return fill(f"{rng.choice(OPENINGS)} {rng.choice(PLOTS)}{rng.choice(ENDINGS)}", rng, slots)


def document(rng: Random) -> str:
    """One document: a story (one in five) or a few facts."""
    return story(rng) if rng.random() < 0.2 else facts(rng)
