"""Writes ``blocking.pyi``, the types of the blocking API, from the source of the asynchronous one.

``python -m myclerk_client.stubs`` writes the file in place; ``ruff format`` then breaks its long lines.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import myclerk_client

from .twins import PROTOCOLS, Pending, public, twin, without_await

HEAD = '"""Written by ``python -m myclerk_client.stubs``; do not edit."""'
PENDING = (Pending.__module__, Pending.__name__)
REPLACED = {"AsyncIterator": ("collections.abc", "Iterator"), "Awaitable": PENDING}
"""Abstract types of the asynchronous API, and where those of the blocking API are found."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


class _Stub(ast.NodeTransformer):
    """Turns source in a ``namespace`` into stubs, and its names into those that the stub knows or imports."""

    def __init__(self) -> None:
        self.imports: dict[str, set[str]] = {}
        self.namespace: Mapping[str, Any] = {}
        self.members: list[str] = []

    def imported(self, module: str, name: str = "") -> str:
        """``name``, or ``module`` without one, as the stub will have it after its imports."""
        self.imports.setdefault(module, set()).update({name} - {""})
        return name or module

    def name(self, name: str) -> str:
        """What the stub calls what the source calls ``name``."""
        if name in REPLACED:
            return self.imported(*REPLACED[name])
        if name in myclerk_client.__all__:
            own = has_twin(getattr(myclerk_client, name))
            return name if own else self.imported("myclerk_client", name)
        if name not in self.namespace:  # a builtin; a method of the same name would hide it
            return f"{self.imported('builtins')}.{name}" if name in self.members else name
        if has_twin(self.namespace[name]):
            return self.imported("typing", "Any")  # a twin without a public name
        return self.imported(self.namespace[name].__module__, name)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.parse(self.name(node.id), mode="eval").body

    def function(self, node: Function, member: Any) -> ast.FunctionDef:
        """One function or method, with its documentation and the values of its simple defaults."""
        function: Any = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        named, values = node.args.kwonlyargs, function.__kwdefaults__ or {}
        node.args.defaults = [_constant(value) for value in function.__defaults__ or ()]
        node.args.kw_defaults = [_constant(values[a.arg]) if a.arg in values else None for a in named]
        node.args = self.visit(node.args)
        node.returns = self.visit(node.returns) if node.returns else None
        node.decorator_list = [d for d in node.decorator_list if isinstance(d, ast.Name)]
        node.name, node.body = PROTOCOLS.get(node.name, node.name), _documented(node)
        return ast.FunctionDef(**dict(ast.iter_fields(node)))

    def attributes(self, node: Function) -> dict[str, ast.stmt]:
        """What an ``__init__`` makes public on ``self``, with annotated or evident types."""
        found: dict[str, ast.stmt] = {}
        types = {a.arg: a.annotation for a in (*node.args.args, *node.args.kwonlyargs)}
        for line in node.body:
            if isinstance(line, ast.Assign | ast.AnnAssign):
                target = line.targets[0] if isinstance(line, ast.Assign) else line.target
                owner, _, name = ast.unparse(target).rpartition(".")
                if owner == "self" and public(name):
                    kind = line.annotation if isinstance(line, ast.AnnAssign) else _type(line.value, types)
                    found[name] = ast.AnnAssign(ast.Name(name), self.visit(kind), None, 1)
        return found

    def twin(self, cls: type) -> ast.ClassDef:
        """The twin of a class, with what that inherits."""
        members: dict[str, ast.stmt] = {}
        self.members = dir(cls)
        for base in reversed(cls.__mro__[:-1]):
            self.namespace = vars(sys.modules[base.__module__])
            for child in _source(base).body:
                if isinstance(child, Function) and (public(child.name) or child.name == "__init__"):
                    members |= self.attributes(child) if child.name == "__init__" else {}
                    members[child.name] = self.function(child, vars(base)[child.name])
        body = sorted(members.values(), key=lambda member: isinstance(member, ast.FunctionDef))
        return ast.ClassDef(cls.__name__, [], [], _documented(_source(cls)) + body, [])


def has_twin(thing: object) -> bool:
    """Whether something is another thing in the blocking API."""
    return twin(thing) is not thing


def generate() -> str:
    """The text of the stub."""
    stub, body = _Stub(), list[ast.stmt]()
    for name in myclerk_client.__all__:
        thing = getattr(myclerk_client, name)
        stub.namespace, stub.members = vars(myclerk_client), []
        if stub.name(name) and isinstance(thing, type) and has_twin(thing):
            body.append(stub.twin(thing))
        elif has_twin(thing):
            stub.namespace = thing.__globals__
            body.append(stub.function(_source(thing), thing))
    exported = sorted([*myclerk_client.__all__, stub.imported(*PENDING)])
    text = [ast.unparse(ast.fix_missing_locations(definition)) for definition in body]
    return "\n\n".join([HEAD, *_imports(stub.imports), f"__all__ = {exported}", *text]) + "\n"


def _source(thing: Any) -> Any:
    return ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]


def _type(value: ast.expr, parameters: Mapping[str, ast.expr | None]) -> ast.expr:
    """The type of what an ``__init__`` assigns: of a parameter, of a call of a class, of a literal."""
    if isinstance(value, ast.Name) and (annotation := parameters.get(value.id)) is not None:
        return annotation
    if isinstance(value, ast.Call):
        return value.func
    if isinstance(value, ast.Constant):
        return ast.Name(type(value.value).__name__)
    raise TypeError(f"annotate the attribute that is set to {ast.unparse(value)}")


def _constant(value: Any) -> ast.expr:
    return ast.Constant(value if type(value) in (bool, bytes, float, int, str, type(None)) else ...)


def _documented(node: Any) -> list[ast.stmt]:
    return [ast.Expr(_constant(without_await(ast.get_docstring(node, clean=False)) or ...))]


def _imports(imports: Mapping[str, set[str]]) -> list[str]:
    found = sorted(imports.items(), key=lambda item: (bool(item[1]), item[0]))
    lines = [f"from {m} import {', '.join(sorted(names))}" if names else f"import {m}" for m, names in found]
    own = [line for line in lines if line.split()[1].startswith("myclerk")]
    return ["\n".join(line for line in lines if line not in own), "\n".join(own)]


if __name__ == "__main__":
    Path(__file__).with_name("blocking.pyi").write_text(generate())
