"""What differs between two runs, in words."""

import json
from typing import Any


def differences(before: Any, now: Any, name: str = "", said: str = "{} was {} and is {}") -> list[str]:
    """What differs between two pieces of plain data, in words.

    Parameters: `before`; `now`; `name`, of both; `said`, how a name and what it was and is are put.
    """
    if before == now:
        return []
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [*before, *(k for k in now if k not in before)]
        return [d for k in keys for d in differences(before.get(k), now.get(k), f"{name}.{k}" if name else k, said)]
    return [said.format(name, *map(_words, _apart(before, now)))]


def _apart(before: Any, now: Any) -> tuple[Any, Any]:
    """Two lists without what both of them have, where each then still has something to show."""
    if not (isinstance(before, list) and isinstance(now, list)):
        return before, now
    one, other = ([x for x in some if x not in others] for some, others in ((before, now), (now, before)))
    return (one, other) if one and other else (before, now)


def _words(value: Any) -> str:
    """Plain data as people write them: measures and scores by their names and choices."""
    if isinstance(value, list) and value and all(isinstance(one, dict) and "name" in one for one in value):
        return ", ".join(map(_named, value))
    return json.dumps(value)


def _named(one: dict[str, Any]) -> str:
    choices = ", ".join(f"{name}={json.dumps(value)}" for name, value in one.get("choices", {}).items())
    return f"{one['name']}({choices})" if choices else one["name"]
