"""Listing, opening, configuring and restoring interfaces, on simulated ones."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest
from interfaces import CONTROLLERS, RATE, Bench, Listener, sent

from myclerk_drivers.can.backend import Configuration, InterfaceState
from myclerk_drivers.can.configuration import settings
from myclerk_protocol.schema import Schema
from myclerk_protocol.status import (
    BadRequest,
    Conflict,
    DeviceGone,
    HardwareError,
    NotFound,
    OperationError,
    TooMany,
    Unsupported,
)

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def state(bench: Bench, name: str) -> dict[str, Any]:
    return settings(bench.simulation.interface(name))


def test_the_list_says_what_each_interface_is(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            bench.open("can0", {**RATE, "fd": True, "data_bitrate": 2_000_000})
            listed = bench.driver.list_interfaces()
            response = Schema.load().response("CAN_INTERFACE_LIST")
            assert response is not None
            again = response.decode(response.encode(listed))["interfaces"]
        found = {interface["interface"]: interface for interface in again}
        assert list(found) == list(CONTROLLERS)
        can0 = found["can0"]
        assert (can0["name"], can0["kind"], can0["driver"]) == ("can:can0", "can", "simulated")
        assert (can0["up"], can0["in_use"], can0["state"], can0["mtu"]) == (True, True, "error-active", 72)
        assert (can0["bitrate"], can0["sample_point"], can0["data_bitrate"]) == (500_000, 0.875, 2_000_000)
        assert can0["bit_timing"]["tq"] * can0["bit_timing"]["brp"] > 0
        assert can0["tx_errors"] == can0["rx_errors"] == can0["statistics"]["tx_packets"] == 0
        assert found["can1"]["up"] is found["can1"]["in_use"] is False
        assert "bitrate" not in found["can1"]
        assert found["can2"]["modes"] == ["listen-only"]
        assert found["vcan0"]["kind"] == "vcan"
        assert not {"state", "tx_errors", "bitrate", "clock", "modes"} & found["vcan0"].keys()

    run(story())


def test_hidden_interfaces_are_not_there(run: Run) -> None:
    async def story() -> None:
        async with Bench(hide=["can0"]) as bench:
            assert "can:can0" not in {resource.name for resource in bench.driver.resources()}
            assert bench.driver.find("can:can0") is None

    run(story())


@pytest.mark.parametrize("wrong", [{"receive_buffer": 10}, {"hide": [1]}])
def test_settings_that_make_no_sense_are_refused(run: Run, wrong: dict[str, Any]) -> None:
    async def story() -> None:
        with pytest.raises(ValueError, match="must"):
            Bench(**wrong)

    run(story())


def test_configuring_reads_back_what_is_in_force(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            channel = bench.open("can0")
            assert channel.describe()["up"] is False
            answer = channel.configure(
                bitrate=250_000, sample_point=0.8, restart_ms=100, one_shot=True, berr_reporting=True, up=True
            )
            response = Schema.load().response("CAN_CONFIGURE")
            assert response is not None
            answer = response.decode(response.encode(answer))
            expected = {
                "bitrate": 250_000, "sample_point": 0.8, "restart_ms": 100, "one_shot": True, "up": True,
                "berr_reporting": True, "listen_only": False, "loopback": False, "fd": False,
            }  # fmt: skip
            assert {name: answer[name] for name in expected} == expected
            assert channel.configure(one_shot=False)["bitrate"] == 250_000
            assert channel.status()["one_shot"] is False

    run(story())


def test_a_change_keeps_an_interface_up_or_down(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            channel = bench.open("can0", {"bitrate": 125_000})
            assert state(bench, "can0")["up"] is False
            channel.configure(up=True)
            channel.configure(bitrate=250_000)
            assert state(bench, "can0")["up"] is True
            channel.configure(up=False)
            assert state(bench, "can0")["up"] is False

    run(story())


@pytest.mark.parametrize(
    ("name", "given", "error", "key"),
    [
        ("can0", {"up": True}, BadRequest, "bitrate"),
        ("can0", {"sample_point": 0.8}, BadRequest, "bitrate"),
        ("can0", {"bitrate": 500_000, "sample_point": 0.0}, BadRequest, "sample-point"),
        ("can0", {"bitrate": 500_000, "sample_point": 1.0}, BadRequest, "sample-point"),
        ("can0", {"bitrate": 500_000, "fd": True}, BadRequest, "data-bitrate"),
        ("can0", {"bitrate": 500_000, "data_bitrate": 2_000_000}, BadRequest, "data-bitrate"),
        ("can0", {"bitrate": 500_000, "fd": False, "data_sample_point": 0.7}, BadRequest, "data-bitrate"),
        ("can0", {"fd": True, "data_bitrate": 2_000_000}, BadRequest, "bitrate"),
        ("can2", {"bitrate": 500_000, "one_shot": True}, Unsupported, "one-shot"),
        ("can2", {"bitrate": 500_000, "fd": True, "data_bitrate": 1_000_000}, Unsupported, "fd"),
        ("vcan0", {"bitrate": 500_000}, Unsupported, "bitrate"),
        ("vcan0", {"listen_only": True}, Unsupported, "listen-only"),
        ("vcan0", {"restart": True}, Unsupported, "restart"),
        ("can0", {"restart": True, "bitrate": 500_000}, BadRequest, "restart"),
        ("can0", {"restart": True}, Conflict, None),
        ("can0", {"bitrate": 79_000_000}, Unsupported, None),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    run: Run, name: str, given: dict[str, Any], error: type[OperationError], key: str | None
) -> None:
    async def story() -> None:
        async with Bench() as bench:
            channel = bench.open(name)
            before = bench.simulation.interface(name)
            with pytest.raises(error) as refused:
                channel.configure(**given)
            assert refused.value.details.get("key") == key
            assert bench.simulation.interface(name) == before

    run(story())


def test_a_virtual_interface_is_for_can_fd_or_not(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            channel = bench.open("vcan0")
            assert channel.describe()["fd"] is True
            assert channel.configure(fd=False)["mtu"] == 16
            assert state(bench, "vcan0") == {"up": True, "fd": False}
            assert channel.configure(fd=True, up=False)["mtu"] == 72

    run(story())


def test_a_failure_on_the_way_puts_everything_back(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with Bench() as bench:
            channel = bench.open("can0", {**RATE, "listen_only": True})
            before = bench.simulation.interface("can0")
            set_up, attempts = bench.simulation.set_up, []

            def fail_once(name: str, up: bool) -> None:
                attempts.append(up)
                if attempts == [False, True]:
                    raise OSError(errno.EIO, "Input/output error")
                set_up(name, up)

            monkeypatch.setattr(bench.simulation, "set_up", fail_once)
            with pytest.raises(HardwareError, match="configuring failed on can0") as failed:
                channel.configure(bitrate=125_000, listen_only=False)
            assert failed.value.details["errno"] == "EIO"
            assert bench.simulation.interface("can0") == before

    run(story())


def test_a_failure_to_put_things_back_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with Bench() as bench:
            channel = bench.open("can0", RATE)

            def fail(name: str, current: Configuration, wanted: Configuration) -> None:
                bench.simulation.unplug(name)
                raise OSError(errno.EPERM, "Operation not permitted")

            monkeypatch.setattr(bench.simulation, "configure", fail)
            with pytest.raises(
                HardwareError, match="CAP_NET_ADMIN; its earlier settings could not be put back"
            ):
                channel.configure(bitrate=125_000)

    run(story())


def test_settings_that_are_in_force_already_disturb_nobody(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            first, second = bench.open("can0", RATE), bench.open("can0")
            listener = Listener(first)
            assert second.configure(**RATE)["bitrate"] == 500_000
            with pytest.raises(Conflict, match="open with another handle"):
                second.configure(bitrate=250_000)
            with pytest.raises(Conflict):
                first.configure(up=False)
            assert state(bench, "can0")["bitrate"] == 500_000
            assert not listener.sink.ended
            first.close()
            assert second.configure(bitrate=250_000)["bitrate"] == 250_000

    run(story())


async def released(bench: Bench) -> None:
    """Wait until what closing started is done: it runs on a thread."""
    await bench.context.run_blocking(bench.driver.close)


def test_the_configuration_stays_when_a_handle_is_closed(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            bench.open("can0", RATE).close()
            await released(bench)
            assert state(bench, "can0")["bitrate"] == 500_000
            assert state(bench, "can0")["up"] is True

    run(story())


def test_restore_puts_back_what_was_before_the_last_handle_is_gone(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            bench.open("can0", {"bitrate": 125_000, "sample_point": 0.8}).close()
            before = bench.simulation.interface("can0")
            first = bench.open("can0")
            first.configure(restore=True, **RATE, fd=True, data_bitrate=2_000_000, listen_only=True)
            first.configure(bitrate=250_000)
            second = bench.open("can0")
            first.close()
            await released(bench)
            assert state(bench, "can0")["bitrate"] == 250_000
            second.close()
            await released(bench)
            assert bench.simulation.interface("can0") == before

    run(story())


def test_a_bit_rate_that_was_never_there_cannot_be_taken_back(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            channel = bench.open("can0")
            channel.configure(restore=True, **RATE)
            channel.close()
            await released(bench)
            assert state(bench, "can0")["up"] is False
            assert state(bench, "can0")["bitrate"] == 500_000

    run(story())


def test_who_opens_it_next_finds_it_restored(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the thread that restores it comes late."""

    async def story() -> None:
        async with Bench() as bench:
            channel = bench.open("can0", {"bitrate": 125_000, "up": True})
            channel.configure(restore=True, bitrate=500_000)
            late: list[Callable[[], None]] = []
            monkeypatch.setattr(bench.context, "run_blocking", late.append)
            channel.close()
            assert bench.open("can0").describe()["bitrate"] == 125_000
            (restore,) = late
            restore()
            assert state(bench, "can0")["bitrate"] == 125_000

    run(story())


def test_closing_never_waits_for_a_configuration_under_way(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with Bench() as bench:
            channel = bench.open("can0", {"bitrate": 125_000})
            configure, entered, go_on = bench.simulation.configure, threading.Event(), threading.Event()

            def slowly(name: str, current: Configuration, wanted: Configuration) -> None:
                entered.set()
                assert go_on.wait(10)
                configure(name, current, wanted)

            monkeypatch.setattr(bench.simulation, "configure", slowly)
            under_way = bench.context.run_blocking(lambda: channel.configure(bitrate=500_000, restore=True))
            await bench.context.run_blocking(lambda: entered.wait(10))
            channel.close()  # on the event loop, while the lock is held
            go_on.set()
            await under_way
            await released(bench)
            assert state(bench, "can0")["bitrate"] == 125_000
            with pytest.raises(NotFound):
                channel.configure(bitrate=500_000)

    run(story())


def test_an_interface_that_left_is_not_found_or_gone(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            channel = bench.open("can0", RATE)
            resource = bench.driver.find("can:can0")
            assert resource is not None
            bench.simulation.unplug("can0")
            with pytest.raises(DeviceGone):
                channel.status()
            with pytest.raises(DeviceGone):
                await sent(channel.send([(1, 0, b"")]))
            with pytest.raises(DeviceGone):
                channel.receive()
            with pytest.raises(NotFound):
                bench.driver.open_interface(resource)
            assert bench.driver.find("can:can0") is None

    run(story())


def test_a_closed_handle_does_nothing(run: Run) -> None:
    async def story() -> None:
        async with Bench() as bench:
            channel = bench.open("can0", RATE)
            channel.close()
            channel.close()
            for call in (
                channel.receive,
                lambda: channel.send([(1, 0, b"")]),
                lambda: channel.set_filters([]),
                lambda: channel.configure(up=False),
            ):
                with pytest.raises(NotFound):
                    call()

    run(story())


@pytest.mark.parametrize(
    ("number", "error", "words"),
    [
        (errno.EAFNOSUPPORT, Unsupported, "no CAN sockets"),
        (errno.ENODEV, NotFound, "no CAN interface"),
        (errno.EMFILE, HardwareError, "opening failed"),
    ],
)
def test_an_interface_that_cannot_be_opened_is_left_alone(
    run: Run, monkeypatch: pytest.MonkeyPatch, number: int, error: type[OperationError], words: str
) -> None:
    async def story() -> None:
        async with Bench() as bench:

            def fail(*_: object) -> None:
                raise OSError(number, "as the kernel says")

            holder = bench.open("can0")
            monkeypatch.setattr(bench.simulation, "open", fail)
            with pytest.raises(error, match=words):
                bench.open("can0")
            holder.configure(**RATE)  # nobody else is left in the way

    run(story())


def test_handles_on_one_interface_are_limited_in_number(run: Run) -> None:
    """Each costs a descriptor and up to 4 MiB of the kernel's memory, and read access is enough for it."""

    async def story() -> None:
        async with Bench() as bench:
            opened = [bench.open("can0") for _ in range(32)]
            with pytest.raises(TooMany, match="can0 is open 32 times"):
                bench.open("can0")
            bench.open("can1")
            opened[0].close()
            bench.open("can0")

    run(story())


def test_a_kernel_that_does_not_answer_is_told_as_such(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(name: str) -> InterfaceState:
        raise TimeoutError("timed out")

    async def story() -> None:
        async with Bench() as bench:
            channel = bench.open("can0")
            monkeypatch.setattr(bench.simulation, "interface", never)
            with pytest.raises(HardwareError, match="timed out"):
                channel.status()

    run(story())


def test_several_handles_of_several_sessions_may_stand_beside_each_other() -> None:
    from myclerk_drivers.can.channel import CanChannel

    assert CanChannel.shared


BROKEN: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "no table": ({"can0": 5}, "can.can0"),
    "another kind": ({"can0": {"kind": "slcan"}}, "can.can0.kind"),
    "an unknown key": ({"can0": {"speed": 5}}, "speed"),
    "a bit rate of vcan": ({"vcan0": {"kind": "vcan", "bitrate": 5}}, "bitrate"),
    "no mode": ({"can0": {"modes": [1]}}, "can.can0.modes"),
    "no sample point": (
        {"can0": {"bitrate": 500_000, "sample-point": float("inf")}},
        "can.can0.sample-point",
    ),
    "a sample point in percent": ({"can0": {"bitrate": 500_000, "sample-point": 80}}, "0.001 and 0.999"),
    "an unknown mode": ({"can0": {"modes": ["warp"]}}, "can.can0.modes"),
    "no number": ({"can0": {"bitrate": "fast"}}, "can.can0.bitrate"),
    "too fast": ({"can0": {"bitrate": 50_000_000}}, "can.can0.bitrate"),
    "no bit rate": ({"can0": {"up": True}}, "can.can0.up"),
    "data without bit rate": ({"can0": {"data-bitrate": 1_000_000}}, "can.can0.data-bitrate"),
    "data without fd": (
        {"can0": {"bitrate": 500_000, "data-bitrate": 1_000_000, "modes": []}},
        "can.can0.data-bitrate",
    ),
    "a slow clock": ({"can0": {"clock": 5}}, "can.can0.clock"),
    "a long name": ({"a-very-long-name": {}}, "a-very-long-name"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_description_that_is_wrong_names_the_key(run: Run, name: str) -> None:
    table, words = BROKEN[name]

    async def story() -> None:
        with pytest.raises(ValueError, match=words.replace(".", r"\.")):
            Bench(table)

    run(story())


def test_a_description_can_have_interfaces_ready_for_use(run: Run) -> None:
    table = {
        "can0": {
            "bitrate": 250_000,
            "sample-point": 0.75,
            "data-bitrate": 1_000_000,
            "up": True,
            "clock": 40_000_000,
        }
    }

    async def story() -> None:
        async with Bench(table) as bench:
            found = bench.open("can0").describe()
            assert (found["up"], found["fd"], found["clock"]) == (True, True, 40_000_000)
            assert (found["bitrate"], found["sample_point"], found["data_bitrate"]) == (
                250_000,
                0.75,
                1_000_000,
            )

    run(story())
