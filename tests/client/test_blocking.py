"""The mechanism of the blocking API, on small asynchronous classes of our own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import inspect
import threading
import traceback
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from blocking_samples import SETTING, Broken, Countdown, Device, SpecialDevice, Stream

import myclerk_client
from myclerk_client import background, blocking
from myclerk_client.twins import Pending, Twin, twin
from myclerk_protocol.status import LocalError

BlockingDevice = twin(Device)


@pytest.fixture
def device() -> Any:
    return BlockingDevice("bench")


# -- calls -------------------------------------------------------------------------------------------------


def test_methods_and_properties_run_on_the_one_thread(device: Any) -> None:
    assert device.thread() == device.plain_thread() == device.property_thread == "myclerk"
    assert [t.name for t in threading.enumerate()].count("myclerk") == 1


def test_attributes_are_read_and_private_ones_hidden(device: Any) -> None:
    assert device.name == "bench"
    with pytest.raises(AttributeError, match="_secret"):
        _ = device._secret
    with pytest.raises(AttributeError):
        _ = device.absent
    with pytest.raises(AttributeError):
        device.name = "other"
    assert {"name", "stream", "thread"} <= set(dir(device))
    assert "_secret" not in dir(device)


def test_class_and_static_methods() -> None:
    connected = BlockingDevice.connect("far", delay=0.001)
    assert type(connected) is BlockingDevice
    assert connected.name == "far"
    assert BlockingDevice.double(21) == 42


def test_coroutine_functions_get_a_twin_and_anything_else_none() -> None:
    async def add(left: int, right: int = 1) -> int:
        return left + right

    assert twin(add)(1, right=2) == 3
    assert twin(Broken) is Broken
    assert twin(contextlib.suppress) is contextlib.suppress


def test_timeouts_inside_work_as_ever(device: Any) -> None:
    assert device.within(0.01) == "over"


def test_the_callers_context_goes_along(device: Any) -> None:
    token = SETTING.set("mine")
    try:
        assert device.setting() == "mine"
    finally:
        SETTING.reset(token)


def test_twins_keep_signatures_and_document_themselves_without_await() -> None:
    assert str(inspect.signature(BlockingDevice.within)) == "(self, timeout: 'float') -> 'str'"
    assert list(inspect.signature(BlockingDevice.connect).parameters) == ["name", "delay"]
    assert BlockingDevice.connect.__doc__ == 'Connect: ``with Device.connect("x")``.'
    assert not inspect.iscoroutinefunction(BlockingDevice.thread)


# -- errors ------------------------------------------------------------------------------------------------


def test_errors_come_with_their_own_traceback(device: Any) -> None:
    with pytest.raises(Broken, match="deep down") as caught:
        device.fail()
    names = [frame.name for frame in traceback.extract_tb(caught.tb)]
    assert names[-2:] == ["fail", "_deeper"]
    assert names[0] == "test_errors_come_with_their_own_traceback"


def test_errors_of_plain_methods_come_through(device: Any) -> None:
    with pytest.raises(Broken, match="plain"):
        device.fail_plainly()


def test_an_error_leaves_no_reference_cycle(device: Any) -> None:
    gc.collect()
    gc.disable()
    try:
        try:
            device.fail()
        except Broken as error:
            seen = weakref.ref(error)
        device.thread()  # the task that failed is over by now
        assert seen() is None
    finally:
        gc.enable()


def test_what_was_cancelled_elsewhere_raises_an_ordinary_exception(device: Any) -> None:
    with pytest.raises(concurrent.futures.CancelledError):
        device.cancelled()
    assert device.thread() == "myclerk"


# -- what comes out and goes in ----------------------------------------------------------------------------


def test_contained_and_returned_objects_are_twins(device: Any) -> None:
    assert device.stream.read() == 3
    assert device[7].read() == 7
    in_list, in_dict, plain = device.several()
    assert in_list[0].read() == 1
    assert in_dict["two"].read() == 2
    assert plain == [1, 2]


def test_a_twin_handed_in_goes_in_as_its_original(device: Any) -> None:
    assert device.is_mine(device.stream, also=device.stream)
    stream = twin(Stream)(5)
    assert BlockingDevice("other", stream).stream == stream
    assert BlockingDevice("other", stream=stream).stream.read() == 5


def test_twins_of_the_same_original_are_equal(device: Any) -> None:
    assert device.stream == device.stream
    assert len({device.stream, device.stream, device}) == 2
    assert device.stream != BlockingDevice("other").stream


def test_twins_inherit_as_their_originals_do() -> None:
    special = twin(SpecialDevice)("special")
    assert isinstance(special, BlockingDevice)
    assert (special.special(), special.thread()) == ("special", "myclerk")


def test_an_awaitable_is_pending_and_has_a_result(device: Any) -> None:
    pending = device.later(5)
    assert isinstance(pending, Pending)
    assert (pending.result(), pending.result()) == (5, 5)
    with pytest.raises(Broken):
        device.later_broken().result()


# -- with and for ------------------------------------------------------------------------------------------


def test_with_enters_and_leaves(device: Any) -> None:
    with device as entered:
        assert entered is device
        assert device.open == 1
    assert device.open == 0


def test_with_shows_errors_to_the_original_which_may_suppress_them(device: Any) -> None:
    with device:
        raise LookupError
    with pytest.raises(Broken), device:
        raise Broken
    assert device.open == 0


def test_a_method_that_is_a_context_manager(device: Any) -> None:
    with device.borrowed() as stream:
        assert (stream.read(), device.open) == (3, 1)
    assert device.open == 0


def test_for_over_a_stream(device: Any) -> None:
    assert list(device.stream) == [0, 1, 2]
    assert list(device.stream) == [0, 1, 2]
    assert list(device.events(2)) == [0, 1]
    assert device.stream.ended.is_set()


def test_for_over_an_iterator_that_is_its_own() -> None:
    countdown = twin(Countdown)(3)
    assert iter(countdown) is countdown
    assert next(countdown) == 2
    assert list(countdown) == [1, 0]
    with pytest.raises(StopIteration):
        next(countdown)


def test_leaving_a_loop_early_ends_the_generator(device: Any) -> None:
    for number in device.stream:
        assert number == 0
        break
    assert device.stream.ended.wait(5)


# -- threads -----------------------------------------------------------------------------------------------


def test_many_threads_at_once_get_their_own_answers() -> None:
    class Echo:
        async def echo(self, value: int) -> int:
            await asyncio.sleep(0.001 if value % 7 == 0 else 0)
            if value % 5 == 0:
                raise Broken(value)
            return value

    echo = twin(Echo)()

    def ask(value: int) -> int:
        try:
            return int(echo.echo(value))
        except Broken as error:
            return -int(error.args[0])

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(4000)))
    assert answers == [-value if value % 5 == 0 else value for value in range(4000)]


def test_first_use_by_many_threads_starts_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    process = background._Process()
    monkeypatch.setattr(background, "_process", process)
    together = threading.Barrier(8)

    def start(_: int) -> background.LoopThread:
        together.wait()
        return background.current()

    try:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(start, range(8)))) == 1
    finally:
        process.stop()
    with pytest.raises(LocalError, match="ending"):
        background.current().call(len, ("x",), awaited=False)


def test_a_thread_that_runs_a_loop_is_told_so(device: Any) -> None:
    async def wrongly() -> None:
        with pytest.raises(LocalError, match="runs an event loop"):
            device.thread()
        with pytest.raises(LocalError, match="runs an event loop"):
            BlockingDevice("inside")
        assert await asyncio.to_thread(device.thread) == "myclerk"

    asyncio.run(wrongly())


def test_a_blocking_call_on_the_loops_own_thread_is_told_so(device: Any) -> None:
    class Caller:
        async def call(self, function: Any) -> Any:
            return function()

    with pytest.raises(LocalError, match="runs an event loop"):
        twin(Caller)().call(lambda: device.thread())


# -- the client's own names --------------------------------------------------------------------------------


def test_every_public_name_is_there() -> None:
    assert set(blocking.__all__) == {*myclerk_client.__all__, "Pending"}
    for name in blocking.__all__:
        assert getattr(blocking, name).__name__ == name
    assert vars(blocking)["MyClerkError"] is myclerk_client.MyClerkError
    assert vars(blocking)["KnownBoards"] is myclerk_client.KnownBoards


def _twins() -> Iterator[tuple[str, type]]:
    return ((n, c) for n, c in vars(blocking).items() if isinstance(c, type) and issubclass(c, Twin))


def test_nothing_asynchronous_is_left() -> None:
    twins = dict(_twins())
    assert {"Board", "SerialPorts", "SerialPort", "ByteStream", "EventStream", "Batch", "Lock"} <= set(twins)
    for cls in twins.values():
        for name in dir(cls):
            assert name not in ("__aenter__", "__aexit__", "__aiter__", "__anext__", "__await__")
            assert not inspect.iscoroutinefunction(getattr(cls, name)), name
    assert hasattr(twins["Batch"], "__enter__")
    assert hasattr(twins["EventStream"], "__iter__")


def test_the_short_name_is_the_same() -> None:
    import myclerk.blocking

    assert myclerk.blocking.Board is vars(blocking)["Board"]
    assert myclerk.blocking.__all__ == blocking.__all__
