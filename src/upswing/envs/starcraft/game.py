"""A StarCraft II game of its own: started, watched and ended through PySC2's SC2Env."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from typing import Any

from upswing.envs.group import EnvironmentCrash
from upswing.envs.starcraft.package import load_pysc2
from upswing.errors import ConfigError, EnvironmentFault, UserError

SMALLEST, LARGEST = 8, 256
INSTALL = "docs/starcraft.md says how to install the game and the maps"
OWN = {  # what SC2Env takes and this project decides
    "map_name": "it is env",
    "players": "set race, opponent, opponent_race and opponent_build",
    "agent_interface_format": "set screen_size, minimap_size, camera_width and crop_to_playable_area",
    "ensure_available_actions": "actions that are not available are refused by the mask",
}


def sizes(size: Any, name: str) -> tuple[int, int]:
    """(width, height) of `size`, a number or a pair. Raises ConfigError."""
    pair = size if isinstance(size, list | tuple) else (size, size)
    if len(pair) == 2 and all(type(n) is int and SMALLEST <= n <= LARGEST for n in pair):
        return pair[0], pair[1]
    raise ConfigError(
        f"env_kwargs: {name} = {size!r} is no resolution: give a whole number from {SMALLEST} to {LARGEST}, or width "
        f"and height."
    )


def interface(screen: tuple[int, int], minimap: tuple[int, int], camera_width: int, crop: bool) -> Any:
    """PySC2's AgentInterfaceFormat for these resolutions."""
    load_pysc2()
    from pysc2.env import sc2_env

    return sc2_env.AgentInterfaceFormat(
        feature_dimensions=sc2_env.Dimensions(screen=screen, minimap=minimap),
        action_space=sc2_env.ActionSpace.FEATURES,
        camera_width_world_units=camera_width,
        crop_to_playable_area=crop,
    )


def find_map(name: str) -> Any:
    """PySC2's description of the map `name`. Raises ConfigError."""
    load_pysc2()
    from pysc2 import maps

    known = maps.get_maps()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "see python -m pysc2.bin.map_list for all of them."
        raise ConfigError(f"env = {name!r} is no map that PySC2 knows: {hint}")
    return maps.get(name)


def players(the_map: Any, race: str, opponent: str | None, opponent_race: str, opponent_build: str) -> list[Any]:
    """Who plays: the agent, and on maps for two a built-in opponent. Raises ConfigError."""
    from pysc2.env import sc2_env

    def member(kind: Any, value: str, name: str) -> Any:
        if value not in kind.__members__:
            raise ConfigError(f"env_kwargs: {name} = {value!r} is not known: choose {', '.join(kind.__members__)}.")
        return kind[value]

    agent = sc2_env.Agent(member(sc2_env.Race, race, "race"), "upswing")
    if the_map.players == 1:
        if opponent is not None:
            raise ConfigError(
                f"env_kwargs: opponent = {opponent!r}, but {the_map.name} is for one player: leave it out."
            )
        return [agent]
    bot = sc2_env.Bot(
        member(sc2_env.Race, opponent_race, "opponent_race"),
        member(sc2_env.Difficulty, opponent or "very_easy", "opponent"),
        member(sc2_env.BotBuild, opponent_build, "opponent_build"),
    )
    return [agent, bot]


def check_installed(the_map: Any, version: str | None) -> None:
    """Nothing; raises EnvironmentFault where the game or the map is not there, saying where it was looked for."""
    from pysc2 import run_configs

    home = os.environ.get("SC2PATH") or "~/StarCraftII"
    try:
        found = run_configs.get(version=version)
    except (FileNotFoundError, NotADirectoryError) as error:
        place = os.path.dirname(error.filename) if error.filename else os.path.expanduser(home)
        raise EnvironmentFault(
            f"StarCraft II is not at {place}: install the game there or set SC2PATH to its folder; {INSTALL}."
        ) from error
    except Exception as error:
        raise EnvironmentFault(f"StarCraft II cannot be used ({_plain(error)}): {INSTALL}.") from error
    program = os.path.join(found.data_dir, f"Versions/Base{found.version.build_version:05d}", found._exec_name)
    if not os.access(program, os.X_OK):
        raise EnvironmentFault(f"StarCraft II's program {program} is missing or cannot be executed: {INSTALL}.")
    try:
        the_map.data(found)
    except (OSError, ValueError) as error:
        where = os.path.join(found.data_dir, "Maps", the_map.path)
        raise EnvironmentFault(f"The map {the_map.name} is not at {where}: {INSTALL}.") from error


def start(map_name: str, settings: Mapping[str, Any], **sc2_env_kwargs: Any) -> Any:
    """A running SC2Env on `map_name`. `settings` are ours (race, opponent, …), the rest SC2Env's. Raises UserError."""
    load_pysc2()
    from pysc2.env import sc2_env

    the_map = find_map(map_name)
    if not sc2_env_kwargs.get("battle_net_map"):
        check_installed(the_map, sc2_env_kwargs.get("version"))
    try:
        game = sc2_env.SC2Env(map_name=map_name, players=players(the_map, **settings), **sc2_env_kwargs)
    except UserError:
        raise
    except TypeError as error:
        raise ConfigError(f"env_kwargs: {map_name} cannot be played so: {_plain(error)}.") from error
    except Exception as error:
        raise EnvironmentCrash(f"StarCraft II did not start on {map_name}: {_plain(error)}") from error
    asked = sc2_env_kwargs["agent_interface_format"].feature_dimensions
    given = game.game_info[0].options.feature_layer
    for name, size, got in (
        ("screen", asked.screen, given.resolution),
        ("minimap", asked.minimap, given.minimap_resolution),
    ):
        if (got.x, got.y) != tuple(size):
            game.close()
            raise EnvironmentFault(
                f"StarCraft II draws the {name} at {got.x}×{got.y}, not at the {size[0]}×{size[1]} asked for: set "
                f"{name}_size to what it can do."
            )
    return game


def begin(game: Any, seed: int | None) -> Any:
    """The first observation of a new episode; with `seed`, of a game created anew with it. Raises EnvironmentCrash.

    SC2Env takes a seed only when it creates a game, so that part of its constructor is called again (PySC2 4.0.0).
    """
    if seed is not None:
        game._random_seed = seed
        game._parallel.run(controller.leave for controller in game._controllers)
        game._create_join()
        game._episode_count = 0  # the game just created is the first episode
    return game.reset()[0]


def _plain(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0].rstrip('.')}" if text else type(error).__name__
