"""Parts of a flat buffer as arrays, for compiled code.

    vector(a, at, n)              a[at : at + n]
    matrix(a, at, rows, columns)  a[at : at + rows * columns].reshape(rows, columns)
    floats_at(address, n)         the n float32 numbers that begin there; doubles_at, integers_at, … likewise

The expressions on the right mean the same, but compile to many times the code, with checks at every use. Nothing is
checked here: the part must lie inside the buffer, and the buffer must outlive it. Addresses are for calls that are made
at every step: an array costs 0.1 to 0.2 µs to hand over, and a table of addresses one array.
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


def _at_address(dtype: types.Type) -> Any:
    """`memory(address, n)`: the `n` numbers of `dtype` at an address as an array. Whoever passes it keeps them alive."""
    view = types.Array(dtype, 1, "C")

    def lower(typingctx, address, n):
        def codegen(context, builder, signature, args):
            itemsize = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(dtype)))
            part = context.make_array(view)(context, builder)
            part.data = builder.inttoptr(args[0], context.get_data_type(dtype).as_pointer())
            part.nitems, part.itemsize = args[1], itemsize
            part.shape, part.strides = cgutils.pack_array(builder, [args[1]]), cgutils.pack_array(builder, [itemsize])
            part.meminfo = cgutils.get_null_value(part.meminfo.type)
            part.parent = cgutils.get_null_value(part.parent.type)
            return part._getvalue()

        return view(types.intp, types.intp), codegen

    return intrinsic(lower)


floats_at: Any = _at_address(types.float32)
doubles_at: Any = _at_address(types.float64)
integers_at: Any = _at_address(types.int64)
words_at: Any = _at_address(types.uint64)
flags_at: Any = _at_address(types.boolean)
