"""Runs each environment's share and writes docs/benchmarks.md and docs/benchmarks.json. `make bench` makes the environments."""

import argparse
import json
import os
import platform
import subprocess
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from ._page import page

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = {"now": "mainstem,hooks,nnsight,TransformerLens 4", "then": "mainstem,TransformerLens 2"}
SIZES = "1x64:9,1x1024:3,8x256:3"


def measured(env: str, sizes: str, home: Path) -> dict[str, Any]:
    """What one environment measures. Parameters: `env`, its name; `sizes`, with rounds; `home`, the folder of environments."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        python = home / env / "bin" / "python"
        command = [
            python,
            "-W",
            "ignore",
            "-m",
            "benchmarks.peers._run",
            "--tools",
            ENVIRONMENTS[env],
            "--sizes",
            sizes,
            "--out",
            out,
        ]
        settings = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT / "src")}
        subprocess.run(command, check=True, cwd=ROOT, env=os.environ | settings)
        return json.loads(out.read_text(encoding="utf-8"))


def processor() -> str:
    """What the system calls the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {len(names) or os.cpu_count()} cores, {platform.system()}"


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default=SIZES, help=f"batch x tokens, each with its rounds ({SIZES})")
    parser.add_argument("--home", type=Path, default=ROOT / ".venv-bench", help="the folder of environments")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="where benchmarks.md and benchmarks.json are written")
    options = parser.parse_args()
    found: dict[str, Any] = {"date": date.today().isoformat(), "machine": processor()}
    for env in ENVIRONMENTS:
        print(f"bench: {ENVIRONMENTS[env]}", flush=True)
        found[env] = measured(env, options.sizes, options.home)
    (options.out / "benchmarks.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (options.out / "benchmarks.md").write_text(page(found), encoding="utf-8")
    print(f"bench: written to {options.out / 'benchmarks.md'}")


if __name__ == "__main__":
    main()
