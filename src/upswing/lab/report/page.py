"""A comparison as one HTML file: style, script and data are in it, and it asks the network for nothing."""

from __future__ import annotations

import json
import os
import shlex
from collections import Counter
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from upswing.doctor.render.page import card_section
from upswing.doctor.render.structured import plain
from upswing.doctor.render.worded import card_words
from upswing.doctor.texts import fill, texts
from upswing.errors import UserError
from upswing.lab.compare import Comparison, Row
from upswing.lab.gather import Member
from upswing.lab.reason import reason_of
from upswing.lab.report.curves import Curves, Panel, panels
from upswing.lab.texts import comparison_texts
from upswing.lab.worded import (
    Said,
    difference_texts,
    interval_text,
    losses,
    measure_name,
    notes,
    pair_line,
    reason_line,
    row_texts,
    verdict_lines,
    why,
)
from upswing.run.directory import read_run
from upswing.run.disk import storage_errors
from upswing.run.versions import versions
from upswing.view.numbers import count, number

HERE = Path(__file__).parent
CARDS = 4  # of one setting, at most
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def write_report(comparison: Comparison, path: str | os.PathLike[str], lang: str) -> None:
    """Write the page of `comparison` to `path`. Raises StorageError."""
    with storage_errors(f"Writing {os.fspath(path)}"):
        Path(path).write_text(page(comparison, lang), "utf-8")


def page(comparison: Comparison, lang: str) -> str:
    """The whole page."""
    words, plots = comparison_texts(lang), panels(comparison)
    title = f"{words['report']} · {name_of(comparison)}"
    body = (
        _header(comparison, lang),
        _brief(comparison, lang),
        _results(comparison, lang),
        _plots(comparison, plots, lang),
        _why(comparison, lang),
        _differences(comparison, lang),
        _doctor(comparison, lang),
        _lists(comparison, lang),
        _repeat(comparison, lang),
        f"<footer>{escape(fill(words['made'], {'version': versions().get('upswing', '')}))}</footer>",
    )
    style, script = ((HERE / name).read_text("utf-8") for name in ("style.css", "chart.js"))
    return (
        f'<!doctype html>\n<html lang="{lang}"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{style}</style></head><body><main>{''.join(body)}</main>"
        f'<script type="application/json" id="data">{embedded(data(comparison, plots, lang))}</script>'
        f"<script>{script}</script></body></html>\n"
    )


def embedded(value: Any) -> str:
    """`value` as JSON that cannot end the script element it stands in, whatever texts it holds."""
    text = json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e").replace("\u2028", "\\u2028")


def data(comparison: Comparison, plots: list[Panel], lang: str) -> dict[str, Any]:
    """What the script draws."""
    return {
        "words": {"steps": comparison_texts(lang)["steps"]},
        "settings": [{"label": r.label, "control": bool(r.setting.control_of)} for r in comparison.rows],
        "panels": [{"log": p.logarithmic, "curves": [_curves(c, lang) for c in p.curves]} for p in plots],
    }


def _curves(curves: Curves, lang: str) -> dict[str, Any]:
    """One setting's lines, to five digits; low and high are null for a single run."""
    said = comparison_texts(lang)
    several = len(curves.runs) > 1
    low, high = (_rounded(line) if several else None for line in (curves.band.low, curves.band.high))
    marks = [
        {
            "code": mark.code,
            "step": mark.step,
            "text": fill(
                said["onset"],
                {"code": mark.code, "step": count(mark.step), "title": texts(lang).rules[mark.code].title},
            ),
        }
        for mark in curves.marks
    ]
    return {
        "setting": curves.setting,
        "steps": _rounded(curves.steps, 9),
        "runs": [_rounded(run) for run in curves.runs],
        "value": _rounded(curves.band.value),
        "low": low,
        "high": high,
        "marks": marks,
    }


def _rounded(values: np.ndarray, digits: int = 5) -> list[float | None]:
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in values.tolist()]


def name_of(comparison: Comparison) -> str:
    """What to call the whole: the environment, else the run."""
    return comparison.gathered.env or comparison.gathered.members[0].name


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>" if content else ""


def _header(comparison: Comparison, lang: str) -> str:
    words, gathered = comparison_texts(lang), comparison.gathered
    parts = [fill(words["runs"], {"n": len(gathered.members)})]
    if len(comparison.rows) > 1:
        parts = [fill(words["settings_n"], {"n": len(comparison.rows)}), *parts]
    parts += sorted({member.series.source.name for member in gathered.members})
    parts += [path for path in gathered.given if path][:4]
    return (
        f'<header><div class="top"><h1>{escape(name_of(comparison))}</h1><span class="soft">{escape(words["report"])}</span>'
        f'<button class="right" id="theme" type="button">{escape(words["light_dark"])}</button></div>'
        f'<p class="soft small">{escape(" · ".join(parts))}</p></header>'
    )


def _brief(comparison: Comparison, lang: str) -> str:
    """What matters most, first."""
    words, lines = comparison_texts(lang), []
    for row in comparison.rows:
        for place, said in enumerate(verdict_lines(comparison, row, lang)):
            lines.append(f'<li class="{"detail" if place else "bad"}">{escape(said.text)}</li>')
    lines += [f"<li>{escape(pair_line(comparison, pair.setting, words))}</li>" for pair in comparison.pairs]
    if not lines:
        row = comparison.rows[0]
        text = f"{measure_name(comparison, words)} {interval_text(row.verdict.final, comparison.gathered.measure)}"
        seen = reason_line(replace(row, reason=reason_of(row.setting.diagnoses)), lang)
        lines = [f"<li>{escape(text)}</li>", f"<li>{escape(seen)}</li>"]
    return _section(words["summary"], f'<ul class="panel brief">{"".join(lines)}</ul>')


def _results(comparison: Comparison, lang: str) -> str:
    """The settings with scores and claims, and what each took."""
    words = comparison_texts(lang)
    goal = {"threshold": number(comparison.threshold)}
    scores = {"label": words["setting"], "n": words["seeds"], "final": measure_name(comparison, words)}
    if len(comparison.rows) > 1:
        against = fill(words["against"], {"reference": comparison.gathered.reference})
        scores |= {"verdict": words["verdict"], "claim": against, "chance": words["chance"]}
    costs = {"label": words["setting"], "height": words["height"], "steps_to": fill(words["steps_to"], goal)}
    costs |= {"seconds_to": fill(words["seconds_to"], goal), "wall": words["wall"], "speed": words["speed"]}
    tables = "".join(f'<div class="panel scroll">{_table(comparison, heads, lang)}</div>' for heads in (scores, costs))
    return _section(words["results"], f'<p class="soft small">{escape(words["interval"])}</p>{tables}')


def _table(comparison: Comparison, heads: dict[str, str], lang: str) -> str:
    """The cells of every row under `heads`, by the keys of `row_texts`."""
    head = "".join(f'<th class="{_KINDS.get(key, "n")}">{escape(text)}</th>' for key, text in heads.items())
    rows = "".join(
        f"<tr>{''.join(_cell(key, row, place, row_texts(comparison, row, lang)) for key in heads)}</tr>"
        for place, row in enumerate(comparison.rows)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


_KINDS = {"label": "name", "verdict": "", "claim": ""}  # other columns hold numbers


def _cell(key: str, row: Row, place: int, cells: dict[str, Any]) -> str:
    text = escape(cells[key])
    if key == "label":
        text = _swatch(row, place) + text
    elif key == "verdict":
        text = f'<span class="pill {row.verdict.state}">{text}</span>'
    elif key == "claim" and cells["p"]:
        text += f' <span class="soft">p {escape(cells["p"])}</span>'
    return f'<td class="{_KINDS.get(key, "n")}">{text}</td>'


def _swatch(row: Row, place: int) -> str:
    dashed = " dashed" if row.setting.control_of else ""
    return f'<span class="swatch{dashed}" style="--c:var(--c{place % 8})"></span>'


def _plots(comparison: Comparison, plots: list[Panel], lang: str) -> str:
    """The legend, and an empty box for each plot, which the script fills."""
    words = comparison_texts(lang)
    several = len(comparison.gathered.members) > 1
    legend = "".join(
        f'<button type="button" data-setting="{place}" aria-pressed="true">{_swatch(row, place)}{escape(row.label)}</button>'
        for place, row in enumerate(comparison.rows)
    )
    boxes = "".join(
        f'<div class="panel plot{" first" if plot.key == "return" else ""}" data-panel="{place}">'
        f"<h3>{escape(words[f'panel_{plot.key}'])}<code>{escape(plot.tag)}</code></h3></div>"
        for place, plot in enumerate(plots)
    )
    note = escape(words["curves_note" if several else "curves_note_one"])
    return _section(
        words["curves"],
        f'<p class="soft small">{note}</p><div class="legend">{legend}</div><div class="plots">{boxes}</div>',
    )


def _said(said: Said) -> str:
    command = f"<pre>{escape(said.command)}</pre>" if said.command else ""
    return f"<p>{escape(said.text)}</p>{command}"


def _why(comparison: Comparison, lang: str) -> str:
    """Direct effects, arithmetic, and the control that would tell them apart."""
    words, parts = comparison_texts(lang), []
    for label, sentences in why(comparison, lang):
        heading = f"{label} {fill(words['against'], {'reference': comparison.gathered.reference})}"
        parts.append(f'<div class="why"><h3>{escape(heading)}</h3>{"".join(map(_said, sentences))}</div>')
    return _section(words["why"], f'<div class="panel">{"".join(parts)}</div>' if parts else "")


def _differences(comparison: Comparison, lang: str) -> str:
    """What is not the same in all settings."""
    words = comparison_texts(lang)
    if not comparison.differences:
        return ""
    head = "".join(f'<th class="n">{_swatch(r, i)}{escape(r.label)}</th>' for i, r in enumerate(comparison.rows))
    rows = []
    for each in comparison.differences:
        name, values = difference_texts(each, lang)
        cells = "".join(f'<td class="n">{escape(value)}</td>' for value in values)
        derived = escape(words["follows"]) if each.derived else ""
        rows.append(f'<tr><td class="name">{escape(name)}</td>{cells}<td class="soft">{derived}</td></tr>')
    table = f"<table><thead><tr><th></th>{head}<th></th></tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return _section(words["differences"], f'<div class="panel scroll">{table}</div>')


def _doctor(comparison: Comparison, lang: str) -> str:
    """Each setting's grave cards, one for each code, with the number of runs that have it."""
    words, said, sections = comparison_texts(lang), texts(lang), []
    for row in comparison.rows:
        members = row.setting.members
        found = [(member, card) for member in members for card in member.diagnosis.grave]
        for code, n in Counter(card.code for _, card in found).most_common(CARDS):
            member, card = next(pair for pair in found if pair[1].code == code)
            heading = row.label if len(comparison.rows) > 1 else member.name
            if len(members) > 1:
                heading += f" · {fill(words['reached_of'], {'reached': n, 'n': len(members)})}"
            sections.append(card_section(card_words(member.diagnosis.case, card, lang), said, heading))
    healthy = f'<p class="all-well">✔ {escape(words["doctor_healthy"])}</p>'
    return _section(words["doctor"], "".join(sections) or healthy)


def _lists(comparison: Comparison, lang: str) -> str:
    """What the loss curves say, and notes."""
    words = comparison_texts(lang)
    found = []
    for title, lines in ((words["losses"], losses(comparison, lang)), (words["notes"], notes(comparison, lang))):
        items = "".join(f"<li>{escape(line)}</li>" for line in lines)
        found.append(_section(title, f'<ul class="panel brief">{items}</ul>' if items else ""))
    return "".join(found)


def _repeat(comparison: Comparison, lang: str) -> str:
    """Commands, all settings, versions and machines."""
    words = comparison_texts(lang)
    parts = [f'<p class="soft small">{escape(words["repeat_note"])}</p>']
    for place, row in enumerate(comparison.rows):
        settings = json.dumps(plain(dict(row.setting.config)), ensure_ascii=False, indent=1)
        commands = "\n".join(filter(None, (_command(member, place) for member in row.setting.members)))
        block = f"<pre>{escape(commands)}</pre>" if commands else ""
        parts.append(
            f"<details><summary>{_swatch(row, place)}{escape(row.label)}</summary>{block}"
            f"<p class='small soft'>setting-{place + 1}.json</p><pre>{escape(settings)}</pre></details>"
        )
    for title, key in ((words["versions"], "versions"), (words["machine"], "machine")):
        documents = {
            json.dumps(_document(member).get(key), sort_keys=True, indent=1) for member in comparison.gathered.members
        }
        known = sorted(documents - {"null"})
        if known:
            blocks = "".join(f"<pre>{escape(text)}</pre>" for text in known)
            parts.append(f"<details><summary>{escape(title)}</summary>{blocks}</details>")
    return _section(words["repeat"], f'<div class="panel">{"".join(parts)}</div>')


def _command(member: Member, place: int) -> str | None:
    """The command that repeats one run, from the settings that stand below it; None for another program's run."""
    if member.series.source.name != "upswing" or not member.series.config:
        return None
    seed = member.series.setting("seed")
    return shlex.join(["upswing", "train", "--config", f"setting-{place + 1}.json", "--seed", str(seed)])


def _document(member: Member) -> dict[str, Any]:
    try:
        return read_run(member.path)
    except UserError:  # another program's log, or metrics alone
        return {}
