"""All pieces of a run, from one folder or from many, as one result."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from mainstem.core import InputError, file_path, from_plain
from mainstem.measure import Measure, Pair, measure_named

from ._differences import differences
from ._gather import States, called, choices_of, merged
from ._store import load_piece, load_run, piece_files, unread


@dataclass(frozen=True, eq=False)
class Merged:
    """What a whole run came to.

    Parameters: `measures`, single ones and pairs, by what they are called; `states`, by measure and site; `identity`, what the
    results depend on; `counts`, of pieces, examples, tokens and unreadable rows; `faults`, unreadable rows' places and reasons, of
    those that no batch could be made of; `versions`, each set of versions that pieces were made with; `rows`, the files of rows in
    the order of the data.
    """

    measures: dict[str, Measure | Pair]
    states: States
    identity: dict[str, Any]
    counts: dict[str, int]
    faults: tuple[tuple[str, str], ...]
    versions: tuple[dict[str, str], ...]
    rows: tuple[Path, ...]

    def numbers(self) -> dict[tuple[str, str], dict[str, Tensor]]:
        """The numbers by measure and site."""
        return {(name, site): self.measures[name].result(state) for (name, site), state in self.states.items()}

    def frame(self) -> Any:
        """A tidy polars frame: measure, site, number, index in the number (0 where it is one), value."""
        import polars

        parts = []
        for (name, site), found in self.numbers().items():
            for number, value in found.items():
                flat = value.double().reshape(-1)
                parts.append(polars.DataFrame({"index": range(len(flat)), "value": flat.numpy()}).select(
                    polars.lit(name).alias("measure"), polars.lit(site).alias("site"), polars.lit(number).alias("number"), "index", "value"
                ))  # fmt: skip
        kinds = {
            "measure": polars.String,
            "site": polars.String,
            "number": polars.String,
            "index": polars.Int64,
            "value": polars.Float64,
        }
        return polars.concat(parts) if parts else polars.DataFrame(schema=kinds)

    def scan_rows(self) -> Any:
        """The stored rows as a lazy polars frame, in the order of the data. Raises `InputError` where there are none."""
        import polars

        if not self.rows:
            raise InputError("this run stored no rows of scores: ask for scores when it is run.")
        return polars.scan_parquet(list(self.rows))


def merge(folders: str | Path | Sequence[str | Path], measures: Sequence[Measure | Pair] | None = None) -> Merged:
    """The result of a run whose pieces lie in one folder or in several, folded in the order of the data, one piece in hand at a time.

    The same pieces give the same bits, whichever engine and however many shards made them. A piece that lies in several folders
    counts once.

    Parameters: `folders`; `measures`, single ones and pairs, as the run was given them, None for those of the registry that it
    names. Raises `InputError` for folders of
    different runs, for missing pieces, and for broken files.
    """
    listed = folders if isinstance(folders, Sequence) and not isinstance(folders, str) else [folders]
    places = [file_path(folder) for folder in listed]
    about = _about(places)
    measures = _asked(about["identity"]["choices"], measures)
    files = {number: path for place in reversed(places) for number, path in piece_files(place).items()}
    if missing := sorted(set(range(about["pieces"])) - set(files)):
        raise InputError(
            f"{len(missing)} of {about['pieces']} pieces are missing, the first is {missing[0]}: go on with the run, or name the other shards' folders too."
        )
    return _folded([files[k] for k in range(about["pieces"])], about["identity"], measures, unread(places[0]))


def _about(places: Sequence[Path]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for place in places:
        if not (place / "run.json").is_file():
            raise InputError(f"{place} is no folder of a run: it has no run.json.")
        said = load_run(place / "run.json")
        if found and (other := differences(found["identity"], said["identity"])):
            raise InputError(f"{places[0]} and {place} are not of one run: {'; '.join(other)}.")
        found = found or said
    if not found:
        raise InputError("there is nothing to merge: name at least one folder of a run.")
    return found


def _asked(choices: dict[str, Any], given: Sequence[Measure | Pair] | None) -> Sequence[Measure | Pair]:
    """The measures of a run: as given, if they are those, or made anew from what is stored of them."""
    wanted = [{"name": m["name"], "choices": m["choices"]} for m in choices["measures"] + choices["pairs"]]
    if given is None:
        return [from_plain(type(measure_named(m["name"])), m["choices"]) for m in wanted]
    if said := differences(sorted(wanted, key=str), sorted(json.loads(json.dumps([choices_of(m) for m in given])), key=str)):
        raise InputError(f"the run measured something else: {'; '.join(said)}.")
    return given


def _folded(
    files: Sequence[Path], identity: dict[str, Any], measures: Sequence[Measure | Pair], faults: list[tuple[str, str]]
) -> Merged:
    states: States = {}
    counts = {"pieces": len(files), "examples": 0, "tokens": 0, "unreadable": identity["data"]["unreadable"]}
    seen: list[dict[str, str]] = []
    for number, path in enumerate(files):
        more, about = load_piece(path)
        if about["piece"]["number"] != number:
            raise InputError(f"{path} holds piece {about['piece']['number']}, not {number}: delete it and run the scan again.")
        if other := differences(identity, about["identity"]):
            raise InputError(f"{path} is of another run: {'; '.join(other)}. Delete it and run the scan again.")
        states = dict(merged(measures, states, more))
        counts |= {k: counts[k] + about["counts"][k] for k in about["counts"]}
        faults += [(place, why) for place, why in about["faults"]]
        seen += [about["versions"]] if about["versions"] not in seen else []
    rows = [path.parents[2] / "rows" / path.parent.name / path.name for path in files]
    held = tuple(path for path in rows if path.exists())
    return Merged({called(m): m for m in measures}, states, identity, counts, tuple(faults), tuple(seen), held)
