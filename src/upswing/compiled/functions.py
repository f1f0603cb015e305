"""Functions of others inside kernels: compiled on their own with one signature, called through their address.

So a kernel is compiled once for every environment, and its machine code on disk does not depend on any of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from upswing.compiled.cache import KernelCache, fingerprint
from upswing.compiled.compiler import NJIT, file_name


class Compiled(NamedTuple):
    """A function in machine code."""

    call: Any  # to be called from Python
    address: int  # to be called from kernels, by what `caller` gives


def compile_function(function: Callable[..., Any], signature: Signature) -> Compiled:
    """`function` in machine code with exactly `signature`; what it returns is converted to fit, or refused.

    Its arithmetic is IEEE's as written. Raises numba's errors where it cannot be compiled so.
    """
    dispatcher = NJIT(error_model="numpy", nogil=True, no_cfunc_wrapper=True)(function)
    dispatcher._cache = KernelCache(file_name(function), fingerprint(function), lambda: None)
    dispatcher.compile(signature)
    dispatcher.disable_compile()
    result = dispatcher.overloads[tuple(signature.args)]
    return Compiled(dispatcher, result.library.get_pointer_to_function(result.fndesc.llvm_func_name))


def caller(signature: Signature) -> Any:
    """A function for kernels: caller(signature)(address, (argument, …)) calls the compiled function at `address`.

    The address must be of a function compiled with this very signature. Its exceptions become the kernel's.
    """

    @intrinsic
    def call(typingctx, address, arguments):
        if tuple(arguments) != tuple(signature.args):
            raise TypingError(f"arguments {tuple(arguments)} where a function takes {signature.args}")

        def codegen(context, builder, outer, values):
            convention = context.call_conv
            function_type = convention.get_function_type(signature.return_type, signature.args)
            pointer = builder.inttoptr(values[0], function_type.as_pointer())
            inner = cgutils.unpack_tuple(builder, values[1], len(signature.args))
            status, result = convention.call_function(builder, pointer, signature.return_type, signature.args, inner)
            with cgutils.if_unlikely(builder, status.is_error):
                convention.return_status_propagate(builder, status)
            return result

        return signature.return_type(types.intp, arguments), codegen

    return call
