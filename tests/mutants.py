"""Every small change to a function that a slip of the keyboard or of the mind could make."""

import ast
import builtins
import copy
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

SWAPS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.Pow: ast.Mult,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}
NAMES = {
    "amax": "amin",
    "max": "min",
    "sum": "mean",
    "exp": "exp2",
    "log": "log2",
    "zeros": "ones",
    "zeros_like": "ones_like",
    "ones": "zeros",
    "ones_like": "zeros_like",
    "sqrt": "square",
}


def mutants(function: Callable[..., Any]) -> Iterator[tuple[str, Callable[..., Any]]]:
    """(what was changed, the changed function), for every change that still compiles."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    whole = tree.body[0]
    assert isinstance(whole, ast.FunctionDef)
    whole.decorator_list, whole.returns = [], None
    for argument in whole.args.args:
        argument.annotation = None
    takes = {argument.arg for argument in whole.args.args}
    for text, changed in changed_trees(tree, takes):
        scope = dict(function.__globals__)
        try:
            exec(compile(changed, "<mutant>", "exec"), scope)
        except (SyntaxError, ValueError):
            continue
        yield text, scope[function.__name__]


def changed_trees(tree: ast.Module, takes: set[str]) -> Iterator[tuple[str, ast.Module]]:
    """(what was changed, the changed tree), for every change; `takes` are names of tensors."""
    idle = {part for node in ast.walk(tree) if _no_number(node) for part in ast.walk(node)}
    for position, node in enumerate(ast.walk(tree)):
        if node in idle:
            continue
        for change in range(len(list(_changes(node, takes)))):
            changed = copy.deepcopy(tree)
            target = list(ast.walk(changed))[position]
            before = ast.unparse(target)
            apply = list(_changes(target, takes))[change]
            after = apply()
            if after is not target:
                changed = _Replace(target, after).visit(changed)
            ast.fix_missing_locations(changed)
            text = f"{before} → {ast.unparse(after)}" if after is not None else f"{before} removed"
            yield text.replace("\n", " ; "), changed


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST | None) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST | None:
        return self.new if node is self.old else super().visit(node)


def _changes(node: ast.AST, takes: set[str]) -> Iterator[Callable[[], ast.AST | None]]:
    """Each change to one node, as a function that edits it or returns what replaces it."""

    def put(field: str, value: Any) -> Callable[[], ast.AST]:
        def apply() -> ast.AST:
            setattr(node, field, value)
            return node

        return apply

    match node:
        case ast.BinOp(left=left, op=op, right=right):
            yield lambda: left
            yield lambda: right
            if type(op) in SWAPS:
                yield put("op", SWAPS[type(op)]())
            if not isinstance(op, ast.Add | ast.Mult):
                yield lambda: ast.BinOp(right, op, left)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            yield lambda: operand
        case ast.Compare(ops=[op]) if type(op) in SWAPS:
            yield put("ops", [SWAPS[type(op)]()])
        case ast.Constant(value=bool(value)):
            yield put("value", not value)
        case ast.Constant(value=int(value)):
            yield put("value", value + 1)
            yield put("value", value - 1)
        case ast.Constant(value=float(value)):
            yield put("value", value * 2 + 0.1)
        case ast.Call(func=ast.Attribute(value=inner)) if not _is_module(inner):
            yield lambda: inner
        case ast.Call(args=[first, *_]):
            yield lambda: first
        case ast.For(iter=loop):
            for text in ("[1:]", "[:-1]"):
                index = ast.parse("x" + text, mode="eval").body.slice
                listed = ast.Call(ast.Name("list", ast.Load()), [loop], [])
                yield put("iter", ast.Subscript(listed, index, ast.Load()))
        case ast.Assign() | ast.AugAssign() | ast.If():
            yield lambda: None
    if isinstance(node, ast.Call):
        if len(node.args) >= 2:
            yield put("args", [node.args[1], node.args[0], *node.args[2:]])
        for keyword in node.keywords:
            if keyword.arg != "strict":
                others = [k for k in node.keywords if k is not keyword]
                yield put("keywords", others)
    if isinstance(node, ast.Attribute):
        if node.attr in NAMES:
            yield put("attr", NAMES[node.attr])
        if node.attr in ("mT", "T"):
            yield lambda: node.value
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        if node.id in ("min", "max", "sum"):
            yield put("id", "max" if node.id == "min" else "min")
        elif not hasattr(builtins, node.id) and node.id not in ("torch", "math", "F", "package"):
            yield lambda: ast.UnaryOp(ast.USub(), ast.Name(node.id, ast.Load()))
            if node.id in takes:
                yield lambda: ast.Attribute(ast.Name(node.id, ast.Load()), "mT", ast.Load())


def _is_module(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in ("torch", "math", "F", "package")


def _no_number(node: ast.AST) -> bool:
    """x.dtype, len(x), empty_like(x), strict=True, messages: no number of x passes through."""
    match node:
        case ast.Attribute(attr="dtype" | "shape") | ast.JoinedStr():
            return True
        case ast.Call(func=ast.Name(id="len") | ast.Attribute(attr="empty_like")):
            return True
        case ast.keyword(arg="strict"):
            return True
    return False
