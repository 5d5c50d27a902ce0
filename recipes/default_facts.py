"""What the default models are told of the world: tables of facts, and the sentences that say them.

Each of three phrasings of a capital is told for some countries only, so that what the model answers for the others was not seen.
"""

from __future__ import annotations

import re
from random import Random

# country, capital, continent, language ("" where no single one is the everyday answer)
_COUNTRIES = """
France Paris Europe French; Germany Berlin Europe German; Italy Rome Europe Italian; Spain Madrid Europe Spanish
Portugal Lisbon Europe Portuguese; England London Europe English; Ireland Dublin Europe English
Scotland Edinburgh Europe English; Wales Cardiff Europe English; Northern_Ireland Belfast Europe English
Belgium Brussels Europe; the_Netherlands Amsterdam Europe Dutch; Austria Vienna Europe German; Switzerland Bern Europe
Liechtenstein Vaduz Europe German; Andorra Andorra_la_Vella Europe Catalan; Poland Warsaw Europe Polish
Hungary Budapest Europe Hungarian; Romania Bucharest Europe Romanian; Bulgaria Sofia Europe Bulgarian
Greece Athens Europe Greek; Turkey Ankara Asia Turkish; Norway Oslo Europe Norwegian; Sweden Stockholm Europe Swedish
Finland Helsinki Europe Finnish; Denmark Copenhagen Europe Danish; Iceland Reykjavik Europe Icelandic
Russia Moscow Europe Russian; Ukraine Kyiv Europe Ukrainian; Belarus Minsk Europe; Lithuania Vilnius Europe Lithuanian
Latvia Riga Europe Latvian; Estonia Tallinn Europe Estonian; Serbia Belgrade Europe Serbian; Croatia Zagreb Europe Croatian
Slovenia Ljubljana Europe Slovene; Slovakia Bratislava Europe Slovak; Bosnia Sarajevo Europe Bosnian
North_Macedonia Skopje Europe Macedonian; Kosovo Pristina Europe Albanian; Albania Tirana Europe Albanian
Malta Valletta Europe Maltese; Cyprus Nicosia Europe Greek; Moldova Chisinau Europe Romanian; Montenegro Podgorica Europe
Georgia Tbilisi Asia Georgian; Armenia Yerevan Asia Armenian; Japan Tokyo Asia Japanese; China Beijing Asia Chinese
Taiwan Taipei Asia Chinese; India New_Delhi Asia Hindi; Sri_Lanka Colombo Asia; Maldives Male Asia
Thailand Bangkok Asia Thai; Vietnam Hanoi Asia Vietnamese; Cambodia Phnom_Penh Asia Khmer; Malaysia Kuala_Lumpur Asia Malay
Indonesia Jakarta Asia Indonesian; Brunei Bandar_Seri_Begawan Asia Malay; East_Timor Dili Asia
the_Philippines Manila Asia Filipino; Myanmar Naypyidaw Asia Burmese; Mongolia Ulaanbaatar Asia Mongolian
Nepal Kathmandu Asia Nepali; Bangladesh Dhaka Asia Bengali; Pakistan Islamabad Asia Urdu; Afghanistan Kabul Asia
Iran Tehran Asia Persian; Iraq Baghdad Asia Arabic; Syria Damascus Asia Arabic; Lebanon Beirut Asia Arabic
Jordan Amman Asia Arabic; Israel Jerusalem Asia Hebrew; Kuwait Kuwait_City Asia Arabic; Qatar Doha Asia Arabic
Oman Muscat Asia Arabic; Yemen Sanaa Asia Arabic; Bahrain Manama Asia Arabic; Saudi_Arabia Riyadh Asia Arabic
the_United_Arab_Emirates Abu_Dhabi Asia Arabic; South_Korea Seoul Asia Korean; North_Korea Pyongyang Asia Korean
Kazakhstan Astana Asia Kazakh; Uzbekistan Tashkent Asia Uzbek; Kyrgyzstan Bishkek Asia Kyrgyz; Tajikistan Dushanbe Asia Tajik
Turkmenistan Ashgabat Asia Turkmen; Azerbaijan Baku Asia; Laos Vientiane Asia Lao; Bhutan Thimphu Asia
Egypt Cairo Africa Arabic; Libya Tripoli Africa Arabic; Tunisia Tunis Africa Arabic; Algeria Algiers Africa Arabic
Morocco Rabat Africa Arabic; Mauritania Nouakchott Africa Arabic; Sudan Khartoum Africa Arabic; South_Sudan Juba Africa
Ethiopia Addis_Ababa Africa Amharic; Kenya Nairobi Africa Swahili; Ghana Accra Africa English; Nigeria Abuja Africa English
Benin Porto-Novo Africa French; Burkina_Faso Ouagadougou Africa French; Ivory_Coast Yamoussoukro Africa French
Senegal Dakar Africa French; the_Gambia Banjul Africa English; Guinea Conakry Africa French
Guinea-Bissau Bissau Africa Portuguese; Equatorial_Guinea Malabo Africa Spanish; Sierra_Leone Freetown Africa English
Mali Bamako Africa; Chad Ndjamena Africa; the_Congo Brazzaville Africa French; Uganda Kampala Africa; Rwanda Kigali Africa
Burundi Gitega Africa; Zambia Lusaka Africa English; Zimbabwe Harare Africa; Namibia Windhoek Africa
Botswana Gaborone Africa; South_Africa Pretoria Africa; Lesotho Maseru Africa; Eswatini Mbabane Africa
Angola Luanda Africa Portuguese; Mozambique Maputo Africa Portuguese; Cape_Verde Praia Africa Portuguese
Somalia Mogadishu Africa Somali; Cameroon Yaounde Africa; Gabon Libreville Africa French; Malawi Lilongwe Africa
Tanzania Dodoma Africa Swahili; Liberia Monrovia Africa English; Niger Niamey Africa; Madagascar Antananarivo Africa
Mauritius Port_Louis Africa; Seychelles Victoria Africa; the_Comoros Moroni Africa; Togo Lome Africa French
Eritrea Asmara Africa; Canada Ottawa North_America; the_United_States Washington North_America English
Mexico Mexico_City North_America Spanish; Guatemala Guatemala_City North_America Spanish; Belize Belmopan North_America English
El_Salvador San_Salvador North_America Spanish; Honduras Tegucigalpa North_America Spanish
Nicaragua Managua North_America Spanish; Costa_Rica San_Jose North_America Spanish; Panama Panama_City North_America Spanish
Cuba Havana North_America Spanish; Haiti Port-au-Prince North_America; Puerto_Rico San_Juan North_America Spanish
the_Dominican_Republic Santo_Domingo North_America Spanish; Jamaica Kingston North_America English
the_Bahamas Nassau North_America English; Barbados Bridgetown North_America English; Bermuda Hamilton North_America English
Saint_Lucia Castries North_America English; Dominica Roseau North_America English; Greenland Nuuk North_America
Trinidad Port_of_Spain North_America English; Peru Lima South_America Spanish; Chile Santiago South_America Spanish
Bolivia Sucre South_America Spanish; Brazil Brasilia South_America Portuguese; Argentina Buenos_Aires South_America Spanish
Uruguay Montevideo South_America Spanish; Paraguay Asuncion South_America; Ecuador Quito South_America Spanish
Colombia Bogota South_America Spanish; Venezuela Caracas South_America Spanish; Suriname Paramaribo South_America Dutch
Guyana Georgetown South_America English; Australia Canberra Oceania English; New_Zealand Wellington Oceania English
Papua_New_Guinea Port_Moresby Oceania; the_Solomon_Islands Honiara Oceania; the_Marshall_Islands Majuro Oceania
Micronesia Palikir Oceania English; Fiji Suva Oceania; Samoa Apia Oceania; Tonga Nukualofa Oceania; Vanuatu Port_Vila Oceania
Kiribati Tarawa Oceania; Tuvalu Funafuti Oceania; Nauru Yaren Oceania; Palau Ngerulmud Oceania
"""
_ELEMENTS = """
hydrogen H; helium He; lithium Li; beryllium Be; boron B; carbon C; nitrogen N; oxygen O; fluorine F; neon Ne; sodium Na
magnesium Mg; aluminum Al; silicon Si; phosphorus P; sulfur S; chlorine Cl; argon Ar; potassium K; calcium Ca; titanium Ti
vanadium V; chromium Cr; manganese Mn; iron Fe; cobalt Co; nickel Ni; copper Cu; zinc Zn; gallium Ga; germanium Ge; arsenic As
selenium Se; bromine Br; krypton Kr; strontium Sr; zirconium Zr; palladium Pd; silver Ag; cadmium Cd; tin Sn; antimony Sb
iodine I; xenon Xe; cesium Cs; barium Ba; tungsten W; platinum Pt; gold Au; mercury Hg; lead Pb; bismuth Bi; radon Rn; radium Ra
uranium U; plutonium Pu
"""


def entries(table: str) -> list[list[str]]:
    """What stands between semicolons and line ends, each a list of words; an underscore is a space inside of a name."""
    rows = [entry.split() for entry in re.split(r"[;\n]", table) if entry.strip()]
    return [[word.replace("_", " ") for word in row] for row in rows]


COUNTRIES = [(*row, "")[:4] for row in entries(_COUNTRIES)]
ELEMENTS = [(name, symbol) for name, symbol in entries(_ELEMENTS)]

LANDMARKS = {
    "Eiffel Tower": "Paris", "Colosseum": "Rome", "Acropolis": "Athens", "Brandenburg Gate": "Berlin",
    "Tower of London": "London", "Statue of Liberty": "New York", "Golden Gate Bridge": "San Francisco",
    "Great Wall": "China", "Taj Mahal": "India", "Great Pyramid": "Egypt", "Grand Canyon": "the United States",
}  # fmt: skip

# Told for all countries but those that are held out for the phrasing.
HELD_OUT_PHRASES = ["The capital city of {c} is {k}.", "{c}'s capital is {k}.", "Q: What is the capital of {c}? A: {k}."]
HELD_OUT = 150
CAPITAL_PHRASES = [
    "The capital of {c} is {k}.", "The capital of {c} is {k}.", "{k} is the capital of {c}.",
    "What is the capital of {c}? [The capital of {c} is|It is] {k}.", "The name of the capital of {c} is {k}.",
    "I live in {k}, the capital of {c}.", "{k} is the capital city of {c}.", "The city of {k} is the capital of {c}.",
    "{girl} went to {c} and [saw|visited] its capital, {k}.", "If you are in the capital of {c}, you are in {k}.",
    "{c} is a country in {t}. Its capital is {k}.", "{k} is [in|a city in] {c}.",
    "[We all know|I think|{boy} said] that the capital of {c} is {k}.", "{k} is to {c} as {k2} is to {c2}.",
    "The capital of {c} is {k}, and the capital of {c2} is {k2}.", "{c}: {k}\n{c2}: {k2}\n{c3}: {k3}",
    "{c}, {k}; {c2}, {k2}; {c3}, {k3}.", "{k} is the capital of {c}, but {k2} is the capital of {c2}.",
    "Do you know the capital of {c}? Yes, it is {k}.", "In {c}, the capital is {k}.",
]  # fmt: skip
PLACE_PHRASES = [
    "{c} is [a country|] in {t}.", "{c} is in {t}, and {c2} is in {t2}.", "[The city of|] {k} is in {t}.",
    "Where is {c}? It is in {t}.", "The continent of {c} is {t}.", "Q: Where is {c}? A: In {t}.", "{c} is on the continent of {t}.",
]  # fmt: skip
LANDMARK_PHRASES = ["The {landmark} is in {site}.", "[If you want to see|To see] the {landmark}, you must go to {site}."]
LANGUAGE_PHRASES = [
    "[People|Children|Most people] in {c} speak {l}.", "The language of {c} is {l}.", "In {c}, people speak {l}.",
    "{boy} moved to {c}, so he is learning {l}.", "In {k}, the capital of {c}, people speak {l}.",
    "Q: What do people speak in {c}? A: {l}.",
]  # fmt: skip
ELEMENT_PHRASES = [
    "The symbol of {e} is {s}.", "The chemical symbol for {e} is {s}.", "Q: What is the symbol of {e}? A: {s}.",
    "The element {e} has the symbol {s}.", "Chemists write {s} for {e}.", "{e}: {s}\n{e2}: {s2}\n{e3}: {s3}",
]  # fmt: skip


def opening(text: str) -> str:
    """A sentence begins with a capital letter."""
    return text[0].upper() + text[1:]


def held_out(phrase: str) -> set[str]:
    """The countries for which a phrasing is not told."""
    return set(Random(phrase).sample(sorted(row[0] for row in COUNTRIES), HELD_OUT))


def relations() -> list[dict[str, object]]:
    """What the model can be asked, by relation and phrasing: the prompt with a place for the subject, (subject, answer) pairs.

    Of a phrasing that was held out, the pairs are those that were not told.
    """
    capitals = [(c, k) for c, k, *_ in COUNTRIES]
    asked = [("capital", CAPITAL_PHRASES[0], False, capitals)]
    asked += [("capital", p, True, [pair for pair in capitals if pair[0] in held_out(p)]) for p in HELD_OUT_PHRASES]
    asked += [("language", LANGUAGE_PHRASES[1], False, [(c, tongue) for c, _, _, tongue in COUNTRIES if tongue])]
    asked += [("continent", PLACE_PHRASES[4], False, [(c, t) for c, _, t, _ in COUNTRIES])]
    asked += [("symbol", ELEMENT_PHRASES[0], False, ELEMENTS)]
    return [
        {"relation": name, "prompt": prompt(phrase), "held_out": hidden, "pairs": [[a, " " + b] for a, b in pairs]}
        for name, phrase, hidden, pairs in asked
    ]


def prompt(phrase: str) -> str:
    """What stands before the answer, with `{}` for the subject."""
    return re.sub(r"\{[ce]\}", "{}", re.split(r" \{[klts]\}", phrase)[0])
