"""Numba's compilation pipeline with two changes: wide vectors, and parts that are optimised once.

Numba optimises a function, then again inside each caller, then inside the callers' callers. Here a part stays as LLVM
code until it stands in a kernel, which shortens compilation by more than half and changes nothing in the outcome.
This file is the only one that builds on numba's internals, the cache apart.
"""

from __future__ import annotations

import ctypes
from typing import Any

from numba import _dynfunc  # type: ignore[attr-defined]
from numba.core import cgutils, compiler, lowering, typed_passes, types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_machinery import register_pass

# What a part is to Python: an address with a C function's signature that raises "object is not callable".
_NOT_CALLABLE = ctypes.cast(ctypes.pythonapi.PyObject_Call, ctypes.c_void_p).value


class _WideLower(lowering.Lower):
    """Asks LLVM for vectors as wide as the processor has (by default it stays at 256 bits even with AVX-512), and only
    borrows its array arguments: their owner outlives the call, and counting references to each slice costs more than
    many an environment's step."""

    def extract_function_arguments(self) -> None:
        super().extract_function_arguments()
        self.fnargs = [self._borrowed(*each) for each in zip(self.fndesc.argtypes, self.fnargs, strict=True)]

    def _borrowed(self, kind: Any, value: Any) -> Any:
        if isinstance(kind, types.BaseTuple):
            inner: list[Any] = list(kind)  # type: ignore[call-overload]
            parts = [self.builder.extract_value(value, i) for i in range(len(inner))]
            borrowed = [self._borrowed(*each) for each in zip(inner, parts, strict=True)]
            return self.context.make_tuple(self.builder, kind, borrowed)
        if not isinstance(kind, types.Array):
            return value
        array = self.context.make_array(kind)(self.context, self.builder, value=value)
        array.meminfo = cgutils.get_null_value(array.meminfo.type)
        array.parent = cgutils.get_null_value(array.parent.type)
        return array._getvalue()

    def setup_function(self, fndesc: Any) -> None:
        super().setup_function(fndesc)
        # llvmlite knows no key="value" attributes; they pass through unchanged when its own check is left out
        set.add(self.function.attributes, '"prefer-vector-width"="512"')


class _PartLibrary(JITCodeLibrary):
    """LLVM code of a part, with what it calls: neither optimised nor turned into machine code."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _WideLowering(typed_passes.NativeLowering):
    _name = "wide_lowering"

    @property
    def lowering_class(self) -> type:
        return _WideLower


@register_pass(mutates_CFG=True, analysis_only=False)
class _PartLowering(_WideLowering):
    _name = "part_lowering"

    def run_pass(self, state: Any) -> bool:
        state.library = _PartLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        made = state["cr"]
        name = made.fndesc.qualname
        handle = _dynfunc.make_function(
            made.fndesc.lookup_module(), name, "", _NOT_CALLABLE, made.env, (state.library,)
        )
        state.targetctx.insert_user_function(handle, made.fndesc, [state.library])
        state["cr"] = made._replace(cfunc=handle)
        return True


class _CalledLower(_WideLower):
    """Keeps LLVM from copying the function to each of its callers."""

    def setup_function(self, fndesc: Any) -> None:
        super().setup_function(fndesc)
        self.function.attributes.add("noinline")


@register_pass(mutates_CFG=True, analysis_only=False)
class _CalledLowering(_PartLowering):
    _name = "called_lowering"

    @property
    def lowering_class(self) -> type:
        return _CalledLower


class WideCompiler(compiler.CompilerBase):
    """The pipeline of kernels."""

    lowering: type = _WideLowering

    def define_pipelines(self) -> list[Any]:
        """Numba's own passes, with `lowering` in the place of its last."""
        manager = compiler.DefaultPassBuilder.define_nopython_pipeline(self.state)
        manager.passes = [
            (self.lowering if each is typed_passes.NativeLowering else each, text) for each, text in manager.passes
        ]
        manager._finalized = False
        manager.finalize()
        return [manager]


class PartCompiler(WideCompiler):
    """The pipeline of parts."""

    lowering = _PartLowering


class CalledCompiler(PartCompiler):
    """The pipeline of parts that stand in a kernel once, however many places call them."""

    lowering = _CalledLowering
