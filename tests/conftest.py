"""What every test stands on: shapes that are checked, one seed, no model hub, and files that may be absent."""

import os

# Before torch and transformers are imported: they read these once.
os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:  # two workers with all threads each are slower than two with one
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import jaxtyping
import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


def checked_modules(package: Path = ROOT / "src" / "mainstem") -> list[str]:
    """The files whose signatures carry shapes."""
    shaped = [path for path in sorted(package.rglob("*.py")) if "from jaxtyping import" in path.read_text(encoding="utf-8")]
    return [".".join(path.relative_to(package.parent).with_suffix("").parts) for path in shaped]


def carries_shape(hint: Any) -> bool:
    """Whether an annotation is a shape, holds one, or is quoted, so that it may. Parameters: `hint`."""
    shape = isinstance(hint, str) or (isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray))
    return shape or any(map(carries_shape, get_args(hint)))


def where_shaped(*, typechecker: Any, jaxtyped: Callable[..., Any] = jaxtyping.jaxtyped) -> Callable[[Any], Any]:
    """Checks a function, or a dataclass, whose signature carries a shape. Others are called millions of times, and each check of a
    call costs tens of microseconds; that of a function inside another is even made anew at each call of the outer one.

    Parameters: `typechecker`; `jaxtyped`, which checks all there are.
    """

    def checked(made: Any) -> Any:
        hints = getattr(made.__init__ if isinstance(made, type) else made, "__annotations__", {})
        return jaxtyped(made, typechecker=typechecker) if any(map(carries_shape, hints.values())) else made

    return checked


assert not any(name.startswith("mainstem.") for name in sys.modules), "imported before its shapes could be checked"
jaxtyping.jaxtyped = where_shaped  # which the hook calls by this name
jaxtyping.install_import_hook(checked_modules(), "beartype.beartype")


@pytest.fixture(autouse=True)
def seed() -> int:
    """One seed before each test, so that a test gives the same numbers alone and in company."""
    import torch

    torch.manual_seed(0)
    return 0


@pytest.fixture(scope="module", autouse=True)
def forgotten(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a file of tests keeps for its tests, models and traces of them, goes with its last test."""
    yield
    for value in vars(request.module).values():
        if hasattr(value, "cache_clear") and value.__module__ == request.module.__name__:
            value.cache_clear()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of test assets beside the repository."""
    assets = SHARED / "assets"
    if not assets.is_dir():
        pytest.skip(f"no test assets at {assets}")
    return assets


@pytest.fixture(scope="session")
def real_model() -> Callable[[str], Path]:
    """The folder of smollm2, stories15m, resnet50, minilm or cifar10 by name, made on first use and kept outside the repository."""
    return the_real_model


def the_real_model(name: str) -> Path:
    """As `real_model`. Skips, with the reason, where it cannot be made. Parameters: `name`."""
    cache, tool = real_cache(), SHARED / "tools" / "real_models.py"
    if not (cache / name).is_dir() and not tool.is_file():
        pytest.skip(f"{name} is made by {tool}, which is absent")
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / ".lock"):
        if not (cache / name).is_dir():
            make_real_model(tool, cache, name)
    return cache / name


def real_cache() -> Path:
    """Where real models are kept: $MAINSTEM_REAL_MODELS, or the user's cache."""
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("MAINSTEM_REAL_MODELS") or users / "mainstem" / "real_models")


def make_real_model(tool: Path, cache: Path, name: str) -> None:
    """Make one model next to its place and then move it there: a folder that exists is whole."""
    making = cache / ".making"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    try:
        subprocess.run([sys.executable, tool, making, name], check=True, capture_output=True, text=True, timeout=240)
    except (subprocess.SubprocessError, OSError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip()
        pytest.skip(f"{name} could not be made (no network, pip or npm?): {said.splitlines()[-1]}")
    (making / name).rename(cache / name)
