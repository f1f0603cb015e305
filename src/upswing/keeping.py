"""What a training keeps: scores of the policy, records of its metrics, checkpoints to return to. Each is a hook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from upswing.agent import Agent
from upswing.config import TrainConfig, config_to_json
from upswing.engine.contract import Rollout
from upswing.envs.contract import Episode, VectorEnv
from upswing.envs.make import make_vector_env
from upswing.evaluation import Evaluation, evaluate
from upswing.hooks import Hook, Record, Request, RunInfo
from upswing.policies import load_policy_arrays
from upswing.progress import Progress
from upswing.run.checkpoint import load_checkpoint, save_checkpoint
from upswing.run.directory import RunDirectory, rewind
from upswing.run.model_file import load_model
from upswing.run.records import EPISODES, METRICS, RecordWriter
from upswing.run.snapshot import unpack
from upswing.run.tensorboard import TensorBoardMirror
from upswing.run.versions import changes
from upswing.seeds import later_seeds, spawn_seeds

if TYPE_CHECKING:
    from upswing.training import Training


class Crossing:
    """Tells when a count of environment steps has passed another multiple of `every`; 0 means never."""

    def __init__(self, every: int, start: int):
        self.every, self.at = every, start

    def passed(self, count: int) -> bool:
        """Whether a multiple of `every` lies between the last call's count and this one's."""
        before, self.at = self.at, count
        return self.every > 0 and count // self.every > before // self.every


class Evaluator(Hook):
    """Scores the policy every eval_freq steps and after the last update, in environments of its own."""

    def __init__(self, config: TrainConfig, best: float | None = None):
        self.config, self.best = config, best
        self.n_envs = min(config.n_eval_envs, config.n_eval_episodes)
        self.seed = spawn_seeds(config.seed, 0).evaluation
        self.env: VectorEnv | None = None
        self.scored: tuple[int, Evaluation] | None = None  # after how many steps, and what

    def on_start(self, info: RunInfo) -> None:
        """Note when to evaluate."""
        self.last = info.derived.total_timesteps
        self.due = Crossing(info.derived.eval_freq, info.start_timesteps)

    def on_iteration(self, record: Record, agent: Agent) -> Request | None:
        """The score as metrics, when it is due."""
        steps = int(record["time/total_timesteps"] or 0)
        if not self.due.passed(steps) and steps < self.last:
            return None
        score, goal = self.score(agent, steps), self.config.early_stop_reward
        reached = goal is not None and score.mean_reward >= goal
        return Request(
            stop=f"evaluation reached a mean return of {score.mean_reward:g}" if reached else None,
            best=self.note_best(score),
            metrics=score_metrics(score),
        )

    def score(self, agent: Agent, steps: int) -> Evaluation:
        """The policy's score after `steps`; measured once."""
        if self.scored is None or self.scored[0] != steps:
            self.env = self.env or make_vector_env(self.config, self.n_envs, evaluation=True)
            seeds = later_seeds(self.seed, steps, self.n_envs)
            config = self.config
            score = evaluate(agent, self.env, config.n_eval_episodes, seeds, config.eval_deterministic)
            self.scored = (steps, score)
        return self.scored[1]

    def note_best(self, score: Evaluation) -> bool:
        """Whether `score` is at least as good as every one before, which it is measured against from now on."""
        if self.best is not None and score.mean_reward < self.best:
            return False
        self.best = score.mean_reward
        return True

    def close(self) -> None:
        """Close the evaluation environments."""
        if self.env is not None:
            self.env.close()


def score_metrics(score: Evaluation) -> dict[str, float | None]:
    """An evaluation under its metrics' tags; ManiSkill's names for return and length where success is spoken of."""
    successes = score.success_once is not None
    return {
        "eval/mean_reward": score.mean_reward,
        "eval/std_reward": score.std_reward,
        "eval/mean_ep_length": score.mean_ep_length,
        "eval/reward": score.mean_step_reward,
        "eval/return": score.mean_reward if successes else None,
        "eval/episode_len": score.mean_ep_length if successes else None,
        "eval/success_once": score.success_once,
        "eval/success_at_end": score.success_at_end,
        "eval/eval_s": score.seconds,
    }


class Recorder(Hook):
    """Writes every iteration's metrics and finished episodes to the run directory and mirrors them to TensorBoard."""

    def __init__(self, run: RunDirectory):
        self.run = run
        self.episodes: list[Episode] = []

    def on_start(self, info: RunInfo) -> None:
        """Open the files."""
        self.step = info.start_timesteps
        self.metrics = RecordWriter(self.run.path / METRICS)
        self.finished = RecordWriter(self.run.path / EPISODES)
        self.mirror = TensorBoardMirror(self.run.path, resumed_at=info.start_timesteps or None)
        self.mirror.write_settings(config_to_json(info.config))

    def on_notice(self, sentence: str) -> None:
        """Show it on TensorBoard's page of texts."""
        self.mirror.write_text("notices", sentence, self.step)

    def on_rollout(self, rollout: Rollout, num_timesteps: int) -> None:
        """Remember the finished episodes."""
        self.episodes, self.step = rollout.episodes, num_timesteps

    def on_iteration(self, record: Record, agent: Agent) -> None:
        """Write the record and the episodes."""
        self.metrics.write(record)
        step = record["time/total_timesteps"]
        self.finished.write(*(_episode_record(episode, step) for episode in self.episodes))
        self.mirror.write(record)

    def close(self) -> None:
        """Close the files; safe before they were opened."""
        for name in ("metrics", "finished", "mirror"):
            if hasattr(self, name):
                getattr(self, name).close()


def _episode_record(episode: Episode, step: float | int | None) -> dict[str, Any]:
    return {
        "total_timesteps": step,
        "env": episode.env,
        "return": episode.ret,
        "length": episode.length,
        "success_once": episode.success_once,
        "success_at_end": episode.success_at_end,
    }


class Checkpointer(Hook):
    """Asks for a checkpoint every checkpoint_freq steps."""

    def on_start(self, info: RunInfo) -> None:
        """Note when to save."""
        self.due = Crossing(info.derived.checkpoint_freq, info.start_timesteps)

    def on_iteration(self, record: Record, agent: Agent) -> Request:
        """A checkpoint, when it is due."""
        return Request(checkpoint=self.due.passed(int(record["time/total_timesteps"] or 0)))


def save(training: Training, best: bool = False, kept: bool = False) -> None:
    """Begin to write a checkpoint of `training`, as it now is, to its run directory; with `best`, mark it as the best
    one, with `kept`, as one that is not pruned."""
    mark = (training.progress.num_timesteps, best, kept)
    if training.run is None or training.saved == mark or not training.group.leads:
        return
    snapshot = training.engine.snapshot()
    snapshot.state["progress"] = training.progress.to_json()
    config = training.config
    meta = {"config": config_to_json(config), "engine": training.engine.name, "threads": config.threads}
    step, keep = training.progress.num_timesteps, config.keep_checkpoints
    save_checkpoint(training.run, step, snapshot, meta, keep, best, kept, training.writer.give)
    training.saved = mark


def restore(training: Training) -> None:
    """Continue `training` from its run's latest complete checkpoint; notices say what could not be restored."""
    assert training.run is not None
    snapshot, info = load_checkpoint(training.run, "latest")
    before = {"versions": info.versions, "machine": info.machine}
    training.notices += [*info.warnings, *changes(before), *training.engine.restore(snapshot)]
    training.progress = Progress.from_json(snapshot.state["progress"])
    steps, config, group = training.progress.num_timesteps, training.config, training.group
    if unpack(snapshot.state["engine"], snapshot.environment)["environment"] is None:
        training.engine.reset(group.part(later_seeds(config.seed, steps, config.n_envs)))  # not those it began with
    if group.leads:
        rewind(training.run, steps)


def return_to(training: Training, step: int) -> None:
    """Take up the weights, normalisation statistics and optimiser of the run's checkpoint of `step` again. Counters,
    environments and generators go on."""
    training.writer.wait()
    folder = training.group.lead(str(training.run.path) if training.run is not None else None)
    training.engine.restore(load_checkpoint(folder, step)[0], environments=False)


def start_from(training: Training, path: str) -> None:
    """Begin with the weights and normalisation statistics saved at `path`; counters and optimiser stay fresh."""
    arrays, _ = load_model(path)
    load_policy_arrays(training.engine.policy, arrays)
    training.engine.normalizer.load(arrays)
    training.notices.append(f"Started from the weights of {path}.")
