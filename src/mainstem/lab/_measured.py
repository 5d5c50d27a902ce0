"""Claims about models that are trained already: values that were measured of them, kept beside the findings, and held against a line."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from mainstem.core import InputError, from_plain, whole_file

from ._judge import CONFIRMED, NOT, Judged, meant
from ._statistics import interval


@dataclass(frozen=True)
class Measured:
    """A number of one model, measured several times.

    Parameters: `name`, which number; `model`; `data`, what it was measured on; `per`, what there is one value for, such as "prompts";
    `values`; `beside`, other numbers in words.
    """

    name: str
    model: str
    data: str
    per: str
    values: tuple[float, ...]
    beside: str = ""

    def keep(self, path: str | Path) -> None:
        """Writes it into a file of such numbers, in the place of what the same number of the same model was.

        Parameters: `path`. Raises `InputError` for a file that holds something else.
        """
        place = Path(path)
        others = load(place) if place.exists() else []
        rows = [*(one for one in others if (one.name, one.model) != (self.name, self.model)), self]
        said = [asdict(one) for one in sorted(rows, key=lambda one: (one.name, one.model))]
        with whole_file(place) as half:
            half.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")

    def __str__(self) -> str:
        return f"{self.model}: {meant(interval(self.values))}, {len(self.values)} {self.per}" + (
            self.beside and f" ({self.beside})"
        )


Weigh = Callable[[list[Measured]], Judged]


def over(line: float) -> Weigh:
    """Confirmed where the interval of every model lies above a line. Parameters: `line`."""

    def judge(found: list[Measured]) -> Judged:
        shown = "; ".join(map(str, found))
        return Judged(shown, CONFIRMED if all(interval(one.values).low > line for one in found) else NOT)

    return judge


def load(path: Path) -> list[Measured]:
    """What `keep` wrote. Parameters: `path`. Raises `InputError` for a file that holds something else."""
    try:
        return [from_plain(Measured, row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} holds no measured numbers ({error}): name a file that the lab wrote.") from error
