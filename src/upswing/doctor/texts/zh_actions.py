"""What the autopilot says, in Chinese."""

ACTIONS = {
    "changed": "自动调参：{field} {old} → {new}，原因是 {code}（{title}）。预期：{metric} 从 {before} 开始{moves}；10 到 20 次更新后判断。修改前的检查点：第 {checkpoint} 步。",
    "kept": "自动调参：{field} 保持 {new}：{metric} 从 {before} 变为 {after}，与预期一致。",
    "returned": "自动调参：{field} 恢复为 {old}：{metric} 从 {before} 变为 {after}，与预期不符。",
    "harmed": "自动调参：回报降到 {return}，低于 {floor}。{field} 恢复为 {old}，权重恢复到第 {checkpoint} 步。",
    "advised": "自动调参：针对 {code}，重新训练会有帮助，{field} {old} → {new}：{command}",
    "rises": "上升",
    "falls": "下降",
}
