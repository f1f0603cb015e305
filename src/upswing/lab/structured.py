"""A comparison as JSON values, for programs: numbers first, with the sentences of one language beside them."""

from __future__ import annotations

from typing import Any

from upswing.doctor.render.structured import card_json, plain
from upswing.lab.compare import Comparison, Row
from upswing.lab.worded import losses, notes, summary, why


def comparison_json(comparison: Comparison, lang: str) -> dict[str, Any]:
    """Settings with their scores and costs, pairs with what may be claimed, differences, and why."""
    gathered = comparison.gathered
    return {
        "env": gathered.env,
        "measure": gathered.measure,
        "untrained": plain(gathered.untrained),
        "reference": gathered.reference,
        "threshold": plain(comparison.threshold),
        "settings": [row_json(row, lang) for row in comparison.rows],
        "comparisons": [plain({**vars(pair), **_intervals(vars(pair))}) for pair in comparison.pairs],
        "differences": [plain(vars(each)) for each in comparison.differences],
        "why": [
            {"setting": label, "statements": [{"key": s.key, "text": t.text, "command": t.command} for s, t in zip(said, texts, strict=True)]}
            for (label, said), (_, texts) in zip(comparison.statements, why(comparison, lang), strict=True)
        ],
        "summary": [each.text for each in summary(comparison, lang)],
        "losses": {
            "text": losses(comparison, lang),
            "policy_loss_near_zero": [{"setting": label, **level._asdict()} for label, level in comparison.policy_loss],
            "value_jitter": [
                {"setting": j.setting, **plain(j.jitter._asdict()), "steadier": j.steadier, "jumpier": j.jumpier}
                for j in comparison.value_jitter
            ],
        },
        "notes": notes(comparison, lang),
    }  # fmt: skip


def row_json(row: Row, lang: str) -> dict[str, Any]:
    """One setting."""
    reason = row.reason
    return plain({
        "label": row.label,
        "config": dict(row.setting.config),
        "control_of": row.setting.control_of,
        "final": row.verdict.final._asdict(),
        "bar": row.verdict.bar,
        "verdict": row.verdict.state,
        "doctor": None if reason is None else {**card_json(reason.diagnosis, reason.card, lang), "runs": reason.n},
        "mean_return": row.height._asdict(),
        "reached_threshold": row.reached,
        "steps_to_threshold": row.steps_to,
        "seconds_to_threshold": row.seconds_to,
        "wall_time_s": row.wall_s,
        "steps_per_second": row.speed,
        "runs": [
            {"run_dir": str(m.path), "seed": m.series.setting("seed"), "score": float(score)}
            for m, score in zip(row.setting.members, row.scores, strict=True)
        ],
    })  # fmt: skip


def _intervals(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value._asdict() for name, value in values.items() if hasattr(value, "_asdict")}
