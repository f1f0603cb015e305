"""What a study says, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_EN = {
    "success_once": "success",
    "mean_reward": "return",
    "gradient_steps": "gradient steps",
    "iterations": "iterations",
    "train_time": "training time",
    "definition": "Failed means: the 95 % interval over seeds of the final {score} lies below {halfway:.3g}, halfway "
    "between the untrained policy ({untrained:.3g}) and the study's best setting ({best:.3g}).",
    "definition_few": "Suspected means: the final {score} lies below {halfway:.3g}, halfway between the untrained policy "
    "({untrained:.3g}) and the study's best setting ({best:.3g}), with fewer than the 3 seeds that a verdict needs.",
    "because": "{label}: {verdict}. ",
    "few_updates": "It had {iterations} iterations and {steps:,} gradient steps; {reference} had {its_iterations} and "
    "{its_steps:,}.",
    "no_control": "Whether that is why is not shown: --match gradient_steps adds the control that would tell.",
    "control_learned": "With as many {quantity} as the reference ({iterations} iterations, {steps:,} gradient steps, {total:,} "
    "steps) it learned: {score} {value:.3g}. So it lacked updates, and {varied} itself does no such harm.",
    "control_failed": "With as many {quantity} as the reference ({iterations} iterations, {steps:,} gradient steps, {total:,} "
    "steps) it failed as well: {score} {value:.3g}. So the number of updates is not the reason.",
    "doctor_says": "The doctor says of {n} of {of} runs: {code}, {claim}",
    "setting": "setting",
    "interval": "95 % interval",
    "evaluations": "evaluations",
    "wall": "wall clock",
    "speed": "steps/s",
    "memory": "memory",
    "verdict": "verdict",
    "learned": "learned",
    "failed": "failed",
    "suspected": "suspected",
    "unknown": "–",
    "reference": "reference",
    "title": "{env}: {settings} settings × {seeds} seeds = {runs} runs",
    "whole": "{done} of {runs} runs",
    "run_ended": "{label}, seed {seed}: {score} {value:.3g} in {wall:.1f} s",
    "run_broke": "{label}, seed {seed}: broken. {reason}",
    "interrupted": "Interrupted: {left} runs are left. Continue with: upswing study --resume {folder}",
    "broken_runs": "{n} runs could not be trained:",
    "written": "Study: {folder}",
    "again": "Compare: upswing compare {folder}   Report: upswing report {folder} -o report.html",
    "no_scores": "No run has finished, so there is nothing to compare.",
    "no_verdict": "No verdict: the untrained policy was not scored.",
    "nothing_left": "All runs of this study are finished.",
    "curves": "{what} over environment steps, the mean over seeds",
}

_ZH = {
    "success_once": "成功率",
    "mean_reward": "回报",
    "gradient_steps": "梯度步数",
    "iterations": "迭代次数",
    "train_time": "训练时间",
    "definition": "“失败”的定义：最终{score}在各种子上的 95 % 区间低于 {halfway:.3g}，即未训练策略（{untrained:.3g}）与本研究最好的"
    "设置（{best:.3g}）的中点。",
    "definition_few": "“存疑”的定义：最终{score}低于 {halfway:.3g}，即未训练策略（{untrained:.3g}）与本研究最好的设置"
    "（{best:.3g}）的中点，而种子数少于判定所需的 3 个。",
    "because": "{label}：{verdict}。",
    "few_updates": "它只有 {iterations} 次迭代、{steps:,} 个梯度步；{reference} 有 {its_iterations} 次和 {its_steps:,} 个。",
    "no_control": "这是否就是原因尚未证明：--match gradient_steps 会加入能够说明问题的对照。",
    "control_learned": "在{quantity}与参照相同时（{iterations} 次迭代、{steps:,} 个梯度步、{total:,} 步），它学会了：{score} {value:.3g}。"
    "所以它缺的是更新，{varied} 本身并没有这样的害处。",
    "control_failed": "在{quantity}与参照相同时（{iterations} 次迭代、{steps:,} 个梯度步、{total:,} 步），它同样失败：{score} {value:.3g}。"
    "所以更新次数不是原因。",
    "doctor_says": "诊断（{of} 次训练中的 {n} 次）：{code}，{claim}",
    "setting": "设置",
    "interval": "95 % 区间",
    "evaluations": "评估次数",
    "wall": "用时",
    "speed": "步/秒",
    "memory": "内存",
    "verdict": "判定",
    "learned": "学会",
    "failed": "失败",
    "suspected": "存疑",
    "unknown": "–",
    "reference": "参照",
    "title": "{env}：{settings} 个设置 × {seeds} 个种子 = {runs} 次训练",
    "whole": "已完成 {done} / {runs} 次训练",
    "run_ended": "{label}，种子 {seed}：{score} {value:.3g}，用时 {wall:.1f} 秒",
    "run_broke": "{label}，种子 {seed}：中断。{reason}",
    "interrupted": "已中断：还剩 {left} 次训练。继续：upswing study --resume {folder}",
    "broken_runs": "{n} 次训练无法完成：",
    "written": "研究目录：{folder}",
    "again": "比较：upswing compare {folder}   报告：upswing report {folder} -o report.html",
    "no_scores": "没有任何训练完成，因此无可比较。",
    "no_verdict": "没有判定：未训练的策略没有得分。",
    "nothing_left": "这个研究的全部训练都已完成。",
    "curves": "{what}随环境步数的变化，各种子的平均",
}

WORDS: dict[str, Mapping[str, str]] = {"en": _EN, "zh": _ZH}


def fill(lang: str, key: str, **values: Any) -> str:
    """The text `key` in `lang`, with `values` filled in."""
    return WORDS[lang][key].format(**values)
