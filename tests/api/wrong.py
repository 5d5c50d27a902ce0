"""What is said of arguments of the wrong type: run as a script, since checks of shapes in the tests would speak first.

Prints each call's name with the error's class, and its text.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import mainstem as ms
from mainstem.measure import measures, pairs

TEXTS = ["The capital of France is Paris.", "Hot"]
BAD: tuple[Any, ...] = ("a", None, [], -1, -0.5, ["a"], {}, True)


def calls(folder: Path) -> dict[str, Callable[[], Any]]:
    """Calls that have to be refused, by name. Parameters: `folder`, for files."""
    model = ms.load("tiny")
    trace, found = model.trace(TEXTS[0]), ms.measure(model, TEXTS, ["rms"])
    found.save(folder / "numbers.parquet")

    def along(**more: Any) -> Callable[[], Any]:
        return lambda: trace.perturbed(**({"point": "entry"} | more))

    def measured(**more: Any) -> Callable[[], Any]:
        return lambda: ms.measure(model, TEXTS, **more)

    def scanned(**more: Any) -> Callable[[], Any]:
        return lambda: ms.scan(model, TEXTS, **({"out": folder / "run"} | more))

    def reported(**more: Any) -> Callable[[], Any]:
        return lambda: ms.outlier_report(model, TEXTS, **more)

    def drawn(of: Any = model, **more: Any) -> Callable[[], Any]:
        return lambda: ms.figures(of, TEXTS, **more)

    return {
        "persistence(5)": lambda: trace.persistence(5),
        "persistence(prompt='a')": lambda: trace.persistence("L0.mlp", prompt="a"),
        "erased(None)": lambda: trace.erased(None),
        "virtual_weights(5)": lambda: trace.virtual_weights(5, "L0.mlp"),
        "virtual_weights turned": lambda: trace.virtual_weights("L0.mlp", "L1.mlp"),
        "perturbed(5)": along(point=5),
        "perturbed(size='a')": along(size="a"),
        "perturbed(seed='a')": along(seed="a"),
        "perturbed(norms=[])": along(norms=[]),
        "perturbed(norms=5)": along(norms=5),
        "perturbed(direction=5)": along(direction=5),
        "figures(threshold='a')": drawn(threshold="a"),
        "figures(threshold=None)": drawn(threshold=None),
        "figures(seed='a')": drawn(seed="a"),
        "figures(title=5)": drawn(title=5),
        "figures('tiny')": drawn("tiny"),
        "figures(5)": drawn(5),
        "merge(5)": lambda: ms.merge(5),
        "merge([5])": lambda: ms.merge([5]),
        "load(parquet)": lambda: ms.Measurements.load(folder / "numbers.parquet"),
        "load(folder)": lambda: ms.Measurements.load(folder),
        "load(5)": lambda: ms.Measurements.load(5),
        "save(5)": lambda: found.save(5),
        "Measurements.merge(5)": lambda: found.merge(5),
        "compare(5)": lambda: found.compare(5),
        "chart(others=5)": lambda: found.chart(others=5),
        "chart(others={'a': 5})": lambda: found.chart(others={"a": 5}),
        "frame('luck')": lambda: found.frame("luck"),
        "measure(names=5)": measured(names=5),
        "measure(names=[5])": measured(names=[5]),
        "measure(at=5)": measured(at=5),
        "measure(points=[5])": measured(points=[5]),
        "measure(choices=5)": measured(choices=5),
        "measure(choices of nothing)": measured(choices={"rms": 5}),
        "measure(choices of another)": measured(names=["rms"], choices={"outliers": {"sided": "one"}}),
        "measure(column='text')": measured(column="text"),
        "measure(column=5)": measured(column=5),
        "measure(batch_tokens='a')": measured(batch_tokens="a"),
        "measure(length=2.5)": measured(length=2.5),
        "measure(pack=5)": measured(pack=5),
        "scan(out=5)": scanned(out=5),
        "scan(engine=5)": scanned(engine=5),
        "scan(luck=5)": scanned(luck=5),
        "scan(scores=5)": scanned(scores=5),
        "scan(scores=[5])": scanned(scores=[5]),
        **{f"outlier_report({k}='a')": reported(**{k: "a"}) for k in ("magnitude", "share", "points", "massive", "ratio")},
        **{
            f"outlier_report({k}='a')": reported(**{k: "a"}) for k in ("strongest", "draws", "seed", "exemplars", "effect_tokens")
        },
        "erasers(path)": lambda: model.erasers(str(folder / "none.txt")),
        "erasers().top('a')": lambda: model.erasers().top("a"),
        "erasers().chart(k='a')": lambda: model.erasers().chart(k="a"),
    }


def choices() -> dict[str, Callable[[], Any]]:
    """Every choice of every measure with values of every type."""
    found, model = {}, ms.load("tiny")
    for name, member in {**measures(), **pairs()}.items():
        for field in fields(member):
            for bad in BAD:
                asked = {field.name: bad}
                found[f"{name}({asked})"] = lambda name=name, asked=asked: ms.measure(model, TEXTS, [name], choices={name: asked})
    return found


def said(call: Callable[[], Any]) -> tuple[str, str]:
    """The class of the error that a call raises, and its text. Parameters: `call`."""
    try:
        call()
    except Exception as error:
        return type(error).__name__, str(error)
    return "nothing", ""


if __name__ == "__main__":
    every = calls(Path(sys.argv[1])) if sys.argv[2] == "calls" else choices()
    print(json.dumps({name: said(call) for name, call in every.items()}))
