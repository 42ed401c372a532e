"""Rules, groups, sharing and device requests in the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_environment import World
from storing import PIN, applicant, invite

from myclerk_agent import access_store, device_requests
from myclerk_agent.access import Rule, Target
from myclerk_agent.database import Database
from myclerk_agent.records import MIGRATIONS, DeviceRequest, RequestState
from myclerk_agent.store import Store
from myclerk_drivers.base import Access
from myclerk_protocol.mesh import udf
from myclerk_protocol.status import BadRequest, Conflict, Forbidden, NotFound, TooMany

ANN, BOB, HUB, BOSS = (letter * 28 for letter in "ABHM")
PORT = Target(("serial:ttyUSB0",))
NONE, READ, WRITE, READ_WRITE, EXCLUSIVE = Access


@pytest.fixture
def people(store: Store) -> Store:
    """Four devices: two without access, a hub with read and write access to serial ports, an administrator."""
    for device in "ABHM":
        store.admit(applicant(device), access=0, administrator=device == "M")
    store.access.set(HUB, hub=True, rules=[("serial:*", READ_WRITE)])
    return store


def access(store: Store, device: str, target: Target = PORT) -> Access:
    return store.access.load().decide(device, target).access


# -- migration ---------------------------------------------------------------------------------------------


def test_a_database_of_the_first_version_is_brought_up_to_date(path: Path, world: World) -> None:
    Database(path, MIGRATIONS[:1]).close()
    with sqlite3.connect(path) as old:
        old.execute("INSERT INTO devices VALUES (?, x'', x'', NULL, 'laptop', 3, 1, 1.0, NULL, NULL)", (ANN,))
        old.execute("INSERT INTO devices VALUES (?, x'', x'', NULL, 'old', 3, 0, 1.0, NULL, 2.0)", (BOB,))
    old.close()
    store = Store(path, world.environment, "this boot")
    device = store.device(ANN)
    assert device is not None
    assert (device.access, device.administrator, device.hub, device.description) == (3, True, False, "laptop")
    rules = store.access.load()
    assert list(rules) == [Rule(ANN, "*", READ_WRITE)]
    assert set(rules.devices) == {ANN}, "a revoked device has no rules"
    store.close()


# -- rules -------------------------------------------------------------------------------------------------


def test_the_access_of_an_invitation_is_the_rule_for_everything(store: Store) -> None:
    invite(store, access=1)
    store.spend_pin(PIN, applicant("A"))
    assert list(store.access.load()) == [Rule(ANN, "*", READ)]
    store.access.grant(ANN, "*", EXCLUSIVE)
    device = store.device(ANN)
    assert device is not None
    assert device.access == 4
    store.access.revoke(ANN, "*")
    assert list(store.access.load()) == []
    with pytest.raises(NotFound):
        store.access.revoke(ANN, "*")


def test_no_access_by_invitation_leaves_it_to_groups_but_a_rule_of_none_does_not(people: Store) -> None:
    people.access.add_members("@lab", [ANN])
    people.access.grant("@lab", "*", READ)
    assert access(people, ANN) is READ
    people.access.grant(ANN, "*", NONE)
    assert access(people, ANN) is NONE
    people.grant(ANN, access=0, administrator=False)
    assert access(people, ANN) is NONE
    people.grant(ANN, access=2, administrator=False)
    assert access(people, ANN) is WRITE
    people.access.grant(ANN, "*", NONE)
    people.admit(applicant("A"), access=0, administrator=False)
    assert access(people, ANN) is READ, "enrolled anew, its rule for everything is the new one"


def test_rules_are_replaced_and_deleted(people: Store) -> None:
    people.access.grant(ANN, "serial:*", READ)
    people.access.grant(ANN, "serial:*", READ_WRITE)
    people.access.grant(ANN, "*", READ)
    assert access(people, ANN) is READ_WRITE
    people.access.set(ANN, rules=[("can:*", READ), ("*", WRITE)])
    mine = people.access.load().of_subject(ANN)
    assert {rule.pattern: rule.access for rule in mine} == {"can:*": READ, "*": WRITE}
    people.access.set(ANN, rules=[])
    assert people.access.load().of_subject(ANN) == []
    with pytest.raises(NotFound):
        people.access.revoke(ANN, "can:*")


@pytest.mark.parametrize(
    ("subject", "pattern"), [("lab", "*"), ("@", "*"), (ANN, "no kind"), ("C" * 28, "*")]
)
def test_what_is_no_rule_is_refused(people: Store, subject: str, pattern: str) -> None:
    before = list(people.access.load())
    with pytest.raises((BadRequest, NotFound)):
        people.access.grant(subject, pattern, READ)
    with pytest.raises((BadRequest, NotFound)):
        people.access.set(subject, rules=[("can:*", READ), (pattern, READ)])
    assert list(people.access.load()) == before


def test_all_of_a_change_is_made_or_nothing(people: Store) -> None:
    with pytest.raises(NotFound):
        people.access.set("@lab", rules=[("*", READ)], members=[ANN, "C" * 28])
    assert people.access.groups() == {}
    assert not people.access.load().of_subject("@lab")
    for wrong in ({"members": [BOB]}, {"rules": [("*", READ), ("?", READ)], "hub": True}):
        with pytest.raises(BadRequest):
            people.access.set(ANN, **wrong)  # type: ignore[arg-type]
    with pytest.raises(BadRequest):
        people.access.set("@lab", hub=True)
    device = people.device(ANN)
    assert device is not None
    assert not device.hub


def test_the_number_of_rules_is_bounded(people: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_store, "RULES_LIMIT", 2)
    people.access.grant(ANN, "a:b", READ)
    with pytest.raises(TooMany):
        people.access.grant(ANN, "a:c", READ)
    people.access.grant(ANN, "a:b", NONE)
    assert access(people, ANN, Target(("a:b",))) is NONE


# -- hubs --------------------------------------------------------------------------------------------------


def test_a_hub_changes_what_it_made_and_nothing_else(people: Store) -> None:
    rules = people.access
    rules.grant(ANN, "can:*", READ)
    rules.grant(ANN, "serial:*", READ_WRITE, by=HUB)
    rules.grant(ANN, "serial:*", READ, by=HUB)
    for forbidden in (
        lambda: rules.grant(ANN, "can:*", NONE, by=HUB),
        lambda: rules.revoke(ANN, "can:*", by=HUB),
        lambda: rules.grant(BOSS, "serial:*", NONE, by=HUB),
        lambda: rules.grant(HUB, "can:*", READ, by=HUB),
        lambda: rules.set("@lab", members=[HUB], by=HUB),
        lambda: rules.set(ANN, hub=True, by=HUB),
    ):
        with pytest.raises(Forbidden):
            forbidden()
    rules.set(ANN, rules=[("serial:ttyUSB0", READ)], by=HUB)
    shown = {(rule.pattern, rule.granted_by) for rule in rules.load().of_subject(ANN)}
    assert shown == {("can:*", None), ("serial:ttyUSB0", HUB)}
    rules.grant(ANN, "serial:ttyUSB0", READ_WRITE)
    with pytest.raises(Forbidden):
        rules.revoke(ANN, "serial:ttyUSB0", by=HUB)


def test_a_hub_s_rule_for_everything_is_not_the_invitation_s(people: Store) -> None:
    people.access.grant(ANN, "*", READ, by=HUB)
    device = people.device(ANN)
    assert device is not None
    assert device.access == 0
    assert access(people, ANN) is READ
    assert access(people, ANN, Target(("can:can0",))) is NONE


def test_revocation_takes_rules_and_what_was_given_along(people: Store) -> None:
    people.access.grant(ANN, "serial:*", READ, by=HUB)
    people.access.add_members("@lab", [HUB, ANN])
    people.revoke(HUB)
    rules = people.access.load()
    assert list(rules) == []
    assert people.access.groups() == {"@lab": [ANN]}
    assert HUB not in rules.devices


# -- groups and sharing ------------------------------------------------------------------------------------


def test_groups_begin_and_end_with_their_members(people: Store) -> None:
    people.access.add_members("@lab", [BOB, ANN, ANN])
    assert people.access.groups() == {"@lab": [ANN, BOB]}
    people.access.remove_member("@lab", ANN)
    with pytest.raises(NotFound):
        people.access.remove_member("@lab", ANN)
    people.access.set("@lab", members=[])
    assert people.access.groups() == {}


def test_what_is_said_of_sharing_is_said_of_one_name(people: Store) -> None:
    people.access.share(("usb:0403:6001:A", "usb:1-1"), False)
    assert people.access.sharing() == {"usb:0403:6001:A": False}
    people.access.share(("usb:1-1", "usb:0403:6001:A"), True)
    assert people.access.sharing() == {"usb:1-1": True}
    people.access.share(("usb:0403:6001:A", "usb:1-1"), None)
    assert people.access.sharing() == {}
    assert not people.access.load(["can:*"]).sharing.shares(PORT)
    with pytest.raises(BadRequest):
        people.access.share(("no kind",), True)


# -- device requests ---------------------------------------------------------------------------------------


def ask(store: Store, **changed: float) -> DeviceRequest:
    wanted = {"serial:ttyUSB0": 3, "can:can0": 1}
    return store.device_requests.create(HUB, ANN, wanted, reason="why not", **changed)


def test_a_request_is_remembered_under_a_token(people: Store, world: World) -> None:
    request = ask(people)
    assert people.device_requests.find(request.token) == request
    assert people.device_requests.all() == [request]
    assert udf.parse(request.token)[0] == udf.Kind.NONCE
    assert len(udf.parse(request.token)[1]) == 16
    assert (request.state, request.reason, request.expires_at) == (0, "why not", world.wall_time + 86400)
    assert [(d.name, d.access, d.approved) for d in request.devices] == [
        ("can:can0", 1, None),
        ("serial:ttyUSB0", 3, None),
    ]
    assert people.device_requests.create(HUB, HUB, {"a:b": 1}).token != request.token
    assert access(people, ANN) is NONE, "asking gives nothing"


@pytest.mark.parametrize(
    ("approved", "state"),
    [
        (["serial:ttyUSB0", "can:can0"], RequestState.APPROVED),
        (["serial:ttyUSB0"], RequestState.PARTIALLY_APPROVED),
        ([], RequestState.REJECTED),
    ],
)
def test_a_decision_gives_what_it_approves(
    people: Store, world: World, approved: list[str], state: RequestState
) -> None:
    token = ask(people).token
    world.pass_time(10)
    decided = people.device_requests.respond(token, approved, "as you wish")
    assert (decided.state, decided.answer, decided.decided_at) == (state, "as you wish", world.wall_time)
    assert {d.name: d.approved for d in decided.devices} == {
        name: name in approved for name in ("serial:ttyUSB0", "can:can0")
    }
    assert access(people, ANN) is (READ_WRITE if "serial:ttyUSB0" in approved else NONE)
    assert access(people, ANN, Target(("can:can0",))) is (READ if "can:can0" in approved else NONE)
    for late in (
        lambda: people.device_requests.respond(token, []),
        lambda: people.device_requests.cancel(token),
    ):
        with pytest.raises(Conflict):
            late()


def test_what_was_not_asked_for_cannot_be_approved(people: Store) -> None:
    token = ask(people).token
    with pytest.raises(BadRequest):
        people.device_requests.respond(token, ["serial:ttyUSB0", "i2c:1"])
    assert people.device_requests.find(token).state is RequestState.PENDING
    assert access(people, ANN) is NONE


def test_a_cancelled_request_gives_nothing(people: Store) -> None:
    token = ask(people).token
    assert people.device_requests.cancel(token).state is RequestState.CANCELLED
    with pytest.raises(Conflict, match="cancelled"):
        people.device_requests.respond(token, ["can:can0"])
    with pytest.raises(NotFound):
        people.device_requests.cancel("N" * 28)


def test_a_request_expires_by_the_clock_that_counts_suspend(people: Store, world: World) -> None:
    request = ask(people, lifetime=600.0)
    world.wall_time += 10_000_000
    world.boottime += 599
    assert people.device_requests.find(request.token).state is RequestState.PENDING
    assert people.device_requests.time_left(request) == 1
    world.boottime += 1
    assert people.device_requests.find(request.token).state is RequestState.EXPIRED
    with pytest.raises(Conflict, match="expired"):
        people.device_requests.respond(request.token, ["can:can0"])
    assert access(people, ANN) is NONE


@pytest.mark.parametrize(("elapsed", "pending"), [(0, True), (599, True), (600, False), (-1, False)])
def test_in_another_boot_a_request_expires_by_wall_time(
    people: Store, path: Path, world: World, elapsed: float, pending: bool
) -> None:
    token = ask(people, lifetime=600.0).token
    world.wall_time += elapsed
    world.boottime = 5.0
    store = Store(path, world.environment, "another boot")
    assert (store.device_requests.find(token).state is RequestState.PENDING) is pending
    store.close()


def test_outcomes_are_remembered_for_a_week(people: Store, world: World) -> None:
    decided, expiring = ask(people).token, ask(people, lifetime=8 * 86400.0).token
    people.device_requests.respond(decided, [])
    world.pass_time(7 * 86400)
    people.purge()
    assert {request.token for request in people.device_requests.all()} == {decided, expiring}
    world.pass_time(1)
    people.purge()
    assert [request.token for request in people.device_requests.all()] == [expiring]
    world.pass_time(8 * 86400)
    people.purge()
    assert people.device_requests.all() == []


def test_a_revoked_device_has_nothing_pending(people: Store) -> None:
    token, other = ask(people).token, people.device_requests.create(BOSS, BOB, {"a:b": 1}).token
    people.revoke(ANN)
    assert people.device_requests.find(token).state is RequestState.CANCELLED
    assert people.device_requests.find(other).state is RequestState.PENDING


def test_requests_are_bounded_and_checked(people: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_requests, "PENDING_LIMIT", 1)
    for wrong in ({"serial:*": 1}, {"no kind": 1}):
        with pytest.raises(BadRequest):
            people.device_requests.create(HUB, ANN, wrong)
    for seconds in (59.0, 31 * 86400.0):
        with pytest.raises(BadRequest):
            ask(people, lifetime=seconds)
    with pytest.raises(NotFound):
        people.device_requests.create(HUB, "C" * 28, {"a:b": 1})
    token = ask(people).token
    with pytest.raises(TooMany):
        ask(people)
    people.device_requests.cancel(token)
    ask(people)


@pytest.fixture
def store(path: Path, world: World) -> Iterator[Store]:
    store = Store(path, world.environment, "this boot")
    yield store
    store.close()
