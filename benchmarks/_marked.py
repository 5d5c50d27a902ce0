"""A section of a page between two marks, which the program that measures it writes anew and others leave alone."""

import json
from pathlib import Path
from typing import Any


def marked(name: str, body: str) -> str:
    """A section with its marks. Parameters: `name`; `body`."""
    return f"<!-- {name} -->\n{body.strip()}\n<!-- end of {name} -->\n"


def section(text: str, name: str) -> str:
    """The section of that name with its marks, empty where there is none. Parameters: `text`, of the page; `name`."""
    first, last = text.find(f"<!-- {name} -->"), text.find(end := f"<!-- end of {name} -->")
    return text[first : last + len(end)] + "\n" if 0 <= first < last else ""


def put(text: str, name: str, body: str) -> str:
    """The page with the section renewed, at its end where it had none. Parameters: `text`; `name`; `body`."""
    old, new = section(text, name), marked(name, body)
    return text.replace(old.rstrip("\n"), new.rstrip("\n")) if old else f"{text.rstrip()}\n\n{new}"


def write(folder: Path, name: str, body: str, record: dict[str, Any]) -> None:
    """Renews a section of benchmarks.md and its numbers in benchmarks.json. Parameters: `folder`; `name`; `body`; `record`."""
    page, numbers = folder / "benchmarks.md", folder / "benchmarks.json"
    page.write_text(put(page.read_text(encoding="utf-8"), name, body), encoding="utf-8")
    held = json.loads(numbers.read_text(encoding="utf-8"))
    numbers.write_text(json.dumps({**held, name: record}, indent=1) + "\n", encoding="utf-8")
