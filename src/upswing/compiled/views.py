"""Parts of a flat buffer as arrays, for compiled code.

    vector(a, at, n)              a[at : at + n]
    matrix(a, at, rows, columns)  a[at : at + rows * columns].reshape(rows, columns)

The expressions on the right mean the same, but compile to many times the code, with checks at every use. Nothing is
checked here: the part must lie inside the buffer, and the buffer must outlive it.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def _lower_view(array: types.Array, n_axes: int) -> Any:
    """Signature and code of a view with `n_axes` axes."""
    view = types.Array(array.dtype, n_axes, "C")

    def codegen(context, builder, signature, args):
        whole, at, *shape = args
        itemsize = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(array.dtype)))
        strides = [itemsize] if n_axes == 1 else [builder.mul(shape[1], itemsize), itemsize]
        part = context.make_array(view)(context, builder)
        part.data = builder.gep(context.make_array(array)(context, builder, whole).data, [at])
        part.nitems = shape[0] if n_axes == 1 else builder.mul(*shape)
        part.itemsize = itemsize
        part.shape, part.strides = cgutils.pack_array(builder, shape), cgutils.pack_array(builder, strides)
        part.meminfo = cgutils.get_null_value(part.meminfo.type)
        part.parent = cgutils.get_null_value(part.parent.type)
        return part._getvalue()

    return view(array, *(types.intp,) * (1 + n_axes)), codegen


def _lower_vector(typingctx, array, at, n):
    return _lower_view(array, 1)


def _lower_matrix(typingctx, array, at, rows, columns):
    return _lower_view(array, 2)


vector: Any = intrinsic(_lower_vector)
matrix: Any = intrinsic(_lower_matrix)
