"""PWM: channels in sysfs by the kernel's rules, and lines that a thread switches."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gpio_bench import Bench, Run, seen, watched
from hypothesis import given, settings
from hypothesis import strategies as st

from myclerk_drivers.gpio import driver, pwm_sysfs
from myclerk_drivers.gpio.backend import PwmChip, Waveform
from myclerk_drivers.gpio.pwm import Pwm
from myclerk_drivers.gpio.pwm_sysfs import SysfsPwm, list_pwm_chips
from myclerk_protocol.status import BadRequest, Conflict, OperationError, TooMany, Unsupported


def configured(bench: Bench, name: str, **fields: Any) -> Pwm:
    output = bench.driver.configure_pwm(bench.resource(name), **fields)
    assert isinstance(output, Pwm)
    return output


# -- operations --------------------------------------------------------------------------------------------


def test_a_channel_does_what_it_is_told(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        output = configured(bench, "pwmchip0/1", period_ns=1_000_000, duty=0.25)
        channel = bench.board._pwm_outputs["pwmchip0", 1]
        assert channel.waveform == Waveform(1_000_000, 250_000)
        assert output.describe() == {
            "source": "hardware", "period_ns": 1_000_000, "duty_ns": 250_000, "polarity": "normal",
            "enabled": True, "late_edges": None,
        }  # fmt: skip
        assert output.set(period_ns=2_000_000)["duty_ns"] == 500_000, "a new period leaves the part as it is"
        output.set(duty_ns=1, polarity="inversed", enabled=False)
        assert channel.waveform == Waveform(2_000_000, 1, True, False)
        output.set(duty=1, enabled=True)
        assert channel.waveform == Waveform(2_000_000, 2_000_000, True, True)
        output.close()
        output.close()
        assert channel.waveform is None
        configured(bench, "pwmchip0/1", period_ns=1).close()

    run(main())


@pytest.mark.parametrize(
    ("name", "fields", "error"),
    [
        ("pwmchip0/0", {"period_ns": 100, "duty_ns": 101}, BadRequest),
        ("pwmchip0/0", {"period_ns": 100, "duty": 0.5, "duty_ns": 1}, BadRequest),
        ("pwmchip0", {"period_ns": 100}, BadRequest),
        ("gpiochip0", {"period_ns": 100}, BadRequest),
        ("LED", {"period_ns": 4_999_999}, BadRequest),
    ],
    ids=str,
)
def test_senseless_pwm_takes_nothing(
    run: Run, name: str, fields: dict[str, Any], error: type[OperationError]
) -> None:
    async def main() -> None:
        bench = Bench()
        with pytest.raises(error):
            configured(bench, name, **fields)
        assert not bench.info("LED")["used"]
        configured(bench, "pwmchip0/0", period_ns=100).close()

    run(main())


def test_a_refused_change_leaves_the_waveform(run: Run) -> None:
    async def main() -> None:
        bench = Bench({"software_pwm_limit": 50.0})
        output = configured(bench, "RELAY", period_ns=10**9)
        for fields in ({"period_ns": 10**9 // 51}, {"duty_ns": 10**9 + 1}, {"duty": 0.1, "duty_ns": 3}):
            with pytest.raises(BadRequest):
                output.set(**fields)
        assert output.describe()["period_ns"] == 10**9
        output.close()

    run(main())


def test_a_channel_in_use_is_a_conflict(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        output = configured(bench, "pwmchip0/0", period_ns=100)
        with pytest.raises(Conflict):
            configured(bench, "pwmchip0/0", period_ns=100)
        output.close()

    run(main())


@pytest.mark.parametrize("limit", [0.0, -1.0, 20_000.0])
def test_a_limit_must_make_sense(run: Run, limit: float) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="software-pwm-limit"):
            Bench({"software_pwm_limit": limit})

    run(main())


# -- software ----------------------------------------------------------------------------------------------


def test_a_line_pulses_by_software_until_it_is_released(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        sensor = bench.request("SENSOR")
        sink = watched(sensor)
        output = configured(bench, "LED", period_ns=10_000_000, duty=0.5)
        assert output.describe()["source"] == "software"
        with pytest.raises(Conflict, match="myclerk PWM"):
            bench.request("LED")
        await sink.until(lambda: len(sink.events) >= 6)
        assert [edge for _, edge in seen(sink)[:6]] == ["rising", "falling"] * 3
        output.close()
        output.close()
        assert not bench.info("LED")["used"]
        assert not bench.level("LED")
        sensor.close()

    run(main())
    assert not [thread for thread in threading.enumerate() if thread.name == "myclerk PWM" and _lives(thread)]


def _lives(thread: threading.Thread) -> bool:
    thread.join(10)
    return thread.is_alive()


@pytest.mark.parametrize("polarity", ["normal", "inversed"])
def test_always_and_never_active_are_steady_levels(run: Run, polarity: str) -> None:
    async def main() -> None:
        bench = Bench()
        sensor = bench.request("SENSOR", active_low=polarity == "inversed")
        sink = watched(sensor)
        output = configured(bench, "LED", period_ns=5_000_000, duty=0, polarity=polarity)
        for change, value in (({"duty": 1}, True), ({"enabled": False}, False), ({"enabled": True}, True)):
            output.set(**change)
            await sink.until(lambda value=value: sensor.get() == {"values": [value]})  # type: ignore[misc]
        output.close()
        sensor.close()

    run(main())


def test_a_line_that_goes_is_reported_at_the_next_change(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise OSError(errno.ENODEV, "No such device")

    async def main() -> None:
        bench = Bench()
        output = configured(bench, "LED", period_ns=5_000_000, duty=0.5)
        software: Any = output._output
        monkeypatch.setattr(software._request, "set", gone)
        software._thread.join(10)
        with pytest.raises(OperationError, match="is gone"):
            output.set(duty=0.1)
        output.close()

    run(main())


# -- sysfs -------------------------------------------------------------------------------------------------


class PwmCore:
    """What the kernel takes of a channel, by pwm_apply_state and sysfs.c (v4.14 to v6.12, the strictest)."""

    def __init__(self, directory: Path, *, polarity: bool = True) -> None:
        self.directory = directory
        self.state: dict[str, Any] = {"period": 0, "duty_cycle": 0, "enable": 0, "polarity": "normal"}
        self.states: list[dict[str, Any]] = []
        if polarity:
            (directory / "polarity").write_text("normal\n")
        (directory / "enable").touch()

    def write(self, path: Path, value: int | str) -> None:
        if path.name in ("export", "unexport"):
            return
        if not (self.directory / path.name).exists() and path.name == "polarity":
            raise FileNotFoundError(path)
        new = {**self.state, path.name: value}
        if path.name == "polarity" and self.state["enable"]:
            raise OSError(errno.EBUSY, "Device or resource busy")
        if not new["period"] or new["duty_cycle"] > new["period"]:
            raise OSError(errno.EINVAL, "Invalid argument")
        self.state = new
        self.states.append(new)
        if path.name == "polarity":
            path.write_text(f"{value}\n")


Take = Callable[..., tuple[SysfsPwm, PwmCore]]


@pytest.fixture
def take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Take:
    """Export a channel of a PWM chip that obeys the kernel's rules."""

    def take(**options: bool) -> tuple[SysfsPwm, PwmCore]:
        chip, channel = tmp_path / "pwmchip0", tmp_path / "pwmchip0" / "pwm1"
        chip.mkdir(exist_ok=True)
        core: list[PwmCore] = []

        def write(path: Path, value: int | str) -> None:
            if path.name == "export":
                channel.mkdir()
                core.append(PwmCore(channel, **options))
            core[0].write(path, value)

        monkeypatch.setattr(pwm_sysfs, "_write", write)
        return SysfsPwm(chip, 1), core[0]

    return take


def test_each_waveform_reaches_the_kernel_in_an_order_that_it_takes(take: Take) -> None:
    channel, core = take()
    waveforms = st.builds(
        lambda period, part, *flags: Waveform(period, period * part // 100, *flags),
        st.integers(1, 10**6),
        st.integers(0, 100),
        st.booleans(),
        st.booleans(),
    )

    @settings(max_examples=200, deadline=None)
    @given(waveforms)
    def applied(waveform: Waveform) -> None:
        channel.apply(waveform)
        assert core.state == {
            "period": waveform.period_ns,
            "duty_cycle": waveform.duty_ns,
            "enable": int(waveform.enabled),
            "polarity": "inversed" if waveform.inversed else "normal",
        }

    applied()
    channel.release()
    assert core.state["enable"] == 0
    assert core.state["duty_cycle"] == 0


def test_a_new_frequency_does_not_interrupt_the_output(take: Take) -> None:
    channel, core = take()
    channel.apply(Waveform(1000, 500))
    core.states.clear()
    for waveform in (Waveform(100, 90), Waveform(5000, 4000), Waveform(5000, 10)):
        channel.apply(waveform)
    assert all(state["enable"] for state in core.states)


def test_what_a_boot_loader_left_is_no_obstacle(take: Take) -> None:
    channel, core = take()
    core.state.update(period=5000, duty_cycle=4000, enable=1)
    channel.apply(Waveform(100, 50, inversed=True))
    assert core.state == {"period": 100, "duty_cycle": 50, "enable": 1, "polarity": "inversed"}


def test_a_channel_without_polarity(take: Take) -> None:
    channel, core = take(polarity=False)
    channel.apply(Waveform(100, 50))
    assert core.state["enable"] == 1
    with pytest.raises(OSError, match="not supported") as refusal:
        channel.apply(Waveform(100, 50, inversed=True))
    assert refusal.value.errno == errno.EOPNOTSUPP


def test_a_channel_that_another_program_exported_is_busy(tmp_path: Path) -> None:
    (tmp_path / "pwm0").mkdir()
    with pytest.raises(OSError, match="busy") as refusal:
        SysfsPwm(tmp_path, 0)
    assert refusal.value.errno == errno.EBUSY


def test_a_waveform_that_the_hardware_cannot_do_releases_the_channel(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        channel = bench.board.pwm("pwmchip0", 0)
        channel.release()

        def refuse(_: Waveform) -> None:
            raise OSError(errno.EINVAL, "Invalid argument")

        channel.apply = refuse  # type: ignore[method-assign]
        with pytest.raises(Unsupported, match="cannot do this period"):
            configured(bench, "pwmchip0/0", period_ns=1)
        del channel.apply
        configured(bench, "pwmchip0/0", period_ns=1).close()

    run(main())


def test_chips_are_listed_in_natural_order(tmp_path: Path) -> None:
    assert list_pwm_chips(tmp_path / "none") == []
    for number, channels in ((10, "1\n"), (2, "4\n"), (3, "many\n")):
        chip = tmp_path / f"pwmchip{number}"
        (tmp_path / "devices" / f"{number}.pwm").mkdir(parents=True)
        chip.mkdir()
        (chip / "npwm").write_text(channels)
        (chip / "device").symlink_to(tmp_path / "devices" / f"{number}.pwm")
    assert list_pwm_chips(tmp_path) == [PwmChip("pwmchip2", "2.pwm", 4), PwmChip("pwmchip10", "10.pwm", 1)]


def test_software_does_a_limited_number_of_outputs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "MOST_SOFTWARE_PWM", 2)

    async def main() -> None:
        bench = Bench()
        outputs = [configured(bench, f"gpiochip2/{line}", period_ns=10**9) for line in (0, 1)]
        with pytest.raises(TooMany, match="2 lines"):
            configured(bench, "gpiochip2/2", period_ns=10**9)
        outputs[0].close()
        outputs[0].close()
        for _ in range(3):  # a failure takes no place
            with pytest.raises(Conflict):
                configured(bench, "gpiochip2/1", period_ns=10**9)
        configured(bench, "gpiochip2/2", period_ns=10**9).close()
        outputs[1].close()

    run(main())
