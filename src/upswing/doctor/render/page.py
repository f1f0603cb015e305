"""A diagnosis as one HTML file that needs nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path

import numpy as np

from upswing.doctor.diagnose import Diagnosis
from upswing.doctor.findings import NotApplicable, NotChecked
from upswing.doctor.render.svg import chart
from upswing.doctor.render.worded import (
    CardWords,
    CauseWords,
    EvidenceWords,
    card_words,
    claim,
    counts_line,
    headline,
    log_notes,
    reason,
    return_line,
    run_line,
)
from upswing.doctor.texts import Texts, texts
from upswing.run.disk import storage_errors

_STYLE = """
:root { --ink:#1d2330; --soft:#667085; --paper:#f6f7f9; --card:#fff; --rule:#e3e6ec; --line:#2672c9; --warn:#b5670b;
  --error:#c2342b; --info:#0f7c8a; --good:#1b7f4b; --since:#b5670b14; }
@media (prefers-color-scheme: dark) { :root { --ink:#e6e9ef; --soft:#98a2b3; --paper:#12151b; --card:#1a1f28;
  --rule:#2b3240; --line:#6db1ff; --warn:#e0a04a; --error:#f27a70; --info:#5cc4d1; --good:#5fcf94; --since:#e0a04a1c; } }
* { box-sizing:border-box } body { margin:0; background:var(--paper); color:var(--ink); line-height:1.55;
  font:16px/1.55 system-ui,-apple-system,"Segoe UI","Noto Sans","Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif }
main { max-width:820px; margin:0 auto; padding:36px 20px 60px } h1 { font-size:24px; margin:0 } h2 { font-size:18px; margin:0 }
.soft { color:var(--soft) } .small { font-size:14px } header { margin-bottom:20px }
.card { background:var(--card); border:1px solid var(--rule); border-left:5px solid var(--kind); border-radius:10px;
  padding:18px 20px; margin:18px 0 } .error { --kind:var(--error) } .warn { --kind:var(--warn) } .info { --kind:var(--info) }
.top { display:flex; gap:10px; align-items:baseline; flex-wrap:wrap } .tag { background:var(--kind); color:var(--card);
  font-size:12px; font-weight:700; padding:2px 8px; border-radius:5px } .code { color:var(--kind); font-weight:700 }
.right { margin-left:auto } .claim { font-size:17px; margin:12px 0 14px } h3 { font-size:13px; color:var(--soft);
  font-weight:600; margin:16px 0 6px } ol { margin:0; padding-left:22px } li { margin:5px 0 } code { font-family:ui-monospace,
  "SF Mono",Menlo,Consolas,monospace; font-size:14px } .change { display:inline-block; color:var(--good); font-weight:600 }
.evidence { margin:10px 0 4px } .evidence b { font-variant-numeric:tabular-nums } svg { width:100%; height:auto; display:block }
.line { fill:none; stroke:var(--line); stroke-width:1.6 } .limit { stroke:var(--warn); stroke-dasharray:5 4 } .dot { fill:var(--good) }
.onset { stroke:var(--warn); stroke-width:1.5 } .since { fill:var(--since) } .grid { stroke:var(--rule) } .tick { fill:var(--soft);
  font-size:11px; font-family:inherit } details { margin-top:14px } summary { cursor:pointer; color:var(--soft) }
.all-well { color:var(--good); font-weight:600 } ul { padding-left:20px }
"""


def write_page(diagnosis: Diagnosis, path: str | os.PathLike[str], lang: str) -> None:
    """Write the page of `diagnosis` to `path`. Raises StorageError."""
    with storage_errors(f"Writing {os.fspath(path)}"):
        Path(path).write_text(page(diagnosis, lang), "utf-8")


def page(diagnosis: Diagnosis, lang: str) -> str:
    """The whole page."""
    said = texts(lang)
    cards = [card_words(diagnosis.case, card, lang) for card in diagnosis.grave]
    title = f"{said.words['title']} · {diagnosis.series.name}"
    body = [_header(diagnosis, said), *(card_section(card, said) for card in cards)]
    if not cards:
        body.append(f'<p class="all-well">✔ {escape(said.words["healthy"])}</p>')
    body += [_remarks(diagnosis, said), _checks(diagnosis, said), _notes(diagnosis, said)]
    return (
        f'<!doctype html><html lang="{lang}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><main>{''.join(body)}</main></body></html>\n"
    )


def _header(diagnosis: Diagnosis, said: Texts) -> str:
    series, returns = diagnosis.series, diagnosis.case.returns
    scores = series.column("eval/mean_reward")
    at = np.flatnonzero(np.isfinite(scores))
    points = [(float(series.steps[i]), float(scores[i])) for i in at]
    picture = chart(returns.x, returns.y, points=points, label=said.words["return"])
    return (
        f'<header><div class="top"><h1>{escape(said.words["title"])}</h1>'
        f'<span class="soft">{escape(series.name)}</span><span class="right">{escape(headline(diagnosis, said))}</span></div>'
        f'<p class="soft small">{escape(run_line(diagnosis, said))} · {escape(return_line(diagnosis, said))}</p>{picture}</header>'
    )


def card_section(card: CardWords, said: Texts, heading: str = "") -> str:
    """A card as a <section>; `heading` stands above it, where it is one of several runs."""
    certainty = " · ".join(part for part in (card.certainty, card.since) if part)
    symptoms = "".join(f"<li><b>{code}</b> {escape(text)}</li>" for code, _, text in card.symptoms)
    also = f"<h3>{escape(said.words['symptoms'])}</h3><ul class='small'>{symptoms}</ul>" if symptoms else ""
    return (
        f'<section class="card {card.severity}">{f"<h3>{escape(heading)}</h3>" if heading else ""}<div class="top"><span class="tag">{escape(card.severity_word)}</span>'
        f'<span class="code">{card.code}</span><h2>{escape(card.title)}</h2>'
        f'<span class="right soft small">{escape(certainty)}</span></div><p class="claim">{escape(card.claim)}</p>'
        f"<h3>{escape(said.words['evidence'])}</h3>{''.join(_evidence(each) for each in card.evidence)}"
        f"<h3>{escape(said.words['causes'])}</h3><ol>{''.join(_cause(each) for each in card.causes)}</ol>{also}"
        f"<h3>{escape(said.words['disproof'])}</h3><div>{escape(card.disproof)}</div>"
        f'<p class="small soft">{escape(said.words["more"])}: <code>{escape(card.read_on)}</code></p></section>'
    )


def _evidence(evidence: EvidenceWords) -> str:
    curve = evidence.curve
    picture = chart(curve.x, curve.y, limit=curve.limit, onset=curve.onset, label=evidence.name) if curve else ""
    rest = " · ".join(part for part in (evidence.origin, evidence.span) if part)
    return (
        f'<div class="evidence"><code>{escape(evidence.name)}</code> <b>{escape(evidence.value)}</b> {escape(evidence.bound)} '
        f'<span class="soft small">{escape(rest)}</span>{picture}</div>'
    )


def _cause(cause: CauseWords) -> str:
    change = ""
    if cause.change:
        change = f'<br><code class="change">{escape(cause.change)}</code> <span class="soft small">{escape(cause.when)}</span>'
    return f'<li>{escape(cause.text)} <span class="soft small">{cause.percent} %</span>{change}</li>'


def _remarks(diagnosis: Diagnosis, said: Texts) -> str:
    if not diagnosis.remarks:
        return ""
    rows = "".join(f"<li><b>{card.code}</b> {escape(claim(card.finding, said))}</li>" for card in diagnosis.remarks)
    return f"<h3>{escape(said.words['remarks'])}</h3><ul>{rows}</ul>"


def _checks(diagnosis: Diagnosis, said: Texts) -> str:
    passed = "".join(f"<li>✔ <b>{a.code}</b> {escape(said.rules[a.code].passed)}</li>" for a in diagnosis.passed)
    asked: tuple[NotChecked | NotApplicable, ...] = (*diagnosis.not_checked, *diagnosis.not_applicable)
    others = "".join(f"<li><b>{a.code}</b> {escape(reason(a, said))}</li>" for a in asked)
    return f"<details><summary>{escape(counts_line(diagnosis, said))}</summary><ul class='small'>{passed}{others}</ul></details>"


def _notes(diagnosis: Diagnosis, said: Texts) -> str:
    rows = "".join(f"<li>{escape(note)}</li>" for note in log_notes(diagnosis, said))
    return f'<h3>{escape(said.words["notes"])}</h3><ul class="small soft">{rows}</ul>' if rows else ""
