"""Every text that the views show, in English and Chinese, and the choice between the two."""

from __future__ import annotations

import os
from collections.abc import Mapping

from upswing.errors import ConfigError

LANGUAGES = ("en", "zh")

_EN = {
    "preparing": "Preparing {env} … the first time, this includes compiling.",
    "parameters": "{n} parameters",
    "seed": "seed {n}",
    "resumed": "continued at {n} steps",
    "engine_torch": "torch engine",
    "engine_native": "native engine",
    "steps_of": "{done} of {total} steps",
    "left": "{time} left",
    "elapsed": "after {time}",
    "iteration": "iteration {done} of {total}",
    "return": "return",
    "axis_steps": "steps",
    "legend_rollout": "episodes while learning",
    "legend_eval": "evaluations",
    "no_episode": "No episode has finished yet.",
    "speed": "speed",
    "steps_per_second": "{n} steps/s",
    "collect": "collect",
    "update": "update",
    "eval": "evaluate",
    "memory": "memory {n} MB",
    "metrics": "metrics",
    "healthy": "usual range",
    "in_band": "as usual",
    "above": "above",
    "below": "below",
    "last_eval": "last evaluation",
    "eval_result": "{mean} ± {std} at {steps} steps",
    "best": "best {n}",
    "success": "success {n}",
    "no_eval": "none yet",
    "notices": "notes",
    "more_notices": "{n} more",
    "done": "Done",
    "stopped": "Stopped",
    "interrupted": "Interrupted and saved",
    "final_return": "Return",
    "final_evaluation": "the final policy, most likely actions",
    "best_return": "Best evaluation",
    "took": "Took",
    "took_text": "{time}, {train} of it training: {steps} steps at {fps} steps/s",
    "run_folder": "Run",
    "next_eval": "Score it",
    "next_watch": "Watch it",
    "next_tensorboard": "All curves",
    "next_resume": "Continue it",
    "expected": "{preset}: about {n} expected",
    "plain_start": "Training {env}: {description}; {engine}, {parameters}, seed {seed}. Run: {run_dir}",
    "plain_line": "{share:>4} {steps:>11} steps  {fps:>9} steps/s  {left:>8} left  return {ret:>8}{eval}",
    "plain_eval": "  evaluation {mean} ± {std}",
    "plain_end": "{what}: return {mean} (best {best}) after {steps} steps in {time}, {fps} steps/s. Run: {run_dir}",
    "unknown": "–",
    "rollout/ep_rew_mean": "return",
    "rollout/ep_len_mean": "episode length",
    "rollout/success_rate": "success rate",
    "train/approx_kl": "approx. KL",
    "train/clip_fraction": "clip fraction",
    "train/explained_variance": "explained variance",
    "train/entropy_loss": "entropy",
    "train/value_loss": "value loss",
    "train/learning_rate": "learning rate",
    "train/std": "σ of the actions",
    "train/grad_norm": "gradient norm",
}

_ZH = {
    "preparing": "正在准备 {env} …首次运行需要编译。",
    "parameters": "{n} 个参数",
    "seed": "种子 {n}",
    "resumed": "从第 {n} 步继续",
    "engine_torch": "torch 引擎",
    "engine_native": "本机引擎",
    "steps_of": "{done} / {total} 步",
    "left": "剩余 {time}",
    "elapsed": "已用 {time}",
    "iteration": "迭代 {done} / {total}",
    "return": "回报",
    "axis_steps": "步",
    "legend_rollout": "训练中的回合",
    "legend_eval": "评估",
    "no_episode": "还没有回合结束。",
    "speed": "速度",
    "steps_per_second": "{n} 步/秒",
    "collect": "采样",
    "update": "更新",
    "eval": "评估",
    "memory": "内存 {n} MB",
    "metrics": "指标",
    "healthy": "常见范围",
    "in_band": "正常",
    "above": "高于",
    "below": "低于",
    "last_eval": "最近评估",
    "eval_result": "{mean} ± {std}（第 {steps} 步）",
    "best": "最好 {n}",
    "success": "成功率 {n}",
    "no_eval": "尚无",
    "notices": "说明",
    "more_notices": "另有 {n} 条",
    "done": "完成",
    "stopped": "已停止",
    "interrupted": "已中断并保存",
    "final_return": "回报",
    "final_evaluation": "最终策略，取最可能的动作",
    "best_return": "最好的评估",
    "took": "用时",
    "took_text": "{time}，其中训练 {train}：{steps} 步，{fps} 步/秒",
    "run_folder": "目录",
    "next_eval": "打分",
    "next_watch": "观看",
    "next_tensorboard": "全部曲线",
    "next_resume": "继续训练",
    "expected": "{preset}：预期约 {n}",
    "plain_start": "训练 {env}：{description}；{engine}，{parameters}，种子 {seed}。目录：{run_dir}",
    "plain_line": "{share:>4} {steps:>11} 步  {fps:>9} 步/秒  剩余 {left:>8}  回报 {ret:>8}{eval}",
    "plain_eval": "  评估 {mean} ± {std}",
    "plain_end": "{what}：回报 {mean}（最好 {best}），{time} 内 {steps} 步，{fps} 步/秒。目录：{run_dir}",
    "unknown": "–",
    "rollout/ep_rew_mean": "回报",
    "rollout/ep_len_mean": "回合长度",
    "rollout/success_rate": "成功率",
    "train/approx_kl": "近似 KL 散度",
    "train/clip_fraction": "裁剪比例",
    "train/explained_variance": "解释方差",
    "train/entropy_loss": "熵",
    "train/value_loss": "价值损失",
    "train/learning_rate": "学习率",
    "train/std": "动作标准差 σ",
    "train/grad_norm": "梯度范数",
}

WORDS: dict[str, Mapping[str, str]] = {"en": _EN, "zh": _ZH}
"""The texts by language and key; every language has every key."""


def language(chosen: str | None = None) -> str:
    """The language to speak: `chosen`, else UPSWING_LANG, else the locale's where it is Chinese, else English.

    Raises ConfigError for a language that is not spoken.
    """
    asked = chosen or os.environ.get("UPSWING_LANG")
    if asked:
        short = asked.lower().replace("_", "-").split("-")[0]
        if short not in LANGUAGES:
            raise ConfigError(f"The language {asked!r} is not spoken here: choose one of {', '.join(LANGUAGES)}.")
        return short
    locale = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return "zh" if locale.lower().startswith("zh") else "en"
