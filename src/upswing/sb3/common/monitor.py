"""A wrapper that writes each episode's return, length and time to a file that Stable-Baselines3's tools read."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any

import gymnasium


class Monitor(gymnasium.Wrapper):
    """Counts episodes by the rewards that `env` gives. `filename` gets `.monitor.csv` and a line an episode.

    The line holds r, l and t (seconds since this was made) and what the last info says under `info_keywords`. In
    info["episode"] the same numbers stand in the step that ends an episode.
    """

    def __init__(
        self,
        env: gymnasium.Env,
        filename: str | None = None,
        allow_early_resets: bool = True,
        reset_keywords: tuple[str, ...] = (),
        info_keywords: tuple[str, ...] = (),
        override_existing: bool = True,
    ):
        super().__init__(env)
        self.t_start = time.time()
        self.allow_early_resets = allow_early_resets
        self.reset_keywords, self.info_keywords = reset_keywords, info_keywords
        self.episode_returns: list[float] = []
        self.episode_lengths: list[int] = []
        self.episode_times: list[float] = []
        self.total_steps = 0
        self._rewards: list[float] = []
        self._given: dict[str, Any] = {}
        self._running = False
        self._file: Any = None
        if filename is not None:
            self._open(_csv_path(filename), override_existing)

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """The first observation and info of a new episode; `reset_keywords` must be among the arguments."""
        if self._running and not self.allow_early_resets:
            raise RuntimeError("Monitor(allow_early_resets=False): reset was called before the episode had ended")
        self._given = {key: kwargs[key] for key in self.reset_keywords}
        self._rewards, self._running = [], True
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """What the environment returns, with info["episode"] where an episode ends."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        self._rewards.append(float(reward))
        self.total_steps += 1
        if terminated or truncated:
            self._running = False
            info["episode"] = self._finish(info)
        return obs, reward, terminated, truncated, info

    def close(self) -> None:
        """Close the environment and the file."""
        super().close()
        if self._file is not None:
            self._file.close()

    def get_episode_rewards(self) -> list[float]:
        """Returns of all finished episodes."""
        return self.episode_returns

    def get_episode_lengths(self) -> list[int]:
        """Lengths of all finished episodes."""
        return self.episode_lengths

    def get_episode_times(self) -> list[float]:
        """Ends of all finished episodes, in seconds since this was made."""
        return self.episode_times

    def get_total_steps(self) -> int:
        """Steps taken."""
        return self.total_steps

    def _finish(self, info: dict[str, Any]) -> dict[str, Any]:
        ret, length, ended = sum(self._rewards), len(self._rewards), time.time() - self.t_start
        self.episode_returns.append(ret)
        self.episode_lengths.append(length)
        self.episode_times.append(ended)
        row = {"r": round(ret, 6), "l": length, "t": round(ended, 6)}
        row |= {key: info[key] for key in self.info_keywords} | self._given
        if self._file is not None:
            self._rows.writerow(row)
            self._file.flush()
        return row

    def _open(self, path: Path, override: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = override or not path.exists()
        self._file = path.open("w" if fresh else "a", newline="\n")
        columns = ("r", "l", "t", *self.reset_keywords, *self.info_keywords)
        self._rows = csv.DictWriter(self._file, fieldnames=columns)
        if fresh:
            spec = self.env.spec
            about = {"t_start": self.t_start, "env_id": str(spec.id if spec else None)}
            self._file.write(f"#{json.dumps(about)}\n")
            self._rows.writeheader()
        self._file.flush()


def _csv_path(filename: str) -> Path:
    if filename.endswith("monitor.csv"):
        return Path(filename)
    path = Path(filename)
    return path / "monitor.csv" if path.is_dir() else path.with_name(f"{path.name}.monitor.csv")
