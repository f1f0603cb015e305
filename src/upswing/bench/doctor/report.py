"""The results of a benchmark as a Markdown page, and as the figures that the doctor carries with it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from upswing.bench.doctor.benchmark import Results
from upswing.bench.doctor.corpus import HALVES_DIFFER, runs
from upswing.bench.doctor.faults import FAULTS
from upswing.bench.doctor.figures import Headline, Judged, Share, as_json, made_for, named
from upswing.bench.doctor.limit import LIMIT
from upswing.bench.doctor.tasks import REPORTING, TASKS, TUNING
from upswing.doctor.findings import SETUP
from upswing.doctor.rules import BY_CODE
from upswing.doctor.thresholds import TABLE
from upswing.run.versions import machine, versions

NAMES = {
    "doctor": "the doctor",
    "shipped": "… with the rules silenced that all runs speak against",
    "beside": "the doctor, beside a healthy run",
    "bands": "plain bands",
    "bands within": f"… its best rules with at most {LIMIT:g} false warnings a healthy run",
    "zen-rl": "zen-rl 0.1.0",
    "zen-rl within": f"… its best rules with at most {LIMIT:g} false warnings a healthy run",
}
HALVES = {
    REPORTING: "tasks and faults not used for tuning",
    HALVES_DIFFER: "tasks not used, faults used",
    TUNING: "used for tuning",
}


def page(results: Results, command: str) -> str:
    """The page docs/doctor-benchmark.md."""
    parts = [_head(results, command), _headline(results), _halves(results), _foreign(results), _faults(results)]
    return "\n".join([*parts, _rules(results), _corpus(results), _method()])


def data(results: Results, command: str) -> dict[str, Any]:
    """The figures of every rule, as the package carries them: measured.json."""
    return {
        "command": command,
        "runs": len(results.judged["doctor"]),
        "remarks_only": sorted(results.soft),
        "rules": {code: as_json(found) for code, found in results.rules.items()},
    }


def percent(part: Share) -> str:
    """A share with its interval."""
    if not part.n:
        return "–"
    low, high = part.interval
    return f"{100 * part.value:.0f} % [{100 * low:.0f}, {100 * high:.0f}] of {part.n}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _head(results: Results, command: str) -> str:
    about, installed = machine(), versions()
    told = ", ".join(f"{name} {version}" for name, version in installed.items() if version)
    n, planned = len(results.judged["doctor"]), len(runs(results.size))
    part = "" if n == planned else f" (of {planned} planned)"
    return (
        "# How often the doctor is right\n\n"
        f"Written by `{command}`: {n} trainings{part} with known truth, judged by the doctor and by two simpler sets of rules. "
        f"Machine: {about['cpu']}, {about['cores']} cores. Versions: {told}.\n"
    )


def _row(name: str, of: Headline) -> list[str]:
    low, high = of.false_interval
    false = "–" if math.isnan(of.false_warnings) else f"{of.false_warnings:.2f} [{low:.2f}, {high:.2f}]"
    harmless = "–" if math.isnan(of.harmless) else f"{of.harmless:.2f}"
    return [name, false, harmless, percent(of.recall), percent(of.top1), percent(of.top3)]


_COLUMNS = (
    "false warnings per healthy run",
    "… per run with a harmless fault",
    "harmful faults noticed",
    "true cause first",
    "true cause among the first three",
)


def _headline(results: Results) -> str:
    rows = [_row(NAMES[name], results.unseen(name)) for name in results.judged]
    kinds = {"new": REPORTING, "known": HALVES_DIFFER}
    apart = [
        [NAMES[name], kind, *_row("", results.figures(name, half))[2:]]
        for name in results.judged
        for kind, half in kinds.items()
    ]
    of = results.unseen("doctor")
    missing = "" if "zen-rl" in results.judged else "\nzen-rl is not installed here and was not measured.\n"
    seen = [
        results.seen[each.run] for each in results.judged["doctor"] if each.harmed and each.run.task.half == REPORTING
    ]
    found = sorted(part for part in seen if part is not None)
    early = f"{100 * float(np.median(found)):.0f} % of the budget" if found else "–"
    return (
        "## On tasks that no threshold was tuned on\n\n"
        f"{of.healthy_runs} healthy runs, {of.recall.n} harmed by a fault, {of.n_harmless} with a fault that did no harm at "
        "all. Intervals are 95 %, by run.\n\n"
        + table(["judge", *_COLUMNS], rows)
        + "\nWho warns of every run notices every fault, so what is noticed is to be read beside the false warnings; the rows "
        "“its best rules” are what the others notice when held to the limit that the doctor is held to. Of all sets of "
        "their rules it is the one that notices most harmed runs of the tuning half with no more false warnings than that in the healthy ones.\n"
        "\nThe same by whether the kind of fault had been seen on other tasks:\n\n"
        + table(["judge", "kind of fault", *_COLUMNS[1:]], apart)
        + "\n“Beside a healthy run” is the doctor with `--reference`: the recipe's first training of the same task to compare "
        "with.\n"
        + missing
        + f"\nThe doctor first warns, asked after every tenth of a harmed run, after {early} (median where it warns at all; "
        f"it does in {len(found)} of {len(seen)}).\n\n"
        f"Following the first card's advice improves the return in {percent(results.remedied.improved)} harmed runs, and "
        f"wins back half of what was lost in {percent(results.remedied.recovered)}; the card has advice that can be "
        f"followed in {percent(results.remedied.advised)}. Over the harmed runs of all parts it improves "
        f"{percent(results.remedied_all.improved)}.\n"
    )


def _halves(results: Results) -> str:
    rows = [_row(told, results.figures("doctor", half)) for half, told in HALVES.items()]
    return "## The doctor on the other parts\n\n" + table(["runs", *_COLUMNS], rows)


def _foreign(results: Results) -> str:
    if not results.foreign:
        return "## On logs of Stable-Baselines3\n\nNot measured in this run.\n"
    rows = [
        [
            NAMES[name],
            f"{of.false_warnings:.2f} over {of.healthy_runs}",
            percent(of.recall),
            percent(of.top1),
            percent(of.top3),
        ]
        for name, of in results.foreign.items()
    ]
    head = ["judge", "false warnings per healthy run", *_COLUMNS[2:]]
    return (
        "## On logs of Stable-Baselines3\n\nThe logs alone, as its own logger writes them: the doctor is told no settings.\n\n"
        + table(head, rows)
    )


def _faults(results: Results) -> str:
    rows = []
    for fault in FAULTS:
        mine = [each for each in results.judged["doctor"] if each.run.variant == fault.name]
        if not mine:
            continue
        harmed = [each for each in mine if each.harmed]
        rows.append([
            f"{fault.family} {fault.dose}", fault.half, f"{len(harmed)} of {len(mine)}",
            _count(each.verdict.warnings > 0 for each in harmed), _count(named(each, 1) for each in harmed),
            _count(named(each, 3) for each in harmed), _false(each for each in mine if not (each.harmed or each.worse)),
        ])  # fmt: skip
    head = ["fault", "half", "runs harmed", "noticed", "cause first", "among three", "false warnings where harmless"]
    return "## By fault\n\n" + table(head, rows) + "\n" + _speed(results)


def _speed(results: Results) -> str:
    told = []
    for family, code in (("slow_env", "F02"), ("slow_update", "F01")):
        mine = [each for each in results.judged["doctor"] if each.run.fault and each.run.fault.family == family]
        if mine:
            told.append(f"{code} names `{family}` in {_count(each.verdict.mentions(code) for each in mine)} runs")
    return "Faults that cost time and no return are remarks: " + "; ".join(told) + ".\n" if told else ""


def _count(flags: Iterable[bool]) -> str:
    known = list(flags)
    return f"{sum(known)} of {len(known)}" if known else "–"


def _false(mine: Iterable[Judged]) -> str:
    counts = [each.verdict.warnings for each in mine]
    return f"{sum(counts)} in {len(counts)}" if counts else "–"


def _rules(results: Results) -> str:
    rows = []
    for code in BY_CODE:
        found = results.rules.get(code)
        if found is None:
            rows.append([code, *["not measured"] * 3, ""])
            continue
        soft = "remarks only" if code in results.soft else ""
        rows.append([code, percent(found.precision), percent(found.blamed), percent(found.recall), soft])
    arithmetic = sorted(code for code, rule in BY_CODE.items() if rule.family == SETUP)
    made = "; ".join(f"{code}: {', '.join(sorted(made_for(code)))}" for code in BY_CODE if made_for(code))
    return (
        "## By rule\n\n"
        "Of all runs, before any rule was silenced. A warning is right where a fault made the return significantly worse; what a rule about "
        "bugs (B) claims is right wherever the bug is, harmful yet or not. It blames rightly where the true cause is among "
        "those that the finding suspects. Recall is over harmed runs with a cause that the rule is made for, remarks "
        "included. A rule whose warnings are right in less than 80 % speaks in remarks alone, unless it is about the "
        f"set-up ({', '.join(arithmetic)}): what such a rule says is arithmetic.\n\n"
        + table(["rule", "warnings that were right", "warnings that blame rightly", "faults found", ""], rows)
        + f"\nCauses each rule is made for: {made}.\n"
    )


def _corpus(results: Results) -> str:
    counted = Counter((run.env, run.fault is None) for run in results.outcomes)
    rows = [
        [env, TASKS[env].half, str(counted[env, True]), str(counted[env, False]), f"{TASKS[env].least:g}"]
        for env in results.size.tasks
    ]
    failed = [each.run.name for each in results.judged["doctor"] if each.failed]
    undone = [run.name for run, outcome in results.outcomes.items() if outcome is None]
    families = {half: sorted({fault.family for fault in FAULTS if fault.half == half}) for half in (TUNING, REPORTING)}
    told = [f"- {half}: {', '.join(names)}" for half, names in families.items()]
    return (
        "## The trainings\n\n"
        + table(["task", "half", "healthy runs", "runs with a fault", "healthy from"], rows)
        + "\nHealthy runs are the recipe with six seeds, and with an annealed, an adaptive learning rate and twice the "
        "budget. One that ends below the task's mark did not learn and counts neither as healthy nor as faulty: "
        + (", ".join(failed) or "none")
        + (f". Trainings that failed: {', '.join(undone)}" if undone else "")
        + ".\n\nFamilies of faults:\n\n"
        + "\n".join(told)
        + "\n"
    )


def _method() -> str:
    calibrated = sum(threshold.origin == "calibrated" for threshold in TABLE.values())
    return (
        "## How it is measured\n\n"
        "- A fault is put in by settings, by a wrapper around the environments, or by a hook that spoils what the update "
        "gets. The doctor sees the run's own records alone.\n"
        "- A fault counts as harmful on a task where the final return (episodes of the last fifth of the budget, real "
        "rewards) is lower than that of the healthy recipe's six seeds: by 5 % or more of what those gained, and with "
        "p ≤ 0.05 in an exact permutation test. A fault that is worse by less, with p ≤ 0.05, counts neither as harmful nor as harmless. All others are harmless: warned of, they are false alarms.\n"
        "- Tasks and families of faults came in rounds. Thresholds, suspicions and which rules speak softly may be set by "
        "the earlier rounds, the tuning half. The latest round was chosen and written into the benchmark before any verdict "
        "on it was seen: the headline is on runs whose task and fault both belong to it, the reporting half.\n"
        "- Plain bands: approx_kl 0.005 to 0.05, clip_fraction 0.05 to 0.5, explained_variance from 0.3, and a return that "
        "rose by less than 5 % over the second half. zen-rl reads the TensorBoard mirror of the same runs; the causes "
        "counted for it are those that its own advice names.\n"
        "- Advice: causes are gone through in the first card's order. One that no setting mends is looked for in the "
        "program: where it is the true one the fault is taken away, otherwise the next is tried. The first exact change is "
        "made, alone (but never more than four times the budget), and the run is trained anew with the same seed. Improved means better by 5 % of what the healthy "
        "recipe gains. Runs without advice count as not improved.\n"
        f"- {calibrated} of the doctor's {len(TABLE)} thresholds are calibrated on recorded runs; `upswing explain CODE` "
        "says where each comes from.\n"
    )
