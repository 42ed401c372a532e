"""What `myclerk gpio` takes and shows; the board answers from a table."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import click
import pytest
from cli_runner import Run
from hypothesis import given
from hypothesis import strategies as st
from test_cli_board import Answers, agent, answers, events  # noqa: F401 (fixtures)

from myclerk_client.cli.gpio_options import assignment, duration, durations, part
from myclerk_client.cli.pinout import HEADER, is_raspberry_pi, pinout
from myclerk_client.cli.vcd import LEAD_IN, VcdWriter

PI_5 = ["ID_SDA", "ID_SCL", *(f"GPIO{n}" for n in range(2, 28)), "PCIE_RP1_WAKE"]
PI_3 = [
    "ID_SDA", "ID_SCL", "SDA1", "SCL1", "GPIO_GCLK", "GPIO5", "GPIO6", "SPI_CE1_N", "SPI_CE0_N", "SPI_MISO",
    "SPI_MOSI", "SPI_SCLK", "GPIO12", "GPIO13", "TXD1", "RXD1", *(f"GPIO{n}" for n in range(16, 28)),
]  # fmt: skip


def line(offset: int, name: str = "", **more: Any) -> dict[str, Any]:
    usual = {
        "used": False,
        "direction": "input",
        "active_low": False,
        "bias": "unknown",
        "drive": "push-pull",
    }
    return {"offset": offset, **({"name": name} if name else {}), **usual, **more}


# -- words -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("100", 0.1), ("100ms", 0.1), ("1.5s", 1.5), ("20us", 20e-6), ("5ns", 5e-9), ("2m", 120), ("0", 0)],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)
    assert durations(f"{text},1s") == [pytest.approx(seconds), 1.0]


@pytest.mark.parametrize("text", ["", "-1", "1h", "s", "1e3", "1,2", "ten"])
def test_words_that_are_no_durations(text: str) -> None:
    with pytest.raises(click.BadParameter):
        duration(text)


def test_assignments() -> None:
    assert [assignment(f"LED={word}")[1] for word in ("1", "on", "ACTIVE", "yes", "true")] == [True] * 5
    assert [assignment(f"LED={word}")[1] for word in ("0", "off", "Inactive", "no", "false")] == [False] * 5
    assert assignment("a=b=1") == ("a=b", True)
    for text in ("LED", "LED=", "=1", "LED=2", "LED=maybe"):
        with pytest.raises(click.BadParameter):
            assignment(text)


def test_parts() -> None:
    assert [part(text) for text in ("25%", "0.25", "1", "0%", "100%")] == [0.25, 0.25, 1.0, 0.0, 1.0]
    for text in ("25", "-1%", "101%", "nan", "half"):
        with pytest.raises(click.BadParameter):
            part(text)


# -- information -------------------------------------------------------------------------------------------


def test_chips_are_shown_as_gpiodetect_does(run: Run, answers: Answers) -> None:  # noqa: F811
    chips = [{"name": "gpio:gpiochip0", "label": "pinctrl-rp1", "line_names": ["A", ""]}]
    pwm_chips = [{"name": "gpio:pwmchip0", "label": "1f00098000.pwm", "channels": 4}]
    answers["GPIO_CHIP_LIST"] = {"chips": chips, "pwm_chips": pwm_chips}
    assert run("gpio", "detect")[1].splitlines() == [
        "gpiochip0 [pinctrl-rp1] (2 lines)",
        "pwmchip0 [1f00098000.pwm] (4 PWM channels)",
    ]
    assert json.loads(run("gpio", "detect", "--json")[1])["chips"][0]["line-names"] == ["A", ""]


def test_lines_are_shown_with_what_is_not_as_usual(run: Run, answers: Answers) -> None:  # noqa: F811
    odd = {"active_low": True, "bias": "pull-up", "edges": "both", "debounce": 0.005, "used": True}
    answers["GPIO_CHIP_LIST"] = {
        "chips": [{"name": "gpio:gpiochip0", "label": "x", "line_names": ["", "LED"]}],
        "pwm_chips": [],
    }
    answers["GPIO_LINE_INFO"] = {
        "chip": "gpio:gpiochip0",
        "lines": [line(0, **odd), line(1, "LED", used=True, consumer="led0", kept=True)],
    }
    title, _, first, second = run("gpio", "info")[1].splitlines()
    assert title == "gpiochip0 - 2 lines:"
    assert first.split() == [
        "gpiochip0/0", "input", "active-low", "pull-up", "edges=both", "debounce=5ms", "the", "kernel",
    ]  # fmt: skip
    assert second.split() == ["gpiochip0/1", "LED", "input", "kept", "led0"]


@pytest.mark.parametrize("names", [PI_5, PI_3])
def test_a_raspberry_pi_is_recognised(names: list[str]) -> None:
    assert is_raspberry_pi([line(offset, name) for offset, name in enumerate(names)])
    assert not is_raspberry_pi([line(offset) for offset in range(54)])
    assert not is_raspberry_pi([])


def test_the_header_has_each_line_once_where_the_boards_documentation_has_it() -> None:
    """Pins by pinout.xyz and the Raspberry Pi documentation: GPIO2 on 3, GPIO14 on 8, GPIO21 on 40."""
    assert len(HEADER) == 40
    assert sorted(pin for pin in HEADER if isinstance(pin, int)) == list(range(28))
    assert [HEADER[pin - 1] for pin in (3, 8, 11, 12, 19, 24, 27, 32, 40)] == [
        2,
        14,
        17,
        18,
        10,
        8,
        0,
        12,
        21,
    ]
    assert [pin for pin, what in enumerate(HEADER, 1) if what == "GND"] == [6, 9, 14, 20, 25, 30, 34, 39]
    assert [HEADER[pin - 1] for pin in (1, 2, 4, 17)] == ["3V3", "5V", "5V", "3V3"]


def test_the_picture_shows_who_uses_what() -> None:
    lines = [line(offset, name) for offset, name in enumerate(PI_5)]
    lines[17] = line(17, "GPIO17", used=True, consumer="myclerk", direction="output")
    rows = pinout(lines)
    assert len(rows) == 20
    assert rows[0].split() == ["3V3", "1", "=", "=", "2", "5V"]
    assert rows[5].split() == ["output", "myclerk", "GPIO17", "11", "*", "o", "12", "GPIO18", "input"]
    assert rows[13].split() == ["input", "ID_SDA/0", "27", "o", "o", "28", "ID_SCL/1", "input"]
    columns = [re.search(r"(\d+) [o*=] [o*=] \d+", row) for row in rows]
    assert len({found.end(1) for found in columns if found}) == 1, "the pins stand below each other"


def test_info_of_a_raspberry_pi_is_a_picture_or_a_table(run: Run, answers: Answers) -> None:  # noqa: F811
    lines = [line(offset, name) for offset, name in enumerate(PI_5)]
    answers["GPIO_LINE_INFO"] = {"chip": "gpio:gpiochip0", "lines": lines}
    picture = run("gpio", "info", "--chip", "gpiochip0")[1].splitlines()
    assert (len(picture), picture[0]) == (21, "gpiochip0 - 29 lines:")
    assert len(run("gpio", "info", "--chip", "gpiochip0", "--table")[1].splitlines()) == 31


# -- edges -------------------------------------------------------------------------------------------------

EDGES = [
    {"timestamp-ns": 12_000_000_345, "line": 3, "name": "SENSOR", "edge": "rising", "sequence": 1},
    {"timestamp-ns": 13_500_000_000, "line": 3, "name": "SENSOR", "edge": "falling", "sequence": 2},
]


@pytest.fixture
def edges(answers: Answers, events: list[dict[str, Any]]) -> None:  # noqa: F811
    events += EDGES
    held = [{"offset": 3, "name": "SENSOR"}]
    answers["GPIO_LINE_REQUEST"] = {"handle": 1, "chip": "gpio:gpiochip0", "lines": held}
    answers["GPIO_LINE_GET"] = {"values": [False]}


@pytest.mark.usefixtures("edges")
def test_edges_are_lines_of_text_or_json(run: Run) -> None:
    assert run("gpio", "mon", "SENSOR")[1].splitlines() == [
        '12.000000345  rising   gpiochip0 3 "SENSOR"',
        '13.500000000  falling  gpiochip0 3 "SENSOR"',
    ]
    assert [json.loads(row) for row in run("gpio", "mon", "SENSOR", "--json")[1].splitlines()] == EDGES
    assert len(run("gpio", "mon", "SENSOR", "--num-events", "1")[1].splitlines()) == 1
    assert run("gpio", "mon", "SENSOR", "--quiet")[1] == ""


@pytest.mark.usefixtures("edges")
def test_edges_in_a_format(run: Run) -> None:
    template = "%o %l %c %e %E %S %n %s %U 100%% %x"
    assert run("gpio", "mon", "SENSOR", "-n", "1", "-F", template)[1] == (
        "3 SENSOR gpiochip0 1 rising 12.000000345 12000000345 1 1970-01-01T00:00:12.000000345Z 100% %x\n"
    )


@pytest.mark.usefixtures("edges")
def test_a_recording_holds_first_levels_and_changes(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "out.vcd"
    assert run("gpio", "mon", "SENSOR", "-q", "--vcd", str(path))[0] == 0
    assert path.read_text().splitlines() == [
        "$timescale 1 ns $end",
        "$scope module gpio $end",
        "$var wire 1 ! SENSOR $end",
        "$upscope $end",
        "$enddefinitions $end",
        "#0",
        "$dumpvars",
        "0!",
        "$end",
        "$comment time 0 is 11999999345 ns of the board's clock $end",
        "#1000",
        "1!",
        "#1500000655",
        "0!",
    ]


@given(
    st.lists(st.text(max_size=8), min_size=1, max_size=200),
    st.lists(st.tuples(st.integers(0, 2**63), st.integers(0, 199), st.booleans()), max_size=30),
)
def test_any_recording_is_well_formed(names: list[str], changes: list[tuple[int, int, bool]]) -> None:
    """IEEE 1364-2005, 18.2: identifier codes are printable and unique, time never goes back."""
    file = io.StringIO()
    writer = VcdWriter(file, {key: (name, False) for key, name in enumerate(names)})
    for timestamp, key, value in changes:
        writer.change(timestamp, key % len(names), value)
    rows = file.getvalue().splitlines()
    declared = [row.split() for row in rows if row.startswith("$var")]
    codes = [words[3] for words in declared]
    assert all(len(words) == 6 and words[4].isascii() for words in declared)
    assert len(set(codes)) == len(names)
    assert all(33 <= ord(character) <= 126 for code in codes for character in code)
    times = [int(row[1:]) for row in rows if row.startswith("#")]
    assert times == sorted(set(times))
    assert times[1:2] in ([], [LEAD_IN])
    body = rows[rows.index("$enddefinitions $end") + 1 :]
    values = [row for row in body if row[0] in "01"]
    assert len(values) == len(names) + len(changes)
    assert {row[1:] for row in values} == set(codes)


# -- wrong use ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("set",), ("set", "LED"), ("set", "LED=2"), ("set", "LED=1", "-t", "soon"), ("get",), ("mon",),
        ("mon", "LED", "-n", "0"), ("mon", "LED", "-e", "sideways"), ("pwm", "LED"), ("pwm", "LED", "-f", "0"),
        ("pwm", "LED", "-f", "5", "--period", "5"), ("pwm", "LED", "-f", "5", "--duty", "30"),
        ("pwm", "LED", "-f", "5", "--duty", "3%", "--pulse", "1ms"),
    ],
)  # fmt: skip
def test_wrong_words_are_refused(run: Run, words: tuple[str, ...]) -> None:
    code, out, err = run("gpio", *words)
    assert (code, out) == (2, "")
    assert err
