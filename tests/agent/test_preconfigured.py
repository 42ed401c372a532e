"""The label of a headless board: admits the first administrator, and nobody after that."""

import dataclasses
import math
import os

import pytest
from enrolling import NOT_ACCEPTED, TRANSCRIPT, Client, issue, refused

from myclerk_agent import preconfigured
from myclerk_agent.config_checks import Address
from myclerk_agent.state import StateError, write_private
from myclerk_agent.store import Store
from myclerk_protocol.mesh.profiles import Identity
from myclerk_protocol.status import Conflict, NotFound

WHERE = Address("board.local", 5657)


@pytest.fixture
def directory(tmp_path):
    directory = tmp_path / "state"
    directory.mkdir(mode=0o700)
    return directory


@pytest.fixture
def label(directory, keys, store, world):
    return preconfigured.preconfigure(directory, keys, store, world.environment, WHERE)


def test_the_label_admits_the_first_administrator(label, enrolment, keys, store, client):
    assert (label.host, label.fingerprint) == ("board.local", keys.identity.fingerprint)
    assert enrolment.register(client.enrol(label.pin), TRANSCRIPT).result == "Accept"
    device = store.device(client.fingerprint)
    assert (device.administrator, device.access) == (True, 3)


def test_it_holds_for_years_and_whatever_the_clock_of_the_board_says(label, enrolment, world, client, path):
    world.pass_time(20 * 365 * 86400)
    assert enrolment.register(client.enrol(label.pin), TRANSCRIPT).result == "Accept"


@pytest.mark.parametrize("wall", [0.0, 1.0, 4e9])
def test_it_holds_in_another_boot_too(label, keys, world, path, wall):
    world.wall_time, world.boottime = wall, 1.0
    other_boot = Store(path, world.environment, "another boot")
    (pin,) = [p for p in (other_boot.find_pin(pin_id(label, keys)),) if p is not None]
    assert pin.expires_at == math.inf
    other_boot.purge()
    assert other_boot.find_pin(pin_id(label, keys)) is not None
    other_boot.close()


def pin_id(label, keys):
    from myclerk_protocol.mesh import pin, udf

    return udf.compact(pin.pin_id(pin.salted_pin(label.pin), udf.grouped(keys.identity.fingerprint)))


def test_it_admits_nobody_else_and_the_same_device_again(label, enrolment, keys, store, client):
    enrolment.register(client.enrol(label.pin), TRANSCRIPT)
    thief = Client(keys, 2)
    assert refused(enrolment, thief.enrol(label.pin)) == NOT_ACCEPTED
    assert enrolment.register(client.enrol(label.pin), TRANSCRIPT).result == "Accept"
    enrolment.register(client.login(), TRANSCRIPT)
    assert refused(enrolment, client.enrol(label.pin)) == NOT_ACCEPTED


def test_it_admits_nobody_once_another_device_came_by_an_invitation(
    label, directory, enrolment, keys, store, world, client
):
    enrolment.register(client.enrol(issue(keys, store, world)), TRANSCRIPT)
    late = Client(keys, 2)
    assert refused(enrolment, late.enrol(label.pin)) == NOT_ACCEPTED
    store.revoke(client.fingerprint)
    preconfigured.arm(directory, keys, store)
    assert refused(enrolment, late.enrol(label.pin)) == NOT_ACCEPTED


def test_it_is_armed_again_by_a_reset_alone(label, directory, enrolment, keys, store, world, client, path):
    enrolment.register(client.enrol(label.pin), TRANSCRIPT)
    enrolment.register(client.login(), TRANSCRIPT)
    preconfigured.arm(directory, keys, store)
    assert store.find_pin(pin_id(label, keys)) is None
    fresh = Store(path.with_name("fresh.db"), world.environment, "this boot")
    preconfigured.arm(directory, keys, fresh)
    preconfigured.arm(directory, keys, fresh)
    assert fresh.find_pin(pin_id(label, keys)).administrator
    fresh.close()


def test_what_is_kept_has_no_pin_and_is_private(label, directory, keys):
    path = directory / preconfigured.NAME
    assert os.stat(path).st_mode & 0o777 == 0o600
    kept = path.read_bytes()
    assert label.pin.encode() not in kept
    record = preconfigured.read(directory, keys)
    assert record.link == dataclasses.replace(label, pin=None)
    assert label.pin not in repr(record)
    assert record.pin.salted not in repr(record)


def test_a_new_label_voids_the_one_before(label, directory, enrolment, keys, store, world, client):
    again = preconfigured.preconfigure(directory, keys, store, world.environment, WHERE)
    assert refused(enrolment, client.enrol(label.pin)) == NOT_ACCEPTED
    assert enrolment.register(client.enrol(again.pin), TRANSCRIPT).result == "Accept"
    with pytest.raises(Conflict, match="invite"):
        preconfigured.preconfigure(directory, keys, store, world.environment, WHERE)


def test_a_label_can_be_withdrawn(label, directory, enrolment, keys, store, client):
    preconfigured.withdraw(directory, keys, store)
    assert refused(enrolment, client.enrol(label.pin)) == NOT_ACCEPTED
    preconfigured.arm(directory, keys, store)
    assert refused(enrolment, client.enrol(label.pin)) == NOT_ACCEPTED
    with pytest.raises(NotFound):
        preconfigured.withdraw(directory, keys, store)


def test_a_board_without_a_label_has_none(directory, keys, store):
    assert preconfigured.read(directory, keys) is None
    preconfigured.arm(directory, keys, store)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"DevicePreconfiguration": {}}'])
def test_a_damaged_record_is_named(label, directory, keys, data):
    write_private(directory / preconfigured.NAME, data)
    with pytest.raises(StateError, match=preconfigured.NAME):
        preconfigured.read(directory, keys)


def test_the_record_of_another_board_is_refused(label, directory, keys, world):
    other = Identity.create(
        "host", "other", world.random, 0, False, administrators=(keys.administrator.authority,)
    )
    with pytest.raises(StateError, match="another board"):
        preconfigured.read(directory, dataclasses.replace(keys, identity=other))
