"""`upswing doctor --benchmark`, without the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from upswing.bench.doctor.benchmark import benchmark
from upswing.bench.doctor.corpus import QUICK, WHOLE
from upswing.bench.doctor.report import data, page
from upswing.bench.doctor.tasks import REPORTING
from upswing.run.disk import json_bytes, replace_file


def run_benchmark(
    folder: Path,
    tell: Callable[[str], None],
    *,
    quick: bool = False,
    output: Path | None = None,
    figures: Path | None = None,
    processes: int | None = None,
    train: bool = True,
) -> dict[str, Any]:
    """The headline as JSON values, without `train` of what is trained already. Writes the page to `output` and the rules' figures to `figures` where given."""
    command = "upswing doctor --benchmark" + (" --quick" if quick else "")
    results = benchmark(QUICK if quick else WHOLE, folder, tell, processes, foreign=not quick, train=train)
    if output is not None:
        replace_file(output, page(results, command).encode())
    if figures is not None:
        replace_file(figures, json_bytes(data(results, command)))
    of = results.figures("doctor", REPORTING)
    shares = {
        name: round(part.value, 3) if part.n else None for name, part in of._asdict().items() if hasattr(part, "hits")
    }
    improved = results.remedied.improved
    return json.loads(json.dumps({
        "trainings": len(results.outcomes), "healthy_runs": of.healthy_runs, "harmed_runs": of.recall.n,
        "false_warnings": None if of.healthy_runs == 0 else round(of.false_warnings, 3), **shares,
        "improved": round(improved.value, 3) if improved.n else None,
    }))  # fmt: skip
