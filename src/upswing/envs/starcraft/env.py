"""A StarCraft II game as a gymnasium.Env: maps of what is seen, and functions with arguments as actions."""

from __future__ import annotations

import difflib
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from upswing.envs.functions import FunctionSpace, Size
from upswing.envs.starcraft.game import OWN, begin, interface, sizes, start
from upswing.envs.starcraft.names import MINI_GAME_FUNCTIONS
from upswing.envs.starcraft.package import load_pysc2
from upswing.errors import ConfigError

PASSED_ON = (
    *("battle_net_map", "discount", "discount_zero_after_timeout", "realtime", "save_replay_episodes", "replay_dir"),
    *("replay_prefix", "game_steps_per_episode", "score_index", "score_multiplier", "random_seed", "disable_fog", "version"),
)  # fmt: skip
"""Arguments of SC2Env that reach it as they are."""

ACTION_SETS = ("mini_games", "all")
COLOURS = np.array([[20, 24, 28], [70, 200, 90], [60, 120, 220], [230, 190, 60], [220, 70, 60]], np.uint8)
"""What a picture shows by player_relative: nothing, own, allied, neutral, enemy."""


class StarCraftEnv(gymnasium.Env):
    """One map. Observations: `screen_classes` [C, H, W] and `screen_scalars`, `minimap_classes` and `minimap_scalars`,
    `player` [11], raw as PySC2 gives them; `action_masks()` says which functions are available.

    Actions: FunctionSpace. Planes are [y, x], and a point is y · width + x. Rewards and the end of an episode are
    PySC2's; reaching `game_steps_per_episode` is a truncation, the game's own end a termination.
    """

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 22.4 / 8}  # noqa: RUF012

    def __init__(
        self,
        map_name: str,
        screen_size: int | tuple[int, int] = 32,
        minimap_size: int | tuple[int, int] = 32,
        step_mul: int | None = None,
        visualize: bool = False,
        actions: str | list[str] = "mini_games",
        race: str = "random",
        opponent: str | None = None,
        opponent_race: str = "random",
        opponent_build: str = "random",
        camera_width: int = 24,
        crop_to_playable_area: bool = False,
        render_mode: str | None = None,
        **sc2_env: Any,
    ):
        screen, minimap = sizes(screen_size, "screen_size"), sizes(minimap_size, "minimap_size")
        _check(map_name, step_mul, actions, sc2_env)
        self.map_name, self.render_mode = map_name, render_mode
        self.table = function_table(actions)
        self.action_space = FunctionSpace(*_functions(self.table, screen, minimap))
        self.n_choices = int(self.action_space.nvec.sum())
        self.planes = {"screen": _planes("SCREEN"), "minimap": _planes("MINIMAP")}
        self.observation_space = spaces.Dict(
            {
                **_map_spaces("screen", self.planes["screen"], screen),
                **_map_spaces("minimap", self.planes["minimap"], minimap),
                "player": spaces.Box(0, np.inf, (11,), np.float32),
            }
        )
        self.numbers = {"screen": screen, "screen2": screen, "minimap": minimap}
        self.column = {int(id_): i for i, id_ in enumerate(function.id for function in self.table)}
        self.seeded = sc2_env.get("random_seed") is not None
        self.game = start(
            map_name,
            {"race": race, "opponent": opponent, "opponent_race": opponent_race, "opponent_build": opponent_build},
            agent_interface_format=interface(screen, minimap, camera_width, crop_to_playable_area),
            step_mul=step_mul,
            visualize=visualize or render_mode == "human",
            **sc2_env,
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict]:
        """The first observation of an episode. A new `seed` creates the game anew, unless random_seed was given."""
        super().reset(seed=seed)
        self.last = begin(self.game, None if self.seeded or seed is None else seed % 2**31)
        return self._seen(), {}

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict]:
        """What PySC2 answers to the call `action` [1 + A]; a function that is not available is a no_op."""
        from pysc2.lib import actions

        call = self.call(action)
        if call.function not in self.last.observation["available_actions"]:
            call = actions.FunctionCall(0, [])
        self.last = self.game.step([call])[0]
        over = bool(self.last.last())
        terminated = over and self.last.discount == 0
        return self._seen(), float(self.last.reward), terminated, over and not terminated, {}

    def call(self, action: np.ndarray) -> Any:
        """PySC2's FunctionCall for `action` [1 + A]."""
        from pysc2.lib import actions

        values = dict(zip(self.action_space.arguments, action[1:], strict=True))  # type: ignore[attr-defined]
        function = self.table[int(action[0])]
        taken = []
        for argument in function.args:
            value = int(values[argument.name])
            width = self.numbers[argument.name][0] if argument.name in self.numbers else 0
            taken.append([value % width, value // width] if width else [value])
        return actions.FunctionCall(function.id, taken)

    def action_masks(self) -> np.ndarray:
        """[functions + all values of arguments] bool: False for functions that are not available now."""
        mask = np.ones(self.n_choices, bool)
        n = len(self.table)
        mask[:n] = False
        mask[
            [self.column[int(id_)] for id_ in self.last.observation["available_actions"] if int(id_) in self.column]
        ] = True
        mask[0] = True  # no_op: every episode may wait
        return mask

    def render(self) -> np.ndarray | None:
        """The screen and beside it the minimap by player_relative, [H, W, 3] uint8, magnified."""
        if self.render_mode != "rgb_array":
            return None
        pictures = []
        for name in ("screen", "minimap"):
            relative = np.asarray(self.last.observation[f"feature_{name}"].player_relative)
            picture = COLOURS[np.clip(relative, 0, len(COLOURS) - 1)]
            times = max(1, 256 // picture.shape[0])
            pictures.append(picture.repeat(times, 0).repeat(times, 1))
        height = max(picture.shape[0] for picture in pictures)
        pictures = [np.pad(picture, ((0, height - len(picture)), (0, 4), (0, 0))) for picture in pictures]
        return np.concatenate(pictures, axis=1)

    def close(self) -> None:
        """End the game."""
        if getattr(self, "game", None) is not None:
            self.game.close()
            self.game = None

    def _seen(self) -> dict[str, np.ndarray]:
        obs = self.last.observation
        seen = {"player": np.asarray(obs["player"], np.float32)}
        for name, (classes, scalars) in self.planes.items():
            planes = np.asarray(obs[f"feature_{name}"])
            seen[f"{name}_classes"] = planes[[plane.index for plane in classes]].astype(np.float32)
            seen[f"{name}_scalars"] = planes[[plane.index for plane in scalars]].astype(np.float32)
        return seen


def function_table(chosen: str | list[str]) -> list[Any]:
    """PySC2's functions in the action set `chosen`, or of the names in it, no_op first. Raises ConfigError."""
    load_pysc2()
    from pysc2.lib import actions

    if chosen == "all":
        return list(actions.FUNCTIONS)
    every = {str(function.name): function for function in actions.FUNCTIONS}
    names = MINI_GAME_FUNCTIONS if isinstance(chosen, str) else dict.fromkeys(("no_op", *chosen))
    for name in names:
        if name not in every:
            near = difflib.get_close_matches(name, every, n=1)
            hint = f"did you mean {near[0]}?" if near else "see python -m pysc2.bin.valid_actions for all of them."
            raise ConfigError(f"env_kwargs: actions has {name!r}, which is no function of PySC2: {hint}")
    return [every[name] for name in names]


def _functions(
    table: list[Any], screen: tuple[int, int], minimap: tuple[int, int]
) -> tuple[dict[str, tuple[str, ...]], dict[str, Size]]:
    """Functions with the arguments they take, and the arguments that any of them takes with their sizes."""
    from pysc2.lib import actions

    takes = {str(function.name): tuple(str(argument.name) for argument in function.args) for function in table}
    points = {"screen": screen[::-1], "screen2": screen[::-1], "minimap": minimap[::-1]}
    used = [str(kind.name) for kind in actions.TYPES if any(kind.name in arguments for arguments in takes.values())]
    plain = {str(kind.name): int(np.prod(kind.sizes)) for kind in actions.TYPES if kind.name not in points}
    return takes, {name: points.get(name) or plain[name] for name in used}


def _planes(kind: str) -> tuple[list[Any], list[Any]]:
    """PySC2's feature planes of the SCREEN or MINIMAP: of classes, and of scalars."""
    from pysc2.lib import features

    every = list(getattr(features, f"{kind}_FEATURES"))
    return (
        [plane for plane in every if plane.type is features.FeatureType.CATEGORICAL],
        [plane for plane in every if plane.type is features.FeatureType.SCALAR],
    )


def _map_spaces(name: str, planes: tuple[list[Any], list[Any]], size: tuple[int, int]) -> dict[str, spaces.Box]:
    shape = size[::-1]

    def box(some: list[Any], less: int) -> spaces.Box:
        high = np.array([plane.scale - less for plane in some], np.float32)[:, None, None]
        return spaces.Box(0.0, np.broadcast_to(high, (len(some), *shape)).copy(), dtype=np.float32)

    return {f"{name}_classes": box(planes[0], 1), f"{name}_scalars": box(planes[1], 0)}


def _check(map_name: str, step_mul: Any, actions: Any, sc2_env: dict[str, Any]) -> None:
    if step_mul is not None and (not isinstance(step_mul, int) or isinstance(step_mul, bool) or step_mul < 1):
        raise ConfigError(f"env_kwargs: step_mul = {step_mul!r} is not a whole number of at least 1.")
    named = isinstance(actions, list | tuple) and len(actions) > 0 and all(isinstance(name, str) for name in actions)
    if not named and actions not in ACTION_SETS:
        raise ConfigError(
            f"env_kwargs: actions = {actions!r} is not known: choose {' or '.join(ACTION_SETS)}, or give a list of "
            f"PySC2's functions."
        )
    for key in sc2_env:
        if key in OWN:
            raise ConfigError(f"env_kwargs: {key} cannot be set: {OWN[key]}.")
        if key not in PASSED_ON:
            raise ConfigError(f"env_kwargs: {map_name} takes no {key}: it takes {', '.join(PASSED_ON)} beside its own.")
