"""Plain data as JSON that can stand in a page and be read by any browser."""

import json
from math import isfinite
from typing import Any

_SAFE = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def written(record: Any) -> str:
    """Plain data as JSON; what is not finite is null, and no character can end a script. Parameters: `record`."""
    return json.dumps(_finite(record), allow_nan=False, separators=(",", ":")).translate(_SAFE)


def _finite(value: Any) -> Any:
    match value:
        case dict():
            return {k: _finite(v) for k, v in value.items()}
        case list() | tuple():
            return [_finite(v) for v in value]
        case float() if not isfinite(value):
            return None
    return value
