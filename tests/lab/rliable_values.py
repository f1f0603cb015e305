"""Writes tests/data/rliable.json: what rliable makes of a few score matrices, for tests/lab/test_statistics.py.

rliable 1.2.0 does not run with the releases of its dependency arch that run with NumPy 2, so it has a folder of its own:

    python3.11 -m venv /tmp/rliable
    /tmp/rliable/bin/pip install "rliable==1.2.0" "arch==5.6.0" "numpy<2" "pandas<2.2" "scipy<1.14"
    /tmp/rliable/bin/python tests/lab/rliable_values.py
"""

import json
from pathlib import Path

import numpy as np
from rliable import library, metrics

N_DRAWS = 10_000


def scores(n_runs, n_tasks, seed):
    """Scores [N, M] with ties, rounded so that they are the same wherever they are read."""
    return np.random.default_rng(seed).normal(size=(n_runs, n_tasks)).round(1)


def iqm_of(x):
    return np.array([metrics.aggregate_iqm(x)])


def improvement_of(x, y):
    return np.array([metrics.probability_of_improvement(x, y)])


def values(x, y):
    """Everything that is compared, for one pair of score matrices."""
    np.random.seed(0)
    _, single = library.get_interval_estimates({"x": x}, iqm_of, reps=N_DRAWS)
    _, pair = library.get_interval_estimates({"x,y": (x, y)}, improvement_of, reps=N_DRAWS // 5)
    return {
        "x": x.tolist(),
        "y": y.tolist(),
        "iqm": metrics.aggregate_iqm(x),
        "iqm_interval": single["x"].ravel().tolist(),
        "improvement": metrics.probability_of_improvement(x, y),
        "improvement_interval": pair["x,y"].ravel().tolist(),
    }


if __name__ == "__main__":
    shapes = ((5, 6, 1), (10, 5, 1), (10, 12, 3), (7, 7, 4))
    found = [values(scores(n, m, 10 * i), scores(k, m, 10 * i + 1) + 0.5) for i, (n, k, m) in enumerate(shapes)]
    target = Path(__file__).parent.parent / "data" / "rliable.json"
    target.write_text(json.dumps(found, indent=1) + "\n")
