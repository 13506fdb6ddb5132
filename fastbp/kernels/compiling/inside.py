"""Everything of numba and llvmlite that fastbp uses, public or not, in one list.

numba's inside changes from version to version, and no bound says which ones work. So what is needed
is looked for before anything else of fastbp is imported: where something is missing, the error says
what, and which versions have it. A test holds the list to what the modules use, and runs with
the oldest and the newest numba.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping

#: of numba: what pyproject.toml asks for, and the newest that all tests have passed with
OLDEST, NEWEST = "0.61", "0.68"

#: by module, or class of a module: what is used as fastbp is imported, or as kernels are compiled
NEEDED: Mapping[str, str] = {
    "llvmlite": "__version__ ir",
    "llvmlite.binding": "get_host_cpu_features get_host_cpu_name get_process_triple",
    "llvmlite.ir": "Constant DoubleType FloatType Function FunctionType InlineAsm IRBuilder IntType"
    " Module Type Undefined VectorType VoidType",
    "llvmlite.ir:IRBuilder": "add and_ append_basic_block atomic_rmw bitcast block branch call"
    " cbranch extract_element extract_value fadd fcmp_ordered fmul fneg fpext fptosi fsub gep"
    " icmp_signed if_else insert_element inttoptr load load_atomic lshr module mul or_ phi"
    " position_at_end ptrtoint ret_void select sext shl shuffle_vector sitofp store store_atomic"
    " sub switch trunc zext",
    "numba": "__version__ njit typeof types",
    "numba.core": "cgutils config",
    "numba.core.cgutils": "alloca_once get_or_insert_function unpack_tuple",
    "numba.core.config": "CPU_FEATURES CPU_NAME ENABLE_AVX ENABLE_PROFILING",
    "numba.core.cpu:CPUContext": "call_conv cast get_constant_generic get_dummy_value"
    " get_value_type make_array make_tuple",
    "numba.core.errors": "TypingError",
    "numba.extending": "intrinsic overload",
    "numba.np.numpy_support": "from_dtype",
    "numba.types": "Array BaseTuple CPointer Tuple UniTuple boolean float32 float64 int32 int64"
    " intp uint64 void voidptr",
}
#: the same of what takes its time to import, and is imported when something is compiled
LATER: Mapping[str, str] = {
    "numba.core.ccallback": "CFunc",
    "numba.core.ccallback:CFunc": "address compile native_name",
    "numba.core.typing.ctypes_utils": "to_ctypes",
}
#: what makes compiling and loading quicker: without it both take longer, no more
HELPFUL: Mapping[str, str] = {
    "llvmlite.binding": "ExecutionEngine ObjectFileRef Target add_symbol address_of_symbol"
    " create_mcjit_compiler initialize_native_asmprinter initialize_native_target parse_assembly",
    "numba": "_dynfunc",
    "numba._dynfunc": "Environment make_function",
    "numba.core": "base externals",
    "numba.core.base": "_load_global_helpers",
    "numba.core.codegen": "JITCodeLibrary",
    "numba.core.codegen:JITCodeLibrary": "_finalize_dynamic_globals _finalize_final_module"
    " _get_compiled_object _optimize_final_module get_pointer_to_function has_dynamic_globals",
    "numba.core.compiler": "CompileResult Compiler Flags",
    "numba.core.externals": "c_math_functions",
    "numba.core.runtime": "_nrt_python",
    "numba.core.runtime._nrt_python": "c_helpers",
}


def missing(wanted: Mapping[str, str]) -> list[str]:
    """What there is not, of what is wanted, by its whole names."""
    found = []
    for where, names in wanted.items():
        module, _, kind = where.partition(":")
        try:
            owner = importlib.import_module(module)
            if kind:
                owner = getattr(owner, kind)
        except (ImportError, AttributeError):
            found.append(where.replace(":", "."))
            continue
        prefix = where.replace(":", ".")
        found += [
            f"{prefix}.{name}"
            for name in names.split()
            if not hasattr(owner, name) and (kind or not _imported(f"{module}.{name}"))
        ]
    return found


def _imported(module: str) -> bool:
    """Whether a name is that of a module, which is imported."""
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def require(wanted: Mapping[str, str]) -> None:
    """Raise ImportError, naming versions, unless numba and llvmlite have all of this."""
    if lacking := missing(wanted):
        raise ImportError(_message(lacking))


def _message(lacking: list[str]) -> str:
    import llvmlite  # here, since they may be what is missing
    import numba

    here = f"numba {numba.__version__} with llvmlite {llvmlite.__version__}"
    return (
        f"{_fastbp()} needs parts of numba that {here} doesn't have: {', '.join(lacking)}. It has "
        f"been tested with numba {OLDEST} to {NEWEST}: install one of these, or a newer fastbp"
    )


def _fastbp() -> str:
    from importlib import metadata  # takes its time to import

    try:
        return f"fastbp {metadata.version('fastbp')}"
    except metadata.PackageNotFoundError:  # a checkout
        return "fastbp"


@contextlib.contextmanager
def named() -> Iterator[None]:
    """Name what is missing of numba where that is why something in this block fails."""
    try:
        yield
    except (ImportError, AttributeError) as error:
        if lacking := missing({**NEEDED, **LATER}):
            raise ImportError(_message(lacking)) from error
        raise
