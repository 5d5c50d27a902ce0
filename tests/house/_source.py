"""Reading and planting source trees, for the tests that hold the house in order."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "mainstem"


def module_name(path: Path, package: Path) -> str:
    """`src/mainstem/core/_labels.py` -> `mainstem.core._labels`; a door is named like its folder."""
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def python_files(package: Path) -> list[Path]:
    """Every source file of a package, in order."""
    return sorted(path for path in package.rglob("*.py") if "__pycache__" not in path.parts)


def parse(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def plant(folder: Path, files: dict[str, str]) -> Path:
    """Write a package named mainstem into a folder, doors included, and return it."""
    package = folder / "mainstem"
    for name, text in files.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        for parent in path.parents:
            if parent == folder:
                break
            (parent / "__init__.py").touch()
    return package
