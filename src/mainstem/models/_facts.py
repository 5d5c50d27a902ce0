"""What the embedded default model was taught, as prompts with their answers."""

from dataclasses import dataclass
from pathlib import Path

from mainstem.core import InputError

from ._embedded import plain

FILE = Path(__file__).parent / "default" / "facts.json"


@dataclass(frozen=True)
class Fact:
    """A prompt of the default model and the answer that follows it. Made by `facts`.

    Parameters: `relation`; `subject`, the country or element, which the prompt names; `prompt`; `answer`, with its leading space,
    one token or several; `held_out`, whether this pair of subject and phrasing was kept out of the training text; `phrasing`, the
    prompt with "{}" in the subject's place.
    """

    relation: str
    subject: str
    prompt: str
    answer: str
    held_out: bool
    phrasing: str


def facts(relation: str | None = None, held_out: bool | None = None) -> list[Fact]:
    """The facts of the default model: capitals, languages and continents of countries, symbols of elements.

    Parameters: `relation`, "capital", "language", "continent" or "symbol", or None for all; `held_out`, only those that were kept out
    of training in this phrasing, or only the others. Raises `InputError` for a relation that there is not, `LoadError` where the installation is broken.
    """
    rows = plain(FILE, list)
    known = dict.fromkeys(row["relation"] for row in rows)
    if relation is not None and relation not in known:
        raise InputError(f"no relation {relation!r}; there are {', '.join(known)}.")
    found = []
    for row in rows:
        if relation in (None, row["relation"]) and held_out in (None, row["held_out"]):
            for subject, answer in row["pairs"]:
                prompt = row["prompt"].format(subject)
                prompt = prompt[0].upper() + prompt[1:]
                found.append(Fact(row["relation"], subject, prompt, answer, row["held_out"], row["prompt"]))
    return found
