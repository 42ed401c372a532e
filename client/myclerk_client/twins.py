"""The one mechanism of the blocking API: a twin for each asynchronous class, its methods without ``await``.

A twin holds the original and calls it on the loop's thread: coroutine methods and the protocols of
``async with`` and ``async for`` block until they are done, other methods and properties run there too, plain
attributes are read directly. Whatever asynchronous comes out, also inside lists, tuples and dicts, comes out
as a twin; twins handed in go in as their originals.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

from .background import LoopThread, current

T = TypeVar("T")

PROTOCOLS = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
}
"""Special methods of asynchronous classes and their names in a twin."""
AWAITED = frozenset({"__aenter__", "__aexit__", "__anext__"})
OPERATORS = frozenset({"__call__", "__contains__", "__delitem__", "__getitem__", "__len__", "__setitem__"})
"""Special methods that a twin passes on under their own names."""


class Twin:
    """Base of all twins. Making one makes its original, on the loop's thread; equal by that."""

    __slots__ = ("__weakref__", "_original", "_thread")
    _asynchronous: ClassVar[type]
    _original: Any
    _thread: LoopThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._thread = current()
        self._original = self._thread.call(self._asynchronous, *_unwrapped(args, kwargs), awaited=False)

    @classmethod
    def _of(cls, original: Any, thread: LoopThread) -> Twin:
        twin = cls.__new__(cls)
        twin._original, twin._thread = original, thread
        return twin

    def _call(self, function: Callable[..., Any], args: Any, kwargs: dict[str, Any], awaited: bool) -> Any:
        original = self._original
        arguments, keywords = _unwrapped(args, kwargs)
        result = self._thread.call(function, (original, *arguments), keywords, awaited=awaited)
        return self if result is original else _wrapped(result, self._thread)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return _wrapped(getattr(self._original, name), self._thread)

    def __dir__(self) -> list[str]:
        attributes = getattr(self._original, "__dict__", {})
        return [*super().__dir__(), *(name for name in attributes if not name.startswith("_"))]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Twin) and other._original is self._original

    def __hash__(self) -> int:
        return hash((Twin, id(self._original)))

    def __repr__(self) -> str:
        return f"<blocking {self._original!r}>"


class Pending(Twin, Generic[T]):
    """Something that will have a result: the twin of an awaitable."""

    __slots__ = ()

    def result(self) -> T:
        """Wait for the result and return it, or raise its error."""
        result: T = self._call(_await, (), {}, True)
        return result


def twin(thing: Any) -> Any:
    """The blocking twin of an asynchronous class or of a coroutine function; anything else as it is."""
    if inspect.iscoroutinefunction(thing):
        return _function(thing)
    if isinstance(thing, type) and is_asynchronous(thing):
        return _twin_class(thing)
    return thing


@functools.cache
def is_asynchronous(cls: type) -> bool:
    """Whether a class has a twin: it has a public coroutine method or serves ``async with`` or ``for``."""
    return any(
        name in PROTOCOLS
        or (not name.startswith("_") and inspect.iscoroutinefunction(getattr(cls, name, None)))
        for name in dir(cls)
    )


def public(name: str) -> bool:
    """Whether a twin has the member of this name of its original."""
    return not name.startswith("_") or name in PROTOCOLS or name in OPERATORS


_twins: dict[type, type[Twin]] = {}


def _twin_class(cls: type) -> type[Twin]:
    if cls not in _twins:
        namespace: dict[str, Any] = {
            "__slots__": (),
            "__doc__": without_await(cls.__doc__),
            "__module__": f"{__package__}.blocking",
            "_asynchronous": cls,
        }
        for name in filter(public, dir(cls)):
            member = _member(cls, name)
            if member is not None:
                namespace[PROTOCOLS.get(name, name)] = member
        bases = tuple(_twin_class(base) for base in cls.__bases__ if is_asynchronous(base))
        _twins.setdefault(cls, type(cls.__name__, bases or (Twin,), namespace))
    return _twins[cls]


def _member(cls: type, name: str) -> Any:
    """The twin's member for one of the original's class; None for plain data, which twins read from there."""
    member = inspect.getattr_static(cls, name)
    if isinstance(member, classmethod | staticmethod):
        function = _function(getattr(cls, name))
        if isinstance(member, staticmethod):
            return staticmethod(function)
        return classmethod(_described(lambda twin, /, *a, **k: function(*a, **k), member.__func__))
    if isinstance(member, property | functools.cached_property):
        return property(
            lambda self: self._call(getattr, (name,), {}, False), doc=without_await(member.__doc__)
        )
    if not inspect.isroutine(member):
        return None
    method = _method(member, name in AWAITED or inspect.iscoroutinefunction(member))
    return _ending(method) if name == "__anext__" else method


def _method(function: Callable[..., Any], awaited: bool) -> Callable[..., Any]:
    def method(self: Twin, /, *args: Any, **kwargs: Any) -> Any:
        return self._call(function, args, kwargs, awaited)

    return _described(method, function)


def _ending(method: Callable[..., Any]) -> Callable[..., Any]:
    """An iterator's method, which says in the blocking way that there is nothing more."""

    @functools.wraps(method)
    def next_item(self: Twin) -> Any:
        try:
            return method(self)
        except StopAsyncIteration:
            raise StopIteration from None

    return next_item


def _function(function: Callable[..., Any]) -> Callable[..., Any]:
    awaited = inspect.iscoroutinefunction(function)

    def call(*args: Any, **kwargs: Any) -> Any:
        thread = current()
        return _wrapped(thread.call(function, *_unwrapped(args, kwargs), awaited=awaited), thread)

    return _described(call, function)


def _described(blocking: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    functools.update_wrapper(blocking, original)
    blocking.__name__ = PROTOCOLS.get(blocking.__name__, blocking.__name__)
    blocking.__doc__ = without_await(original.__doc__)
    return blocking


def without_await(text: str | None) -> str | None:
    """Documentation of the asynchronous API, with its examples as the blocking API has them."""
    return text and re.sub(r"\b(?:async|await) ", "", text)


async def _await(awaitable: Any) -> Any:
    return await awaitable


# -- what goes in and comes out ----------------------------------------------------------------------------


def _unwrapped(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    arguments = tuple(a._original if isinstance(a, Twin) else a for a in args)
    return arguments, {k: v._original if isinstance(v, Twin) else v for k, v in kwargs.items()}


def _wrapped(value: Any, thread: LoopThread) -> Any:
    kind: type = type(value)
    return _wrapper(kind)(value, thread)


@functools.cache
def _wrapper(kind: type) -> Callable[[Any, LoopThread], Any]:
    """What turns results of one type into what the caller gets."""
    if kind in (list, tuple):
        return _wrapped_items
    if kind is dict:
        return _wrapped_values
    if is_asynchronous(kind):
        return _twin_class(kind)._of
    if hasattr(kind, "__await__"):
        return Pending._of
    return lambda value, thread: value


def _wrapped_items(value: list[Any] | tuple[Any, ...], thread: LoopThread) -> list[Any] | tuple[Any, ...]:
    items = [_wrapped(item, thread) for item in value]
    return type(value)(items) if any(new is not old for new, old in zip(items, value, strict=True)) else value


def _wrapped_values(value: dict[Any, Any], thread: LoopThread) -> dict[Any, Any]:
    items = {key: _wrapped(item, thread) for key, item in value.items()}
    return items if any(items[key] is not value[key] for key in value) else value
