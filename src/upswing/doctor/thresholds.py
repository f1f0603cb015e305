"""Every threshold of the doctor in one table, each with where it comes from.

`origin` is a key of the texts: what a reader is told about why this number and no other.
"""

from __future__ import annotations

from typing import NamedTuple


class Threshold(NamedTuple):
    """A number that a rule compares with, and the key of the sentence that says where it comes from."""

    value: float
    origin: str


_CHOSEN, _CALIBRATED, _IDENTITY, _TARGET, _DERIVED, _KNOWN_GOOD = (
    "chosen",
    "calibrated",
    "identity",
    "target",
    "derived",
    "known_good",
)

TABLE: dict[str, Threshold] = {
    # windows
    "live_early": Threshold(0.1, _CHOSEN),
    "live_share": Threshold(0.5, _CHOSEN),
    "fire_share": Threshold(0.7, _CHOSEN),
    "clear_share": Threshold(0.4, _CHOSEN),
    "warm_up_share": Threshold(0.05, _CHOSEN),
    "last_minibatch_factor": Threshold(1.5, _CALIBRATED),
    # when the return outweighs a suspicion
    "rising_share": Threshold(0.4, _CHOSEN),
    "kept_share": Threshold(0.1, _CHOSEN),
    "mild_excess": Threshold(3.0, _CHOSEN),
    "setup_excess": Threshold(1.5, _CALIBRATED),
    # bugs
    "B02.ratio": Threshold(1e-4, _IDENTITY),
    "B02.ratio_amp": Threshold(1e-2, _CHOSEN),
    "B02.share": Threshold(0.3, _CHOSEN),
    "B03.kl": Threshold(-1e-6, _IDENTITY),
    "B04.kl": Threshold(1e-6, _CHOSEN),
    "B04.entropy": Threshold(1e-3, _CHOSEN),
    # policy
    "P01.warn": Threshold(0.05, _CALIBRATED),
    "P01.error_factor": Threshold(2.0, _CHOSEN),
    "P01.target_factor": Threshold(2.0, _TARGET),
    "P02.low": Threshold(0.002, _CHOSEN),
    "P02.crawl": Threshold(0.05, _CALIBRATED),
    "P02.target_factor": Threshold(0.5, _TARGET),
    "P03.clip": Threshold(0.5, _DERIVED),
    "P04.factor": Threshold(3.0, _DERIVED),
    "P05.share": Threshold(0.2, _CHOSEN),
    "P06.share": Threshold(0.5, _CHOSEN),
    "P07.entropy": Threshold(0.05, _CHOSEN),
    "P07.std": Threshold(0.1, _CHOSEN),
    "P08.entropy": Threshold(0.95, _CHOSEN),
    "P08.end": Threshold(0.88, _CALIBRATED),
    "P08.still": Threshold(0.02, _CHOSEN),
    "P08.needless": Threshold(0.6, _CALIBRATED),
    "P09.growth": Threshold(1.3, _CALIBRATED),
    "P10.share": Threshold(0.3, _CHOSEN),
    # critic and gradients
    "V01.negative": Threshold(0.0, _IDENTITY),
    "V01.low": Threshold(0.3, _CHOSEN),
    "V01.never": Threshold(0.1, _CALIBRATED),
    "V01.pool": Threshold(64, _CALIBRATED),
    "V02.variance": Threshold(1e-3, _CALIBRATED),
    "V03.bias": Threshold(0.5, _CHOSEN),
    "V03.gross": Threshold(4.0, _CALIBRATED),
    "V04.large": Threshold(1e3, _CALIBRATED),
    "V04.normalized": Threshold(100.0, _CALIBRATED),
    "V04.small": Threshold(0.03, _CALIBRATED),
    "V05.mads": Threshold(10.0, _CHOSEN),
    "V05.least": Threshold(2.0, _CALIBRATED),
    "V06.ratio": Threshold(3.0, _CHOSEN),
    "V06.least": Threshold(0.3, _CALIBRATED),
    "O01.factor": Threshold(10.0, _CHOSEN),
    "O03.share": Threshold(0.5, _CHOSEN),
    "O03.gross": Threshold(0.9, _CALIBRATED),
    # environment
    "A01.bias": Threshold(0.5, _CHOSEN),
    "A01.raw": Threshold(0.5, _DERIVED),
    "N01.large": Threshold(10.0, _CHOSEN),
    "N01.offset": Threshold(10.0, _CHOSEN),
    "N01.gross": Threshold(5.0, _CALIBRATED),
    "N01.clipped": Threshold(0.05, _CHOSEN),
    "T01.share": Threshold(0.2, _CHOSEN),
    "T01.cut": Threshold(0.5, _CHOSEN),
    "T02.reach": Threshold(4.5, _KNOWN_GOOD),
    "T02.seen": Threshold(1 / 3, _KNOWN_GOOD),
    "T02.episodes": Threshold(0.1, _CALIBRATED),
    "T02.gross": Threshold(0.03, _KNOWN_GOOD),
    "T02.lambda": Threshold(0.5, _KNOWN_GOOD),
    "T02.far": Threshold(0.9995, _CHOSEN),
    "T02.endless": Threshold(0.99995, _CHOSEN),
    "T02.cut": Threshold(0.9, _CHOSEN),
    # set-up
    "S01.iterations": Threshold(21, _KNOWN_GOOD),
    "S01.travel": Threshold(1.0, _KNOWN_GOOD),
    "S02.rest": Threshold(0.25, _CHOSEN),
    "S03.noise": Threshold(0.1, _CHOSEN),
    "S04.factor": Threshold(5.0, _CHOSEN),
    "S05.evaluations": Threshold(5, _CHOSEN),
    "L01.dead": Threshold(0.1, _CHOSEN),
    "L01.leap": Threshold(3.0, _CHOSEN),
    # what came of it
    "R01.noise": Threshold(4.0, _CHOSEN),
    "R01.gain": Threshold(0.05, _CHOSEN),
    "R01.share_of_goal": Threshold(0.5, _CALIBRATED),
    "R01.share_of_reference": Threshold(0.85, _CHOSEN),
    "R02.share": Threshold(0.3, _CHOSEN),
    "R03.gap": Threshold(0.5, _CHOSEN),
    "R04.share": Threshold(0.95, _CHOSEN),
    "F01.share": Threshold(0.7, _CHOSEN),
    "F01.seconds": Threshold(20.0, _CHOSEN),
    "F01.slowing": Threshold(0.5, _CHOSEN),
    "F01.fps": Threshold(100.0, _CHOSEN),
    "F02.share": Threshold(0.7, _CHOSEN),
}


def limit(name: str) -> float:
    """The number called `name`."""
    return TABLE[name].value


def origin(name: str) -> str:
    """The key of the sentence that says where the number called `name` comes from."""
    return TABLE[name].origin
