"""The agent's settings and the file that documents them."""

import dataclasses
import itertools
import os
import tomllib
from importlib import resources

import pytest

from myclerk_agent.config import (
    SECTIONS,
    Address,
    Config,
    ConfigError,
    check_driver_settings,
    check_minimum_tiers,
    load,
    parse,
)
from myclerk_protocol.operations import REGISTRY

EXAMPLE = resources.files("myclerk_agent").joinpath("agent.toml.example").read_text()


def uncommented(text):
    """The example with the # of each setting removed; explanations begin with # and a space."""
    return "\n".join(
        line[1:] if line.startswith("#") and line[1:2] not in ("", " ") else line for line in text.split("\n")
    )


def test_the_example_as_shipped_changes_nothing():
    assert parse(EXAMPLE, "example") == Config.defaults()


def test_every_line_of_the_example_uncommented_gives_the_defaults():
    assert parse(uncommented(EXAMPLE), "example") == Config.defaults()


def test_the_example_holds_every_key():
    shown = tomllib.loads(uncommented(EXAMPLE))
    for name, section in SECTIONS.items():
        assert {field.name.replace("_", "-") for field in dataclasses.fields(section)} == set(shown[name])
    assert set(shown) == {*SECTIONS, "drivers"}
    assert set(shown["drivers"]) == {"disabled"}


def test_every_setting_of_the_example_is_explained():
    lines = EXAMPLE.split("\n")
    for before, line in itertools.pairwise(lines):
        if line.startswith("#") and "=" in line and not line.startswith("# "):
            assert before.startswith("#"), f"no explanation above {line}"


def test_values_reach_their_fields():
    config = parse(
        """
        [server]
        listen = ["127.0.0.1:1", "[::1]:65535", "board.lan:0", "[fe80::1%eth0]:5657"]
        unix-socket = ""
        unix-users = [4711, "root"]
        linger = 0.5
        message-limit = 32768
        [security]
        max-tier = 4
        minimum-tiers = { GPIO_LINE_SET = 5 }
        [drivers]
        disabled = ["can"]
        [drivers.serial]
        anything = { goes = 1 }
        """,
        "here",
    )
    assert config.server.listen == (
        Address("127.0.0.1", 1),
        Address("::1", 65535),
        Address("board.lan", 0),
        Address("fe80::1%eth0", 5657),
    )
    assert config.server.unix_socket is None
    assert config.server.unix_users == (4711, 0)
    assert config.server.linger == 0.5
    assert config.server.message_limit == 32768
    assert config.security.max_tier == 4
    assert config.security.minimum_tiers == {"GPIO_LINE_SET": 5}
    assert config.drivers.disabled == ("can",)
    assert config.drivers.settings == {"serial": {"anything": {"goes": 1}}}


def test_an_address_reads_as_it_is_written():
    for text in ("0.0.0.0:5657", "[::]:5657", "board.lan:1"):
        assert str(parse(f'server.listen = ["{text}"]', "here").server.listen[0]) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[server]\nlisen = ["x"]', "here:2: unknown key `lisen`, did you mean `listen`?"),
        ("[server]\nqqqq = 1", "here:2: unknown key `qqqq`"),
        ("\n[sever]", "here:2: unknown key `sever`, did you mean `server`?"),
        ("server = 1", "here:1: `server` must be a table: write [server]"),
        (
            "[server]\n\nconnections = 0",
            "here:3: `connections` must be a whole number from 1 to",
        ),
        (
            "[server]\nconnections = true",
            "here:2: `connections` must be a whole number",
        ),
        ("[server]\nlinger = 3601", "here:2: `linger` must be a number of seconds from 0 to 3600, not 3601"),
        ("[server]\nlinger = nan", "here:2: `linger` must be"),
        ("[server]\nmessage-limit = 32767", "here:2: `message-limit` must be"),
        ("[server]\nmessage-limit = 67108865", "here:2: `message-limit` must be"),
        ("[server]\nrequests-in-flight = 2049", "here:2: `requests-in-flight` must be"),
        ("[server]\nlisten = '0.0.0.0:1'", "here:2: `listen` must be a list"),
        ("[server]\nlisten = ['::1:5657']", "here:2: `listen` must be an address such as"),
        ("[server]\nlisten = ['a:65536']", "here:2: `listen` must be an address such as"),
        ("[server]\nlisten = [5657]", "here:2: `listen` must be an address such as"),
        ("[server]\nunix-socket = 'run/x'", "here:2: `unix-socket` must be a path that begins with /"),
        (
            "[server]\nunix-users = ['no such user']",
            "here:2: `unix-users` must be the name or number",
        ),
        ("[server]\nunix-users = [-1]", "here:2: `unix-users` must be the name or number"),
        ("[security]\nmax-tier = 3", "here:2: `max-tier` must be a whole number from 4 to 5, not 3"),
        ("[security]\nrequire-pq = 'no'", 'here:2: `require-pq` must be true or false, not "no"'),
        ("[security]\nticket-lifetime = 86401", "here:2: `ticket-lifetime` must be"),
        ("[security]\naes = 'always'", 'here:2: `aes` must be one of "auto", "never", not "always"'),
        ("[security.minimum-tiers]\nA = 4\nB = 6", "here:3: `B` must be a tier from 1 to 5, not 6"),
        ("[security]\nminimum-tiers = 5", "here:2: `minimum-tiers` must be a table"),
        ("[state]\ndirectory = ''", "here:2: `directory` must be a path that begins with /"),
        ("[log]\nlevel = 'loud'", "here:2: `level` must be one of"),
        ("[drivers]\ndisable = ['can']", "here:2: unknown key `disable`, did you mean `disabled`?"),
        ("[drivers]\ndisabled = [1]", "here:2: `disabled` must be a string"),
        ("[log\n", "here:1: "),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_line(text, message):
    with pytest.raises(ConfigError) as refused:
        parse(text, "here")
    assert str(refused.value).startswith(message)


def test_a_long_value_is_shown_shortened():
    with pytest.raises(ConfigError) as refused:
        parse(f"[log]\nlevel = '{'x' * 1000}'", "here")
    assert len(str(refused.value)) < 200


def test_load_names_the_file(tmp_path):
    path = tmp_path / "agent.toml"
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        load(path)
    path.write_bytes(b"[log]\nlevel = '\xff'\n")
    with pytest.raises(ConfigError, match=r"agent.toml: is not UTF-8 text"):
        load(path)
    path.write_text("[log]\nlevel = 'debug'\n")
    assert load(path).log.level == "debug"
    path.write_text("[log]\nlevel = 1\n")
    with pytest.raises(ConfigError, match=rf"^{os.fspath(path)}:2: `level`"):
        load(path)


@pytest.mark.parametrize(("tier", "fits"), [(2, False), (3, True), (5, True)])
def test_a_minimum_tier_can_only_be_raised(tier, fits):
    config = parse(f"[security.minimum-tiers]\nGPIO_LINE_SET = {tier}", "here")
    if fits:
        check_minimum_tiers(config.security.minimum_tiers, REGISTRY, config.source)
        return
    with pytest.raises(ConfigError, match=r"^here:2: `GPIO_LINE_SET` needs tier 3 at least"):
        check_minimum_tiers(config.security.minimum_tiers, REGISTRY, config.source)


def test_a_minimum_tier_of_an_unknown_operation_is_refused():
    config = parse("[security]\nminimum-tiers = { GPIO_SET = 5 }", "here")
    with pytest.raises(ConfigError, match=r"^here:2: `GPIO_SET` is no operation"):
        check_minimum_tiers(config.security.minimum_tiers, REGISTRY, config.source)


DECLARED = {
    "baud_rate": (9600, "Speed."),
    "timeout": (1.5, "Seconds."),
    "shared": (False, "Whether."),
    "ports": (("ttyS0",), "Names."),
    "extra": (None, "Anything."),
    "limits": ({}, "By name."),
}


def driver_settings(text):
    config = parse(f"[drivers.serial]\n{text}", "here")
    return check_driver_settings("serial", config.drivers.settings["serial"], DECLARED, config.source)


def test_driver_settings_are_the_defaults_where_not_given():
    assert driver_settings("") == {name: default for name, (default, _) in DECLARED.items()}
    given = driver_settings(
        'baud-rate = 1\ntimeout = 2\nshared = true\nports = ["a", "b"]\nextra = 1\nlimits.a = 1'
    )
    assert given == {
        "baud_rate": 1, "timeout": 2, "shared": True, "ports": ["a", "b"], "extra": 1, "limits": {"a": 1}
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nbaudrate = 1", "here:3: unknown key `baudrate`, did you mean `baud-rate`?"),
        ("baud-rate = true", "here:2: `baud-rate` must be a whole number, not true"),
        ("baud-rate = 1.5", "here:2: `baud-rate` must be a whole number, not 1.5"),
        ("timeout = 'long'", "here:2: `timeout` must be a number"),
        ("shared = 1", "here:2: `shared` must be true or false"),
        ("ports = 'a'", "here:2: `ports` must be a list"),
        ("ports = ['a', 1]", "here:2: `ports` must be a string, not 1"),
        ("limits = 1", "here:2: `limits` must be a table"),
    ],
)
def test_driver_settings_that_do_not_fit_are_refused_with_their_line(text, message):
    with pytest.raises(ConfigError) as refused:
        driver_settings(text)
    assert str(refused.value).startswith(message)
