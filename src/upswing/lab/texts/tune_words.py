"""What a search says, in English and Chinese."""

EN = {
    "title": "{env}: searching {names}; {n} trials in all",
    "going": "{done} of {n} trials",
    "complete": "trial {number}: return {score:.4g}",
    "pruned": "trial {number}: ended early",
    "fail": "trial {number}: failed",
    "measuring": "Measuring the best settings and those that the search began with on {n} fresh seeds",
    "counts": "{complete} trials complete, {pruned} ended early, {failed} failed.",
    "none": "No trial was completed, so there is no best one: raise --trials.",
    "best": "Best: trial {number}, return {score:.4g} in its own trial.",
    "importance": "importance {share:.0%}",
    "best_settings": "Best settings",
    "baseline": "Where it began",
    "fresh": "{label} on {n} fresh seeds: return {value:.4g} ({low:.4g} … {high:.4g})",
    "train": "Train with it: upswing train --config {folder}/best.toml",
    "interrupted": "Interrupted. Go on with: upswing tune --resume {folder}",
}

ZH = {
    "title": "{env}：搜索 {names}；共 {n} 次试验",
    "going": "已完成 {done} / {n} 次试验",
    "complete": "试验 {number}：回报 {score:.4g}",
    "pruned": "试验 {number}：提前结束",
    "fail": "试验 {number}：失败",
    "measuring": "正在用 {n} 个新种子测量最好的设置和搜索开始时的设置",
    "counts": "{complete} 次试验完成，{pruned} 次提前结束，{failed} 次失败。",
    "none": "没有任何试验完成，因此没有最好的设置：请增大 --trials。",
    "best": "最好：试验 {number}，在它自己的试验中回报为 {score:.4g}。",
    "importance": "重要性 {share:.0%}",
    "best_settings": "最好的设置",
    "baseline": "搜索开始时的设置",
    "fresh": "{label}，{n} 个新种子：回报 {value:.4g}（{low:.4g} … {high:.4g}）",
    "train": "用它训练：upswing train --config {folder}/best.toml",
    "interrupted": "已中断。继续：upswing tune --resume {folder}",
}

TUNE_WORDS = {"en": EN, "zh": ZH}
