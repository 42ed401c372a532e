"""Requested lines: what they are requested as, setting, reading, and how they are left."""

from __future__ import annotations

from typing import Any

import pytest
from gpio_bench import BUTTON, LED, SENSOR, Bench, Run

from myclerk_protocol.status import BadRequest, Conflict, DeviceGone, NotFound, OperationError, Unsupported


def test_lines_are_set_and_read_together(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        lines = bench.request("gpiochip0", {"line": "LED", "direction": "output"}, "SENSOR", 0)
        assert lines.describe() == {
            "chip": "gpio:gpiochip0",
            "lines": [
                {"offset": 1, "name": "LED"},
                {"offset": 3, "name": "SENSOR"},
                {"offset": 0, "name": "BUTTON"},
            ],
        }
        assert lines.get() == {"values": [False, False, True]}
        lines.set([True], [LED])
        assert lines.get() == {"values": [True, True, True]}
        assert lines.get([SENSOR, 0]) == {"values": [True, True]}
        lines.close()

    run(main())


def test_all_lines_are_set_in_the_order_of_the_request(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        lines = bench.request("gpiochip0", "RELAY", "LED", direction="output")
        lines.set([True, False])
        assert (bench.level("RELAY"), bench.level("LED")) == (True, False)
        lines.close()

    run(main())


def test_a_line_is_requested_by_its_own_name(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        for name in ("LED", "gpiochip0/LED", "gpiochip0/1", "board/LED", "board/1"):
            lines = bench.request(name)
            assert [part.name for part in lines.parts] == ["gpio:gpiochip0/1"]
            assert lines.resource.name == "gpio:gpiochip0/1"
            lines.close()

    run(main())


def test_settings_of_a_line_come_before_those_of_all(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        lines = bench.request(
            "gpiochip0",
            {"line": "LED", "value": True},
            {"line": "BUTTON", "direction": "input", "bias": "pull-down", "debounce": 0.01},
            direction="output",
            active_low=True,
            consumer="a test",
        )
        assert bench.info("LED") == {
            "offset": 1, "name": "LED", "used": True, "consumer": "a test", "direction": "output",
            "active_low": True, "bias": "unknown", "drive": "push-pull",
        }  # fmt: skip
        assert bench.info("BUTTON") == {
            "offset": 0, "name": "BUTTON", "used": True, "consumer": "a test", "direction": "input",
            "active_low": True, "bias": "pull-down", "drive": "push-pull", "debounce": 0.01,
        }  # fmt: skip
        assert not bench.level("LED")
        lines.close()

    run(main())


@pytest.mark.parametrize(
    ("drive", "level_when_set", "level_when_clear"),
    [("push-pull", True, False), ("open-drain", True, False), ("open-source", True, True)],
)
def test_drives(run: Run, drive: str, level_when_set: bool, level_when_clear: bool) -> None:
    """BUTTON has a resistor up: an open drain lets go of it when set, an open source when clear."""

    async def main() -> None:
        bench = Bench()
        lines = bench.request("BUTTON", direction="output", drive=drive)
        lines.set([True])
        assert bench.level("BUTTON") is level_when_set
        lines.set([False])
        assert bench.level("BUTTON") is level_when_clear
        lines.close()

    run(main())


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"value": True}, "value"),
        ({"direction": "as-is", "value": True}, "value"),
        ({"drive": "open-drain"}, "drive"),
        ({"direction": "output", "debounce": 0.001}, "debounce"),
        ({"debounce": 5000.0}, "debounce"),
        ({"direction": "as-is", "bias": "pull-up"}, "bias"),
        ({"direction": "sideways"}, "direction"),
        ({"on_release": "explode"}, "on-release"),
        ({"event_clock": "sundial"}, "event-clock"),
        ({"colour": "red"}, "colour"),
        ({"consumer": "two\nlines"}, "consumer"),
    ],
    ids=str,
)
def test_senseless_settings_change_nothing(run: Run, settings: dict[str, Any], key: str) -> None:
    async def main() -> None:
        bench = Bench()
        with pytest.raises(BadRequest) as refusal:
            bench.request("gpiochip0", "RELAY", "LED", **settings)
        assert refusal.value.details["key"] == key
        assert not bench.info("RELAY")["used"]

    run(main())


@pytest.mark.parametrize(
    ("resource", "lines", "error"),
    [
        ("gpiochip0", ["NOPE"], NotFound),
        ("gpiochip0", [8], NotFound),
        ("gpiochip0", [""], NotFound),
        ("gpiochip0", ["TWIN"], BadRequest),
        ("gpiochip0", [1, "LED"], BadRequest),
        ("gpiochip0", [], BadRequest),
        ("LED", ["SPARE"], NotFound),
        ("pwmchip0", [0], BadRequest),
        ("pwmchip0/1", [], BadRequest),
    ],
    ids=str,
)
def test_lines_that_cannot_be_meant(
    run: Run, resource: str, lines: list[int | str], error: type[OperationError]
) -> None:
    async def main() -> None:
        bench = Bench()
        with pytest.raises(error) as refusal:
            bench.request(resource, *lines)
        assert refusal.value.details["key"] in ("lines", "resource")

    run(main())


def test_what_the_chip_cannot_do_is_unsupported(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        with pytest.raises(Unsupported) as refusal:
            bench.request("LED", event_clock="hte")
        assert refusal.value.details["errno"] in ("EOPNOTSUPP", "ENOTSUP")

    run(main())


def test_a_line_in_use_on_the_board_names_its_user(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        lines = bench.request("gpiochip0", "LED", "RELAY", consumer="someone")
        with pytest.raises(Conflict, match=r"someone \(RELAY\)") as refusal:
            bench.request("RELAY")
        assert refusal.value.details["errno"] == "EBUSY"
        lines.close()
        bench.request("RELAY").close()

    run(main())


def test_inputs_are_not_set(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        lines = bench.request("gpiochip0", {"line": "LED", "direction": "output"}, "BUTTON")
        for values, names in (([True, True], None), ([True], [BUTTON])):
            with pytest.raises(BadRequest, match="BUTTON is an input"):
                lines.set(values, names)
        assert not bench.level("LED")
        lines.close()
        as_found = bench.request("BUTTON", direction="as-is")
        with pytest.raises(BadRequest, match="as-is"):
            as_found.set([True])
        as_found.close()

    run(main())


@pytest.mark.parametrize(
    ("values", "lines", "error"),
    [
        ([True], None, BadRequest),
        ([True, True], [LED], BadRequest),
        ([True, False], [LED, LED], BadRequest),
        ([True], [BUTTON], NotFound),
        ([True], [99], NotFound),
    ],
    ids=str,
)
def test_values_that_do_not_fit_set_nothing(
    run: Run, values: list[bool], lines: list[int] | None, error: type[OperationError]
) -> None:
    async def main() -> None:
        bench = Bench()
        requested = bench.request("gpiochip0", "LED", "RELAY", direction="output")
        with pytest.raises(error):
            requested.set(values, lines)
        assert (bench.level("LED"), bench.level("RELAY")) == (False, False)
        requested.close()

    run(main())


# -- how lines are left ------------------------------------------------------------------------------------


def test_an_output_becomes_an_input_by_default(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        lines = bench.request("RELAY", direction="output", value=True)
        lines.close()
        lines.close()
        assert (bench.info("RELAY")["direction"], bench.info("RELAY")["used"]) == ("input", False)
        assert not bench.level("RELAY")

    run(main())


@pytest.mark.parametrize(
    ("settings", "on_release", "level"),
    [
        ({"direction": "output", "value": True}, "hold", True),
        ({"direction": "output", "value": True, "active_low": True}, "hold", False),
        ({"direction": "output"}, "high", True),
        ({"direction": "output", "value": True}, "low", False),
        ({"direction": "output", "active_low": True}, "low", False),
        ({"direction": "output", "active_low": True}, "high", True),
        ({}, "high", True),
        ({"active_low": True}, "high", True),
    ],
    ids=str,
)
def test_a_level_is_kept_until_the_line_is_requested_again(
    run: Run, settings: dict[str, Any], on_release: str, level: bool
) -> None:
    async def main() -> None:
        bench = Bench()
        bench.request("RELAY", on_release=on_release, **settings).close()
        assert bench.level("RELAY") is level
        assert bench.info("RELAY")["kept"]
        again = bench.request("RELAY", direction="as-is")
        assert bench.level("RELAY") is level, "taking it over changes nothing"
        assert "kept" not in bench.info("RELAY")
        again.close()
        assert not bench.info("RELAY")["used"]

    run(main())


def test_what_was_set_last_is_held(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        lines = bench.request("gpiochip0", "RELAY", "LED", direction="output", on_release="hold")
        lines.set([True, False])
        lines.set([True], [LED])
        lines.close()
        assert (bench.level("RELAY"), bench.level("LED")) == (True, True)
        bench.driver.close()
        assert not bench.info("RELAY")["used"], "nothing is kept behind the end of the agent"

    run(main())


def test_only_the_lines_that_keep_a_level_stay_requested(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        bench.request(
            "gpiochip0",
            {"line": "RELAY", "direction": "output", "value": True, "on_release": "hold"},
            {"line": "LED", "direction": "output", "value": True},
            "BUTTON",
        ).close()
        assert bench.level("RELAY")
        assert [bench.info(name)["used"] for name in ("RELAY", "LED", "BUTTON")] == [True, False, False]
        bench.driver.close()

    run(main())


def test_requesting_one_kept_line_leaves_the_others_kept(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        bench.request("gpiochip0", "RELAY", "LED", on_release="high").close()
        with pytest.raises(Unsupported):
            bench.request("RELAY", event_clock="hte")
        with pytest.raises(Unsupported):
            bench.request("gpiochip0", "RELAY", "LED", event_clock="hte")
        assert (bench.level("RELAY"), bench.level("LED")) == (True, True), "a refused request changes nothing"
        lines = bench.request("RELAY", direction="output")
        assert (bench.level("RELAY"), bench.level("LED")) == (False, True)
        assert bench.info("LED")["kept"]
        lines.close()
        bench.driver.close()

    run(main())


@pytest.mark.parametrize("active_low", [False, True])
def test_one_of_several_kept_lines_is_taken_over_as_it_is(run: Run, active_low: bool) -> None:
    async def main() -> None:
        bench = Bench()
        bench.request("gpiochip0", "RELAY", "LED", on_release="high").close()
        lines = bench.request("RELAY", direction="as-is", active_low=active_low)
        assert (bench.level("RELAY"), bench.level("LED")) == (True, True)
        assert lines.get() == {"values": [not active_low]}
        lines.close()
        bench.driver.close()

    run(main())


def test_a_line_requested_as_it_is_stays_so(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        held = bench.request("RELAY", direction="as-is")
        assert bench.info("RELAY")["direction"] == "input"
        assert held.get() == {"values": [False]}
        held.close()

    run(main())


def test_a_chip_that_is_gone_is_said_to_be(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise OSError(19, "No such device")

    async def main() -> None:
        bench = Bench()
        lines = bench.request("RELAY", direction="output", on_release="high")
        for name in ("get", "set", "configure"):
            monkeypatch.setattr(lines._request, name, gone)
        with pytest.raises(DeviceGone):
            lines.get()
        with pytest.raises(DeviceGone):
            lines.set([True])
        lines.close()
        assert not bench.info("RELAY")["used"]

    run(main())


# -- information -------------------------------------------------------------------------------------------


def test_chips_are_listed_with_labels_and_names(run: Run) -> None:
    async def main() -> None:
        listed = Bench().driver.list_chips()
        board, spare, wide = listed["chips"]
        assert (board["name"], board["label"]) == ("gpio:gpiochip0", "board")
        assert board["line_names"] == ["BUTTON", "LED", "RELAY", "SENSOR", "TWIN", "TWIN", "", "17"]
        assert (spare["line_names"], len(wide["line_names"])) == (["", "", "SPARE", "TWIN"], 70)
        assert listed["pwm_chips"] == [{"name": "gpio:pwmchip0", "label": "simulated", "channels": 2}]

    run(main())


def test_information_of_a_chip_of_some_lines_and_of_one(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        chip = bench.resource("board")
        everything = bench.driver.line_info(chip)
        assert everything["chip"] == "gpio:gpiochip0"
        assert [line["offset"] for line in everything["lines"]] == list(range(8))
        some = bench.driver.line_info(chip, ["SENSOR", 0])["lines"]
        assert [line["name"] for line in some] == ["SENSOR", "BUTTON"]
        one = bench.driver.line_info(bench.resource("LED"))["lines"]
        assert [line["offset"] for line in one] == [1]
        with pytest.raises(NotFound):
            bench.driver.line_info(chip, [99])

    run(main())


def test_more_than_64_lines_are_not_requested_together(run: Run) -> None:
    async def main() -> None:
        bench = Bench()
        lines = bench.request("wide", *range(64))
        assert len(lines.get()["values"]) == 64
        lines.close()
        with pytest.raises(Unsupported):
            bench.request("wide", *range(65))

    run(main())
