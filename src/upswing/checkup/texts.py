"""The sentences of upswing check in English and Chinese: what was found, and after it what to mend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from upswing.checkup.findings import Finding

EN = {
    "cannot_be_made": "It cannot be made. {said}",
    "contract": "It cannot be stepped. {said}",
    "observation_space": "Its observations cannot be learned from: {said}",
    "action_space": "Its actions cannot be chosen by a policy: {said}",
    "not_finite": "{said}: look for a division by zero, a logarithm of 0, or an unstable simulation.",
    "seed_ignored": (
        "Two resets with the same seed begin differently: call super().reset(seed=seed) and draw only from "
        "self.np_random."
    ),
    "not_deterministic": (
        "The same seed and the same actions lead to different steps: draw only from self.np_random, and let reset put "
        "back everything that step changes."
    ),
    "shared_state": (
        "Stepping one instance changes another one: keep state in self, not in the class, a module or a default argument."
    ),
    "outside_bounds": "An observation lies outside its space ({where}): widen the bounds, or clip.",
    "no_end": (
        "No episode ended in {steps:,} steps: give the environment a time limit, such as max_episode_steps when it is "
        "registered, and return truncated=True there."
    ),
    "time_limit_terminated": (
        "All {episodes} episodes were terminated after exactly {length} steps: if that is a time limit, return "
        "truncated=True instead, so that what would have followed still counts."
    ),
    "resets_itself": (
        "The last observation of every episode is the first of the next: return what was seen at the end, and reset in "
        "reset only."
    ),
    "reward_large": "Rewards reach {largest:.4g}: divide them by a constant, or train with --normalize-reward.",
    "reward_small": "No reward exceeds {largest:.3g}: multiply them by a constant, or train with --normalize-reward.",
    "reward_constant": (
        "The reward was {reward:g} in all of {steps:,} random steps: make sure that chance can meet another one, or reward "
        "partial success."
    ),
    "observation_large": (
        "Observations reach {largest:.4g} (feature {feature}): scale them to about -1 to 1, or train with --normalize-obs."
    ),
    "observation_constant": (
        "{features} of {of} observed features never changed (the first is {first}): leave out what says nothing."
    ),
    "action_range": (
        "Actions range from {low:g} to {high:g}, and a fresh policy draws around 0 ± 1: let them range from -1 to 1 and "
        "scale inside step."
    ),
    "action_unbounded": "The action space has no bounds: give it some, from -1 to 1 at best.",
    "float64": "Observations are declared float64: declare float32, which is what a policy gets.",
    "same_start": "Every episode begins with the same observation: if the task varies, draw its start from self.np_random.",
    "reused_array": (
        "Steps return the same array over and over: return a copy, or other programs will store one observation many times."
    ),
    "not_picklable": (
        "It cannot be sent to worker processes: define it in an importable module and let the constructor create what it "
        "needs; until then training uses one core."
    ),
    "slow": "A step takes {ms:.3g} ms ({rate:,.0f} a second): set n_envs to at least the number of cores, for worker processes.",
    "no_state": "Its state cannot be saved, so a resumed run begins new episodes: methods get_state and set_state change that.",
    "fine": "Nothing to mend.",
    "measured": "{steps:,} random steps, {rate:,.0f} a second; {episodes} episodes{length}; reward {mean:.4g} ± {std:.3g}",
    "length": " of {mean:.4g} steps",
    "error": "error",
    "warn": "warning",
    "info": "remark",
}

ZH = {
    "cannot_be_made": "无法创建。{said}",
    "contract": "无法推进。{said}",
    "observation_space": "这种观测无法用来学习：{said}",
    "action_space": "策略无法选择这种动作：{said}",
    "not_finite": "{said}：检查是否除以零、对 0 取对数，或仿真不稳定。",
    "seed_ignored": "同一个种子两次重置，开头却不同：请调用 super().reset(seed=seed)，随机数只从 self.np_random 取。",
    "not_deterministic": "种子相同、动作相同，过程却不同：随机数只从 self.np_random 取，step 改变的东西都要在 reset 里还原。",
    "shared_state": "推进一个实例会改变另一个实例：状态放在 self 里，不要放在类、模块或默认参数里。",
    "outside_bounds": "有观测超出了空间的边界（{where}）：放宽边界，或者截断。",
    "no_end": "{steps:,} 步里没有一个回合结束：给环境设时间上限，例如注册时的 max_episode_steps，并在那里返回 truncated=True。",
    "time_limit_terminated": (
        "{episodes} 个回合都恰好在第 {length} 步以 terminated 结束：如果那是时间上限，请改为返回 truncated=True，"
        "这样之后本来能得到的仍然算数。"
    ),
    "resets_itself": "每个回合的最后一个观测就是下一回合的第一个：请返回结束时看到的观测，只在 reset 里重置。",
    "reward_large": "奖励大到 {largest:.4g}：除以一个常数，或用 --normalize-reward 训练。",
    "reward_small": "奖励都不超过 {largest:.3g}：乘以一个常数，或用 --normalize-reward 训练。",
    "reward_constant": "{steps:,} 个随机步的奖励全是 {reward:g}：确认随机行动也能碰到别的奖励，或奖励部分成功。",
    "observation_large": "观测大到 {largest:.4g}（第 {feature} 个特征）：缩放到 -1 到 1 左右，或用 --normalize-obs 训练。",
    "observation_constant": "{of} 个观测特征中有 {features} 个从不变化（第一个是 {first}）：没有信息的就去掉。",
    "action_range": "动作范围是 {low:g} 到 {high:g}，而新策略在 0 ± 1 附近取值：让动作在 -1 到 1 之间，在 step 里再缩放。",
    "action_unbounded": "动作空间没有边界：请设边界，最好是 -1 到 1。",
    "float64": "观测声明为 float64：请声明为 float32，策略得到的就是它。",
    "same_start": "每个回合的第一个观测都相同：如果任务应有变化，请从 self.np_random 抽取起点。",
    "reused_array": "每一步返回的是同一个数组：请返回副本，否则别的程序会把同一个观测存很多遍。",
    "not_picklable": "无法送到工作进程：请定义在可导入的模块里，并让构造函数自己创建所需的东西；在那之前训练只用一个核。",
    "slow": "一步要 {ms:.3g} 毫秒（每秒 {rate:,.0f} 步）：把 n_envs 设为不少于核数，以便使用工作进程。",
    "no_state": "状态无法保存，恢复训练时会开始新的回合：提供 get_state 和 set_state 就能精确继续。",
    "fine": "没有要改的。",
    "measured": "随机行动 {steps:,} 步，每秒 {rate:,.0f} 步；{episodes} 个回合{length}；奖励 {mean:.4g} ± {std:.3g}",
    "length": "，平均 {mean:.4g} 步",
    "error": "错误",
    "warn": "警告",
    "info": "提示",
}

SAME = {"reward_huge": "reward_large", "observation_huge": "observation_large"}
"""Findings that differ in gravity only."""

TEXTS: Mapping[str, Mapping[str, str]] = {"en": EN, "zh": ZH}


def sentence(finding: Finding, lang: str) -> str:
    """What was found and what to mend, as one sentence (an error of another part brings its own)."""
    return TEXTS[lang][SAME.get(finding.name, finding.name)].format(**finding.facts)


def measured_line(measured: Mapping[str, Any], lang: str) -> str:
    """What was measured, as one line."""
    said = TEXTS[lang]
    length = said["length"].format(mean=measured["episode_length"]) if measured["episode_length"] else ""
    return said["measured"].format(
        steps=measured["steps"],
        rate=measured["steps_per_second"],
        episodes=measured["episodes"],
        length=length,
        mean=measured["reward_mean"],
        std=measured["reward_std"],
    )
