"""What the autopilot says, in English."""

ACTIONS = {
    "changed": "Autopilot: {field} {old} → {new}, because of {code} ({title}). Expected: {metric} {moves} from {before}; judged after 10 to 20 updates. Checkpoint before it: step {checkpoint}.",
    "kept": "Autopilot: {field} stays at {new}: {metric} went from {before} to {after}, as expected.",
    "returned": "Autopilot: {field} is back at {old}: {metric} went from {before} to {after}, not as expected.",
    "harmed": "Autopilot: the return fell to {return}, below {floor}. {field} is back at {old}, and the weights are those of step {checkpoint} again.",
    "advised": "Autopilot: against {code} a new run would help, with {field} {old} → {new}: {command}",
    "rises": "rises",
    "falls": "falls",
}
