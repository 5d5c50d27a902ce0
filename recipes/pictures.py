"""Draws the pictures of README and docs again: `python recipes/pictures.py`."""

from pathlib import Path

import mainstem as ms
from mainstem.view import diagram, river

ASSETS = Path(__file__).parents[1] / "docs" / "assets"


def main() -> None:
    """Writes trace.svg and map.svg from the embedded model."""
    model = ms.load("default")
    ASSETS.mkdir(exist_ok=True)
    (ASSETS / "trace.svg").write_text(river(model.trace("The capital of France is").summary(" Paris")), encoding="utf-8")
    (ASSETS / "map.svg").write_text(diagram(model.map), encoding="utf-8")
    print(f"drawn into {ASSETS}")


if __name__ == "__main__":
    main()
