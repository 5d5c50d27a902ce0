"""What the general rules of `_shrink` do not say, by architecture or model type."""

from typing import Any

CONFIGS: dict[str, Any] = {}
