"""Tables to predict a number from: those that come with scikit-learn, those that it makes, and California Housing where it can be had."""

import pickle
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mainstem.core import InputError

from ._extras import needed

Raw = tuple[np.ndarray, np.ndarray, tuple[str, ...]]
TEST = 0.25  # of the rows


@dataclass(frozen=True)
class Table:
    """Rows to train on and to test on, features and target standardised by the training rows; names of the features."""

    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor
    names: tuple[str, ...]

    @property
    def constant(self) -> float:
        """The mean squared error on the test rows of the constant predictor: the mean of the training rows."""
        return float((self.test_y - self.y.mean()).square().mean())

    @property
    def linear(self) -> float:
        """That of linear regression by least squares."""
        x, test = (torch.cat([part, torch.ones(len(part), 1, dtype=part.dtype)], 1).double() for part in (self.x, self.test_x))
        weights = torch.linalg.lstsq(x, self.y[:, None].double(), driver="gelsd").solution
        return float((self.test_y - (test @ weights)[:, 0]).square().mean())


def table(name: str = "diabetes", split: int = 0) -> Table:
    """A table, cut into rows to train on and to test on.

    Parameters: `name`, one of `tables()`; `split`, the seed of the cut. Raises `InputError` for a name that there is not, and where the
    data cannot be had.
    """
    if name not in _TABLES:
        raise InputError(f"no table {name!r}; there are {', '.join(_TABLES)}.")
    x, y, names = _raw(name)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(split))
    test = max(1, int(TEST * len(x)))
    mean, deviation = _scale(x[order[test:]])
    middle, spread = _scale(y[order[test:]])
    x, y = (x - mean) / deviation, (y - middle) / spread
    return Table(x[order[test:]], y[order[test:]], x[order[:test]], y[order[:test]], names)


def tables() -> tuple[str, ...]:
    """The names of all tables."""
    return tuple(_TABLES)


@lru_cache(maxsize=8)
def _raw(name: str) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    x, y, names = _TABLES[name](needed("sklearn.datasets"))
    return torch.tensor(np.asarray(x), dtype=torch.float32), torch.tensor(np.asarray(y), dtype=torch.float32), names


def _scale(x: Tensor) -> tuple[Tensor, Tensor]:
    deviation = x.std(0, correction=0)
    return x.mean(0), torch.where(deviation > 0, deviation, 1.0)


def _told(found: Any) -> Raw:
    return found.data, found.target, tuple(map(str, found.feature_names))


def _one_of(loader: str, target: str) -> Callable[[Any], Raw]:
    """A table made for classes, of which one measurement is predicted from the others."""

    def load(datasets: Any) -> Raw:
        found = getattr(datasets, loader)()
        names = [str(name) for name in found.feature_names]
        at = names.index(target)
        return np.delete(found.data, at, 1), found.data[:, at], tuple(n for n in names if n != target)

    return load


def _made(maker: str, rows: int, noise: float) -> Callable[[Any], Raw]:
    def make(datasets: Any) -> Raw:
        x, y = getattr(datasets, maker)(n_samples=rows, noise=noise, random_state=0)
        return x, y, tuple(f"x{i}" for i in range(x.shape[1]))

    return make


def _california(datasets: Any) -> Raw:
    """Fetched once, then out of scikit-learn's own folder of data."""
    try:
        return _told(datasets.fetch_california_housing())
    except (OSError, EOFError, ValueError, IndexError, pickle.UnpicklingError, zlib.error) as error:
        raise InputError(
            f"California Housing cannot be had here ({type(error).__name__}: {error}): run `python -c 'import sklearn.datasets as d; "
            f"d.fetch_california_housing()'` where there is a network, and copy cal_housing_py3.pkz from ~/scikit_learn_data to {datasets.get_data_home()}"
        ) from error


_TABLES: dict[str, Callable[[Any], Raw]] = {
    "diabetes": lambda datasets: _told(datasets.load_diabetes()),
    "wine": _one_of("load_wine", "alcohol"),
    "breast-cancer": _one_of("load_breast_cancer", "mean smoothness"),
    "friedman1": _made("make_friedman1", 600, 1.0),
    "friedman2": _made("make_friedman2", 600, 50.0),
    "friedman3": _made("make_friedman3", 600, 0.1),
    "california": _california,
}
