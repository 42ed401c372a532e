"""The rules of access: which decides, compared with a naive reference; sharing, roles, what hubs can give."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myclerk_agent.access import (
    AccessRules,
    Rule,
    Sharing,
    Standing,
    Target,
    check_group,
    check_pattern,
    common,
    granted,
    matches,
)
from myclerk_agent.config import ConfigError, parse
from myclerk_drivers.base import Access
from myclerk_protocol.status import BadRequest

ANN, BOB, HUB, BOSS = "ANN", "BOB", "HUB", "BOSS"
NONE, READ, WRITE, READ_WRITE, EXCLUSIVE = Access
PORT = Target(("serial:ttyUSB0", "serial:by-id-A"))
LINE = Target(("gpio:c0/17", "gpio:c0/LED", "gpio:LED"), ("gpio:c0", "gpio:header"))
EVERYBODY = {ANN: Standing(), BOB: Standing(), HUB: Standing(hub=True), BOSS: Standing(administrator=True)}


def rules_of(*rules: Rule | tuple[str, str, Access], **more: object) -> AccessRules:
    made = [rule if isinstance(rule, Rule) else Rule(*rule) for rule in rules]
    return AccessRules(made, EVERYBODY, **more)  # type: ignore[arg-type]


def access(target: Target, *rules: Rule | tuple[str, str, Access], **more: object) -> Access:
    return rules_of(*rules, **more).decide(ANN, target).access


# -- a naive reference -------------------------------------------------------------------------------------


def naive_match(pattern: str, name: str) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "*":
        return naive_match(pattern[1:], name) or (bool(name) and naive_match(pattern, name[1:]))
    return bool(name) and pattern[0] == name[0] and naive_match(pattern[1:], name[1:])


def naive_access(rules: list[Rule], groups: dict[str, list[str]], device: str, target: Target) -> Access:
    """Profile section 6, sentence by sentence."""
    candidates = [
        rule
        for rule in rules
        if rule.subject == device or device in groups.get(rule.subject, [])
        if any(naive_match(rule.pattern, name) for name in [*target.names, *target.wholes])
    ]
    exact = [rule for rule in candidates if rule.pattern in target.names]
    candidates = exact or candidates
    longest = max((len(rule.pattern.replace("*", "")) for rule in candidates), default=0)
    candidates = [rule for rule in candidates if len(rule.pattern.replace("*", "")) == longest]
    candidates = [rule for rule in candidates if rule.subject == device] or candidates
    return min((rule.access for rule in candidates), default=NONE)


letters = st.text("ab", min_size=1, max_size=3)
names = letters.map(lambda text: f"k:{text}")
patterns = st.one_of(names, st.lists(st.sampled_from(["*", "k:", "a", "b", "/"]), max_size=6).map("".join))
modes = st.sampled_from(list(Access))
subjects = st.sampled_from([ANN, BOB, "@x", "@y"])
targets = st.builds(
    Target,
    st.lists(st.one_of(names, st.builds("{}/{}".format, names, letters)), min_size=1, max_size=3).map(tuple),
    st.lists(names, max_size=2).map(tuple),
)


@given(
    st.lists(
        st.builds(Rule, subjects, patterns, modes), max_size=8, unique_by=lambda r: (r.subject, r.pattern)
    ),
    st.dictionaries(st.sampled_from(["@x", "@y"]), st.lists(st.sampled_from([ANN, BOB]), unique=True)),
    targets,
)
def test_the_rule_that_decides_is_the_reference_s(
    rules: list[Rule], groups: dict[str, list[str]], target: Target
) -> None:
    decision = rules_of(*rules, members=groups).decide(ANN, target)
    assert decision.access is naive_access(rules, groups, ANN, target)
    assert decision.rule is None or decision.rule.access is decision.access
    assert (decision.rule is None) <= (decision.access is NONE)


@given(patterns, names)
def test_stars_match_any_run(pattern: str, name: str) -> None:
    assert matches(pattern, name) is naive_match(pattern, name)


@given(
    st.lists(st.builds(Rule, subjects, patterns, modes), max_size=6),
    st.dictionaries(st.sampled_from(["@x", "@y"]), st.just([ANN])),
    targets,
    st.sampled_from(["k", "other"]),
)
def test_the_access_to_all_of_a_kind_is_that_to_each(
    rules: list[Rule], groups: dict[str, list[str]], target: Target, kind: str
) -> None:
    known = rules_of(*rules, members=groups)
    of_kind = known.of_kind(ANN, kind)
    renamed = Target(
        *(tuple(n.replace("k:", f"{kind}:") for n in part) for part in (target.names, target.wholes))
    )
    found = known.decide(ANN, renamed).access
    assert of_kind is None or of_kind is found
    for need in (READ, WRITE, READ_WRITE):
        assert known.might(ANN, need, kind) or not found.allows(need), (
            "what is allowed somewhere is worth a look"
        )


@given(modes, modes)
def test_common_access_allows_what_both_allow(one: Access, other: Access) -> None:
    for need in (READ, WRITE, READ_WRITE):
        assert common(one, other).allows(need) is (one.allows(need) and other.allows(need))
        assert bool(granted(one) & 1 << need) is one.allows(need)


# -- precedence, by example --------------------------------------------------------------------------------


def test_without_a_rule_there_is_no_access() -> None:
    decision = rules_of().decide(ANN, PORT)
    assert decision.access is NONE
    assert decision.explain() == "no rule matches"


def test_an_exact_name_counts_before_a_longer_pattern() -> None:
    short = Target(("gpio:a", "gpio:a-long-alias"))
    assert access(short, (ANN, "gpio:a", READ), (ANN, "gpio:a-long-*", READ_WRITE)) is READ


def test_any_name_of_a_resource_may_match() -> None:
    assert access(PORT, (ANN, "serial:by-id-A", READ_WRITE), (ANN, "serial:*", NONE)) is READ_WRITE


def test_a_device_counts_before_its_group_and_then_the_lower_mode() -> None:
    groups = {"@lab": [ANN], "@all": [ANN, BOB]}
    both = (("@lab", "serial:*", READ_WRITE), ("@all", "serial:*", READ))
    assert access(PORT, *both, members=groups) is READ
    assert access(PORT, *both, (ANN, "serial:*", WRITE), members=groups) is WRITE
    assert access(PORT, ("@other", "serial:*", READ_WRITE), members=groups) is NONE


def test_a_line_inherits_the_rule_of_its_chip_and_may_have_its_own() -> None:
    chip = (ANN, "gpio:c0", READ_WRITE)
    assert access(LINE, chip) is READ_WRITE
    assert access(LINE, (ANN, "gpio:header", READ)) is READ, "by any name of the chip"
    assert access(LINE, chip, (ANN, "gpio:c0/*", READ)) is READ, "a pattern that says more"
    assert access(LINE, chip, (ANN, "gpio:LED", NONE)) is NONE, "or its own name"
    assert access(LINE, (ANN, "gpio:c1", READ_WRITE)) is NONE


def test_who_is_not_admitted_has_nothing() -> None:
    decision = rules_of(("EVE", "*", EXCLUSIVE)).decide("EVE", PORT)
    assert decision.access is NONE
    assert "revoked" in decision.explain()


# -- roles and sharing -------------------------------------------------------------------------------------


def test_administrators_may_use_everything_shared_or_not() -> None:
    known = rules_of((BOSS, "serial:*", NONE), sharing=Sharing(()))
    assert known.decide(BOSS, PORT).access is READ_WRITE
    assert rules_of((BOSS, "*", EXCLUSIVE)).decide(BOSS, PORT).access is EXCLUSIVE
    assert known.might(BOSS, WRITE, "serial")


@pytest.mark.parametrize(
    ("sharing", "shared"),
    [
        (Sharing(), True),
        (Sharing(()), False),
        (Sharing(("serial:*",)), False),
        (Sharing(("gpio:head*",)), True),
        (Sharing(("*",), {"gpio:c0": False}), False),
        (Sharing(("*",), {"gpio:c0": False, "gpio:LED": True}), True),
        (Sharing((), {"gpio:LED": True, "gpio:c0/LED": False}), False),
    ],
)
def test_parts_are_shared_with_their_whole_unless_something_is_said_of_them(
    sharing: Sharing, shared: bool
) -> None:
    assert sharing.shares(LINE) is shared


def test_what_is_not_shared_is_for_whom_a_rule_names_it() -> None:
    hidden = Sharing(("serial:*",))
    assert access(LINE, (ANN, "*", READ_WRITE), sharing=hidden) is NONE
    assert access(LINE, (ANN, "gpio:*", READ_WRITE), sharing=hidden) is NONE
    assert access(LINE, (ANN, "gpio:c0/17", READ), (ANN, "*", READ_WRITE), sharing=hidden) is READ
    assert access(LINE, (ANN, "gpio:c0", READ_WRITE), sharing=hidden) is READ_WRITE
    assert access(LINE, ("@lab", "gpio:c0", WRITE), members={"@lab": [ANN]}, sharing=hidden) is WRITE
    refused = rules_of((ANN, "gpio:c*", READ_WRITE), (ANN, "gpio:header", NONE), sharing=hidden)
    assert refused.decide(ANN, LINE).access is NONE, "a rule that gives nothing opens nothing"
    assert not refused.decide(ANN, LINE).visible


def test_a_kind_that_is_partly_hidden_is_not_all_the_same() -> None:
    rule = (ANN, "*", READ_WRITE)
    assert rules_of(rule, sharing=Sharing(("*",), {"gpio:c0": False})).of_kind(ANN, "gpio") is None
    assert rules_of(rule, sharing=Sharing(("*",), {"gpio:c0": False})).of_kind(ANN, "serial") is READ_WRITE
    assert rules_of(rule, sharing=Sharing(("serial:*",))).of_kind(ANN, "gpio") is None
    assert rules_of(rule, (ANN, "gpio:c0", READ)).of_kind(ANN, "gpio") is None


# -- what hubs give ----------------------------------------------------------------------------------------


def by_hub(subject: str, pattern: str, mode: Access, hub: str = HUB) -> Rule:
    return Rule(subject, pattern, mode, granted_by=hub)


@pytest.mark.parametrize(
    ("own", "given", "effective"),
    [
        (READ_WRITE, READ_WRITE, READ_WRITE),
        (READ, READ_WRITE, READ),
        (READ_WRITE, EXCLUSIVE, READ_WRITE),
        (READ, WRITE, NONE),
        (NONE, READ, NONE),
    ],
)
def test_a_hub_gives_no_more_than_it_has(own: Access, given: Access, effective: Access) -> None:
    assert access(PORT, (HUB, "serial:*", own), by_hub(ANN, "serial:ttyUSB0", given)) is effective


def test_what_a_hub_lost_is_as_if_it_had_never_given_it() -> None:
    rules = rules_of((ANN, "*", READ), by_hub(ANN, "serial:ttyUSB0", READ_WRITE))
    assert rules.decide(ANN, PORT).access is READ
    gone = AccessRules([*rules, Rule(HUB, "*", READ_WRITE)], {ANN: Standing()})
    assert gone.decide(ANN, PORT).access is READ, "nor does a revoked hub give anything"


def test_a_hub_can_withhold() -> None:
    assert access(PORT, (ANN, "*", READ_WRITE), by_hub(ANN, "serial:ttyUSB0", NONE)) is NONE


def test_two_who_give_each_other_have_what_they_had() -> None:
    rules = rules_of(by_hub(ANN, "*", READ_WRITE, BOB), by_hub(BOB, "*", READ_WRITE, ANN))
    assert rules.decide(ANN, PORT).access is rules.decide(BOB, PORT).access is NONE


def test_a_hub_gives_what_is_not_shared_only_if_it_was_given_it() -> None:
    hidden = Sharing(())
    given = by_hub(ANN, "serial:ttyUSB0", READ_WRITE)
    assert access(PORT, (HUB, "*", READ_WRITE), given, sharing=hidden) is NONE
    assert access(PORT, (HUB, "serial:by-id-A", READ_WRITE), given, sharing=hidden) is READ_WRITE


@given(
    st.lists(st.builds(Rule, subjects, patterns, modes, st.sampled_from([None, ANN, BOB, HUB])), max_size=8),
    targets,
)
def test_nobody_gains_by_what_hubs_give_each_other(rules: list[Rule], target: Target) -> None:
    groups = {"@x": [ANN], "@y": [ANN, BOB]}
    known = rules_of(*rules, members=groups)
    decision = known.decide(ANN, target)
    if decision.rule is not None and decision.rule.granted_by is not None and decision.access is not NONE:
        giver = known.decide(decision.rule.granted_by, target).access
        assert common(decision.access, giver) is decision.access


# -- what may be written -----------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["*", "serial:ttyUSB0", "usb:0403:6001:A%20B", "gpio:c0/1*", "*USB*"])
def test_patterns(pattern: str) -> None:
    assert check_pattern(pattern) == pattern


@pytest.mark.parametrize(
    "pattern", ["", "ttyUSB0", "serial:tty USB0", "serial:tty?", "x:" + "a" * 254, "seri\u00e4l:*"]
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(BadRequest):
        check_pattern(pattern)


@pytest.mark.parametrize("name", ["lab", "@", "@-x", "@a b", "@" + "a" * 64])
def test_what_is_no_group_is_refused(name: str) -> None:
    assert check_group("@bench-1.a") == "@bench-1.a"
    with pytest.raises(BadRequest):
        check_group(name)


# -- settings ----------------------------------------------------------------------------------------------


def test_the_settings_say_what_is_shared() -> None:
    assert parse("", "agent.toml").access.shared == ("*",)
    assert parse('[access]\nshared = ["serial:*", "can:can0"]', "agent.toml").access.shared == (
        "serial:*",
        "can:can0",
    )
    assert parse("[access]\nshared = []", "agent.toml").access.shared == ()
    for wrong in ('["ttyUSB0"]', '"*"', "[1]"):
        with pytest.raises(ConfigError, match=r"agent\.toml:2"):
            parse(f"[access]\nshared = {wrong}", "agent.toml")
