"""Transposing a matrix, sixteen by sixteen numbers at a time in vector registers."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from upswing.compiled.compiler import inline

TILE = 16
FLOATS = types.Array(types.float32, 1, "C")


def _lower_tile(typingctx, source, source_at, source_stride, target, target_at, target_stride):
    """Write the tile at `source_at`, transposed, to `target_at`; strides are from one row to the next."""

    def codegen(context, builder, signature, args):
        vector = ir.VectorType(ir.FloatType(), TILE)

        def row(r, array, at, stride):
            data = context.make_array(FLOATS)(context, builder, array).data
            place = builder.add(at, builder.mul(stride, ir.Constant(stride.type, r)))
            return builder.bitcast(builder.gep(data, [place]), vector.as_pointer())

        def shuffled(a, b, order):
            mask = ir.Constant(ir.VectorType(ir.IntType(32), TILE), [ir.Constant(ir.IntType(32), k) for k in order])
            return builder.shuffle_vector(a, b, mask)

        rows = [builder.load(row(r, *args[:3])) for r in range(TILE)]
        for load in rows:
            load.align = 4
        # Interleaving each row with the one half a tile further on, log2(TILE) times over, transposes the tile.
        low = [k for pair in zip(range(TILE // 2), range(TILE, TILE + TILE // 2), strict=True) for k in pair]
        high = [k + TILE // 2 for k in low]
        for _ in range(TILE.bit_length() - 1):
            pairs = zip(rows[: TILE // 2], rows[TILE // 2 :], strict=True)
            rows = [half for a, b in pairs for half in (shuffled(a, b, low), shuffled(a, b, high))]
        for r, value in enumerate(rows):
            builder.store(value, row(r, *args[3:])).align = 4
        return context.get_dummy_value()

    return types.void(FLOATS, types.intp, types.intp, FLOATS, types.intp, types.intp), codegen


_tile: Any = intrinsic(_lower_tile)


@inline
def transpose(source, source_at, rows, columns, target, target_at):
    """Write the row-major [rows, columns] at `source_at` as [columns, rows] at `target_at`, both in flat float32 buffers."""
    whole_rows, whole_columns = rows - rows % TILE, columns - columns % TILE
    for i in range(0, whole_rows, TILE):
        for j in range(0, whole_columns, TILE):
            _tile(source, source_at + i * columns + j, columns, target, target_at + j * rows + i, rows)
        for j in range(whole_columns, columns):
            for k in range(i, i + TILE):
                target[target_at + j * rows + k] = source[source_at + k * columns + j]
    for i in range(whole_rows, rows):
        for j in range(columns):
            target[target_at + j * rows + i] = source[source_at + i * columns + j]
