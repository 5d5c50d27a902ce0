"""Plain data as JSON that can stand in a page and be read by any browser."""

import json
from math import isfinite
from typing import Any

_SAFE = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def written(record: Any) -> str:
    """Plain data as JSON; what is not finite is null, and no character can end a script. Parameters: `record`."""
    return json.dumps(plain(record), allow_nan=False, separators=(",", ":")).translate(_SAFE)


def plain(value: Any) -> Any:
    """Plain data without numbers that JSON has none for: they are None. Parameters: `value`."""
    match value:
        case dict():
            return {k: plain(v) for k, v in value.items()}
        case list() | tuple():
            return [plain(v) for v in value]
        case float() if not isfinite(value):
            return None
    return value
