"""Threads that work on one thing together: one publishes pieces of work, everyone takes the next that is free.

Helpers may come late, go slowly or not come at all: whoever publishes takes pieces too, and waits only for those that
were taken. What a piece is does not depend on how many threads there are, so neither does any result.

    word = number of the publication · 2³² + kind · 2²⁴ + pieces · 2¹² + the next free piece

One atomic word says what is to be done and which piece is next, so that a thread which adds 1 to it learns from the
answer what it has taken, however late it comes.
"""

from __future__ import annotations

from typing import Any

from upswing.compiled.atomics import add, load, relax, store
from upswing.compiled.compiler import called, inline

# entries of the team's int64 array, those that several threads write in cache lines of their own
WORD, DONE, HELPERS, FAILED = 0, 8, 16, 24
N_TEAM = 32

PUBLICATION, KIND, PIECES = 1 << 32, 1 << 24, 1 << 12
NONE = PIECES - 1  # no piece: there are never so many, nor do threads that ask once too often reach it
OVER = 255  # the kind that sends helpers home


@inline
def kind_of(word):
    """Which kind of piece is to be done."""
    return (word // KIND) % 256


@inline
def take(team):
    """The word whose last part is the piece taken; NONE where none is free."""
    word = load(team, WORD)
    if word % PIECES >= (word // PIECES) % PIECES:
        return NONE
    word = add(team, WORD, 1)
    return word if word % PIECES < (word // PIECES) % PIECES else NONE


@inline
def publish(team, kind, pieces):
    """Offer `pieces` pieces of a kind."""
    store(team, DONE, 0)
    store(team, WORD, (load(team, WORD) // PUBLICATION + 1) * PUBLICATION + kind * KIND + pieces * PIECES)


def sharing(work_on: Any) -> tuple[Any, Any]:
    """(share, help_out) for pieces that `work_on(kind, piece, job, work)` does.

    job: what all threads know. work: the memory of one. Where a piece may raise an exception, the helper that met one
    says so in FAILED, and nobody waits for it.
    """

    @called
    def share(team, kind, pieces, job, work):
        """Have all pieces of a kind done, by this thread and whoever else is there."""
        alone = team[HELPERS] == 0 or pieces == 1
        if not alone:
            publish(team, kind, pieces)
        piece = 0 if alone else take(team) % PIECES
        while 0 <= piece < pieces:
            work_on(kind, piece, job, work)
            if alone:
                piece += 1
            else:
                add(team, DONE, 1)
                piece = take(team) % PIECES
        turns = 0
        while not alone and load(team, DONE) < pieces and load(team, FAILED) == 0:
            relax(turns)
            turns += 1

    @inline
    def help_out(team, job, work):
        """Work on whatever is published, until it is over."""
        turns = 0
        while True:
            word = take(team)
            if word != NONE:
                work_on(kind_of(word), word % PIECES, job, work)
                add(team, DONE, 1)
                turns = 0
            elif kind_of(load(team, WORD)) == OVER:
                return
            else:
                relax(turns)
                turns += 1

    return share, help_out
