"""Looks at a library's source before it is kept, without running it: is it Python, has it what library nodes call?"""

import ast

from pipeline_runtime.libraries.library_module import MAX_SOURCE_BYTES
from schemas.errors import BadInput


def check_library(source: bytes, path: str) -> None:
    """Look at a library's source.

    Raises:
        BadInput: it is no Python, or nothing in it is called ``exec``; the message names file and line.
    """
    if len(source) > MAX_SOURCE_BYTES:
        raise BadInput(f"{path} has more than {MAX_SOURCE_BYTES} bytes")
    try:
        module = ast.parse(source, filename=path)
    except SyntaxError as error:
        raise BadInput(f"{path}, line {error.lineno or 1}: no Python: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:  # a NUL; nesting that the parser cannot follow
        raise BadInput(f"{path}: no Python: {error or type(error).__name__}") from error
    if not any(_binds_exec(node) for node in ast.walk(module)):
        raise BadInput(f"{path} has no function `exec(input)`, which library nodes call")


def _binds_exec(node: ast.AST) -> bool:
    """Whether ``exec`` gets its meaning here: mostly by ``def``, but an import or an assignment will do."""
    match node:
        case ast.FunctionDef(name="exec") | ast.AsyncFunctionDef(name="exec"):
            return True
        case ast.Name(id="exec", ctx=ast.Store()):
            return True
        case ast.alias(name=name, asname=other):
            return (other or name) == "exec"
    return False
