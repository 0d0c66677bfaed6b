"""Everything that needs a GPU, in one command: `python -m benchmarks.gpu [--dry] [--only PART]`.

Prints each part as it ends, and writes a dated JSON file and a Markdown page with the hardware and
the versions. A part that fails is reported, and the others go on; the exit status is 1 then. After
`--minutes` no further part is begun. `--dry` runs every part at toy size on the CPU, so that the
command is right at the first try where there is a GPU.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import torch

from benchmarks.gpu.equality import equality
from benchmarks.gpu.setting import Result, Setting, Skipped
from benchmarks.gpu.small_runs import cuda_graphs, small_runs
from benchmarks.gpu.speed import decoding, parallel_block, plugins, throughput
from benchmarks.side_by_side import environment, in_words, print_table

PARTS: dict[str, Callable[[Setting], Result]] = {
    "equality": equality,
    "throughput": throughput,
    "parallel_block": parallel_block,
    "decoding": decoding,
    "cuda_graphs": cuda_graphs,
    "small_runs": small_runs,
    "plugins": plugins,
}


def run_part(name: str, setting: Setting) -> dict[str, Any]:
    """Run a part, print what it found and return it with its state."""
    print(f"\n{name}", flush=True)
    start = monotonic()
    try:
        result = PARTS[name](setting)
    except Skipped as reason:
        print(f"skipped: {reason}")
        return {"state": "skipped", "reason": str(reason)}
    except Exception as error:  # the other parts are worth having
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"failed: {reason}")
        return {"state": "failed", "reason": reason}
    print(result.note)
    print_table(result.heads, result.rows)
    return {"state": "ok", "seconds": round(monotonic() - start, 1), **asdict(result)}


def markdown(hardware: dict[str, Any], parts: dict[str, dict[str, Any]]) -> str:
    """Return the results as a page."""
    lines = ["# GPU benchmark", "", in_words(hardware), ""]
    for name, part in parts.items():
        lines += [f"## {name}", ""]
        if part["state"] != "ok":
            lines += [f"{part['state']}: {part['reason']}", ""]
            continue
        rows = [part["heads"], ["---"] * len(part["heads"]), *part["rows"]]
        lines += [part["note"], "", *(f"| {' | '.join(row)} |" for row in rows), ""]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.gpu")
    parser.add_argument("--dry", action="store_true", help="every part at toy size on the CPU")
    parser.add_argument("--only", action="append", choices=PARTS)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"))
    options = parser.parse_args(arguments)
    if not options.dry and not torch.cuda.is_available():
        print("no GPU here; --dry runs every part at toy size on the CPU", file=sys.stderr)
        return 2
    start = monotonic()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    setting = Setting("cpu" if options.dry else "cuda", options.dry)
    hardware = {"date": datetime.now(UTC).date().isoformat(), **environment("lightning")}
    hardware |= {"cuda": torch.version.cuda, "gpus": torch.cuda.device_count()}
    print(in_words(hardware))
    parts: dict[str, dict[str, Any]] = {}
    for name in options.only or PARTS:
        if monotonic() - start > 60 * options.minutes:
            parts[name] = {"state": "skipped", "reason": f"{options.minutes:g} minutes are over"}
        else:
            parts[name] = run_part(name, setting)
        _write(options.out / f"gpu-{hardware['date']}", hardware, parts)
    return int(any(part["state"] == "failed" for part in parts.values()))


def _write(path: Path, hardware: dict[str, Any], parts: dict[str, dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"hardware": hardware, "parts": parts}, indent=2, allow_nan=False)
    path.with_suffix(".json").write_text(content + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(markdown(hardware, parts), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
