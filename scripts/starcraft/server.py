"""The stand-in's program: it speaks the game's protocol, protobuf messages over a websocket, to an unmodified SC2Env.

PySC2 starts it like the game (-listen, -port, -dataDir). Files in the folder `orders` of its data folder, named
crash-N, hang-N and garbage-N, make the first game that comes to step N of an episode die, fall silent, or answer with
noise, once each; the folder `starts` gets a file for each program started.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

from scripts.starcraft.rules import CAMERA, NEUTRAL, RADIUS, SELF, SIDE, World
from upswing.envs.starcraft.package import mend_imports

mend_imports()

from s2clientprotocol import sc2api_pb2 as sc  # noqa: E402

MARINE, BEACON, SHARD = 48, 317, 1680
SMART, STOP, MOVE, PATROL, HOLD, ATTACK = 1, 4, 16, 17, 18, 23  # abilities of a marine
WITH_TARGET = (SMART, MOVE, PATROL, ATTACK)
MAPS = tuple(RADIUS)


class Session:
    """One connection: the game it plays, from launched to ended."""

    def __init__(self, orders: Path):
        self.orders = orders
        self.status, self.seed, self.name, self.options = sc.launched, 0, MAPS[0], None
        self.world = World(self.name, 0)

    def answer(self, request: Any) -> Any:
        """The response to `request`."""
        kind = request.WhichOneof("request")
        response = sc.Response(id=request.id)
        handler = getattr(self, f"on_{kind}", None)
        if handler is None:
            response.error.append(f"the stand-in does not know {kind}")
        else:
            handler(getattr(request, kind), getattr(response, kind))
            getattr(response, kind).SetInParent()
        response.status = self.status
        return response

    def on_ping(self, request: Any, response: Any) -> None:
        response.game_version, response.base_build = "5.0.0", 99999

    def on_create_game(self, request: Any, response: Any) -> None:
        self.name = Path(request.local_map.map_path).stem
        self.seed, self.status = request.random_seed, sc.init_game
        if self.name not in MAPS:
            response.error = sc.ResponseCreateGame.InvalidMapPath

    def on_join_game(self, request: Any, response: Any) -> None:
        self.options, response.player_id = request.options, 1
        self.begin()

    def on_restart_game(self, request: Any, response: Any) -> None:
        self.seed += 1
        self.begin()

    def begin(self) -> None:
        """A new episode."""
        self.world, self.status = World(self.name, self.seed), sc.in_game

    def on_leave_game(self, request: Any, response: Any) -> None:
        self.status = sc.launched

    def on_quit(self, request: Any, response: Any) -> None:
        os._exit(0)

    def on_data(self, request: Any, response: Any) -> None:
        pass

    def on_game_info(self, request: Any, response: Any) -> None:
        response.map_name = self.name
        response.options.CopyFrom(self.options)
        response.start_raw.map_size.x = response.start_raw.map_size.y = int(SIDE)
        response.player_info.add(player_id=1, type=sc.Participant, race_requested=1)

    def on_step(self, request: Any, response: Any) -> None:
        self.world.step(request.count or 1)
        response.simulation_loop = self.world.loop
        if self.world.over:
            self.status = sc.ended

    def on_action(self, request: Any, response: Any) -> None:
        for action in request.actions:
            self.act(action)
            response.result.append(1)

    def act(self, action: Any) -> None:
        """Do what one action says; what a marine cannot do is passed over."""
        layer = action.action_feature_layer
        if action.action_ui.HasField("select_army"):
            self.world.select((0.0, 0.0), (SIDE, SIDE), False)
        elif layer.HasField("unit_selection_point"):
            x, y = self.on_screen(layer.unit_selection_point.selection_screen_coord)
            self.world.select((x - 1, y - 1), (x + 1, y + 1), False)
        elif layer.HasField("unit_selection_rect"):
            for box in layer.unit_selection_rect.selection_screen_coord:
                one, two = self.on_screen(box.p0), self.on_screen(box.p1)
                low, high = (min(one[0], two[0]), min(one[1], two[1])), (max(one[0], two[0]), max(one[1], two[1]))
                self.world.select(low, high, layer.unit_selection_rect.selection_add)
        elif layer.HasField("unit_command"):
            command = layer.unit_command
            target = None
            if command.HasField("target_screen_coord"):
                target = self.on_screen(command.target_screen_coord)
            elif command.HasField("target_minimap_coord"):
                target = self.on_minimap(command.target_minimap_coord)
            self.world.send(target, command.queue_command)

    def on_screen(self, pixel: Any) -> tuple[float, float]:
        """A pixel of the screen on the map."""
        size, corner = self.options.feature_layer.resolution, (SIDE - CAMERA) / 2
        return corner + (pixel.x + 0.5) * CAMERA / size.x, corner + (pixel.y + 0.5) * CAMERA / size.y

    def on_minimap(self, pixel: Any) -> tuple[float, float]:
        """A pixel of the minimap on the map."""
        size = self.options.feature_layer.minimap_resolution
        return (pixel.x + 0.5) * SIDE / size.x, (pixel.y + 0.5) * SIDE / size.y

    def on_observation(self, request: Any, response: Any) -> None:
        world, seen = self.world, response.observation
        self.obey(world.loop)
        selected = [marine for marine in world.marines if marine.selected]
        seen.game_loop = world.loop
        seen.player_common.player_id = 1
        seen.player_common.army_count = seen.player_common.food_used = seen.player_common.food_army = len(world.marines)
        seen.score.score_type, seen.score.score = 1, world.score
        seen.score.score_details.SetInParent()
        for ability in (SMART, STOP, MOVE, PATROL, HOLD, ATTACK) if selected else ():
            seen.abilities.add(ability_id=ability, requires_point=ability in WITH_TARGET)
        if len(selected) == 1:
            seen.ui_data.single.unit.unit_type = MARINE
        for _ in selected if len(selected) > 1 else ():
            seen.ui_data.multi.units.add(unit_type=MARINE)
        self.draw(seen.feature_layer_data)
        if world.over:
            response.player_result.add(player_id=1, result=sc.Victory)

    def draw(self, layers: Any) -> None:
        """Fill the planes of screen and minimap that this world has something for."""
        size, small = self.options.feature_layer.resolution, self.options.feature_layer.minimap_resolution
        corner = (SIDE - CAMERA) / 2
        screen = self.seen(size.x, size.y, corner, CAMERA)
        goal = BEACON if self.name == MAPS[0] else SHARD
        renders = layers.renders
        _fill(renders.player_relative, np.select([screen["marine"], screen["goal"]], [SELF, NEUTRAL]), 8)
        _fill(renders.unit_type, np.select([screen["marine"], screen["goal"]], [MARINE, goal]), 32)
        _fill(renders.selected, screen["selected"], 1)
        _fill(renders.unit_hit_points, screen["marine"] * 45, 32)
        _fill(renders.unit_hit_points_ratio, screen["marine"] * 255, 8)
        _fill(renders.unit_density, (screen["marine"] | screen["goal"]) * 1, 8)
        _fill(renders.visibility_map, np.full((size.y, size.x), 2), 8)
        minimap = self.seen(small.x, small.y, 0.0, SIDE)
        renders = layers.minimap_renders
        _fill(renders.player_relative, np.select([minimap["marine"], minimap["goal"]], [SELF, NEUTRAL]), 8)
        _fill(renders.selected, minimap["selected"], 1)
        _fill(renders.camera, minimap["camera"], 1)
        _fill(renders.visibility_map, np.full((small.y, small.x), 2), 8)

    def seen(self, width: int, height: int, corner: float, span: float) -> dict[str, np.ndarray]:
        """Where marines, selected marines, goals and the camera are, each [height, width] bool."""
        x = corner + (np.arange(width) + 0.5) * span / width
        y = (corner + (np.arange(height) + 0.5) * span / height)[:, None]

        def discs(points: list[tuple[float, float]], radius: float) -> np.ndarray:
            radius = max(radius, 0.71 * span / min(width, height))  # no smaller than what a pixel can show
            covered = [(x - px) ** 2 + (y - py) ** 2 <= radius**2 for px, py in points]
            return np.any(covered, axis=0) if covered else np.zeros((height, width), bool)

        marines = self.world.marines
        return {
            "marine": discs([m.at for m in marines], 0.4),
            "selected": discs([m.at for m in marines if m.selected], 0.4),
            "goal": discs(self.world.goals, RADIUS[self.name]),
            "camera": (abs(x - SIDE / 2) <= CAMERA / 2) & (abs(y - SIDE / 2) <= CAMERA / 2),
        }

    def obey(self, loop: int) -> None:
        """Misbehave, where an order that is due is still there."""
        for order in sorted(self.orders.glob("*-*")):
            what, _, when = order.name.partition("-")
            if loop < int(when):
                continue
            try:
                order.unlink()
            except FileNotFoundError:  # another game was faster
                continue
            if what == "crash":
                os.kill(os.getpid(), signal.SIGKILL)
            if what == "hang":
                time.sleep(3600)
            raise Garbage


class Garbage(Exception):
    """The answer is to be noise."""


def _fill(image: Any, values: np.ndarray, bits: int) -> None:
    image.bits_per_pixel = bits
    image.size.y, image.size.x = values.shape
    kinds = {8: np.uint8, 32: np.int32}
    image.data = np.packbits(values.astype(bool)).tobytes() if bits == 1 else values.astype(kinds[bits]).tobytes()


def main() -> None:
    """Serve until the game is told to quit."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-listen")
    parser.add_argument("-port", type=int)
    parser.add_argument("-dataDir", type=Path)
    asked, _ = parser.parse_known_args()
    (asked.dataDir / "starts" / str(os.getpid())).touch()

    def play(socket: Any) -> None:
        session = Session(asked.dataDir / "orders")
        try:
            while True:
                request = sc.Request.FromString(socket.recv(decode=False))
                try:
                    socket.send(session.answer(request).SerializeToString())
                except Garbage:
                    socket.send(bytes(range(200)))
        except ConnectionClosed:
            os._exit(0)

    with serve(play, asked.listen, asked.port, compression=None, max_size=None) as server:
        server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
