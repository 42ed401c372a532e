"""The agent's database: devices, invitations, requests, and the file that they are in."""

import os
import sqlite3
import stat

import pytest
from storing import PIN, applicant, invite

from myclerk_agent import store as store_module
from myclerk_agent.database import Database
from myclerk_agent.store import Store, StoreError
from myclerk_protocol.status import Conflict, Forbidden, NotFound, TooMany


def test_the_file_is_private(store, path):
    invite(store)
    for name in (path, f"{path}-wal"):
        assert stat.S_IMODE(os.stat(name).st_mode) == 0o600


def test_an_invitation_admits_with_what_it_grants(store, world):
    pin = invite(store, access=1, administrator=True)
    assert store.find_pin(PIN) == pin
    assert (pin.salted_pin, pin.issued_at, pin.bound_to) == (b"0123456789abcdef", world.wall_time, None)
    world.pass_time(5)
    device = store.spend_pin(PIN, applicant(pq_public=b"pq"))
    assert device == store.device("B" * 28)
    assert (device.access, device.administrator, device.description) == (1, True, "laptop")
    assert (device.profile, device.public_key, device.pq_public) == (b"profile B", b"B" * 57, b"pq")
    assert (device.enrolled_at, device.last_seen, device.revoked_at) == (world.wall_time, None, None)
    spent = store.find_pin(PIN)
    assert (spent.bound_to, spent.spent_at) == ("B" * 28, world.wall_time)


def test_the_device_names_itself_where_the_invitation_does_not(store):
    invite(store, description="")
    assert store.spend_pin(PIN, applicant()).description == "device B"


def test_secrets_are_in_no_repr(store):
    pin = invite(store)
    device = store.spend_pin(PIN, applicant(pq_public=b"secret?"))
    assert "0123456789abcdef" not in repr(pin)
    assert "secret?" not in repr(device)


def test_a_spent_pin_serves_repeats_from_the_same_key_only(store, world):
    invite(store)
    first = store.spend_pin(PIN, applicant("B"))
    world.pass_time(1)
    assert store.spend_pin(PIN, applicant("B")) == first
    with pytest.raises(Conflict):
        store.spend_pin(PIN, applicant("C"))
    assert store.device("C" * 28) is None
    assert store.find_pin(PIN).bound_to == "B" * 28


def test_the_first_login_ends_the_invitation(store):
    invite(store)
    store.spend_pin(PIN, applicant())
    store.touch("B" * 28)
    assert store.find_pin(PIN) is None
    with pytest.raises(NotFound):
        store.spend_pin(PIN, applicant())
    assert store.device("B" * 28) is not None


def test_an_invitation_expires_by_the_clock_that_counts_suspend(store, world):
    invite(store)
    world.wall_time += 10_000_000
    world.boottime += 899
    assert store.find_pin(PIN) is not None
    world.wall_time -= 20_000_000
    world.boottime += 1
    assert store.find_pin(PIN) is None
    with pytest.raises(NotFound):
        store.spend_pin(PIN, applicant())
    assert store.devices() == []


@pytest.mark.parametrize(("elapsed", "open"), [(0, True), (899, True), (900, False), (-1, False)])
def test_in_another_boot_an_invitation_expires_by_wall_time(path, world, elapsed, open):
    with_first = Store(path, world.environment, "this boot")
    invite(with_first)
    with_first.close()
    world.wall_time += elapsed
    world.boottime = 5.0
    store = Store(path, world.environment, "another boot")
    assert (store.find_pin(PIN) is not None) is open
    store.close()


def test_a_spent_pin_is_deleted_when_it_expires_and_the_device_stays(store, world, path):
    invite(store)
    store.spend_pin(PIN, applicant())
    world.pass_time(900)
    assert store.find_pin(PIN) is None
    store.purge()
    with sqlite3.connect(path) as beside:
        assert beside.execute("SELECT count(*) FROM pins").fetchone() == (0,)
    beside.close()
    assert len(store.devices()) == 1


def test_open_invitations_are_bounded(store, world):
    for number in range(store_module.PINS_LIMIT):
        invite(store, f"{number:028}")
    with pytest.raises(TooMany):
        invite(store)
    store.spend_pin(f"{0:028}", applicant())
    invite(store)
    with pytest.raises(TooMany):
        invite(store, "Z" * 28)
    world.pass_time(900)
    invite(store, "Z" * 28)


def test_revocation(store, world):
    invite(store)
    store.spend_pin(PIN, applicant())
    world.pass_time(60)
    revoked_at = world.wall_time
    assert store.revoke("B" * 28).revoked_at == revoked_at
    world.pass_time(60)
    assert store.revoke("B" * 28).revoked_at == revoked_at
    assert store.device("B" * 28).revoked_at == revoked_at
    with pytest.raises(NotFound):
        store.revoke("C" * 28)
    assert store.find_pin(PIN) is None


def test_a_revoked_device_uses_up_no_invitation(store):
    invite(store)
    store.spend_pin(PIN, applicant())
    store.revoke("B" * 28)
    invite(store, "Y" * 28)
    with pytest.raises(Forbidden):
        store.spend_pin("Y" * 28, applicant())
    assert store.find_pin("Y" * 28).bound_to is None
    assert store.device("B" * 28).revoked_at is not None


def test_enrolling_anew_replaces_keys_and_rights_and_keeps_the_history(store, world):
    invite(store)
    store.spend_pin(PIN, applicant())
    store.touch("B" * 28)
    enrolled_at = seen = world.wall_time
    world.pass_time(1000)
    invite(store, access=1, description="old laptop")
    device = store.spend_pin(PIN, applicant(pq_public=b"new"))
    assert (device.pq_public, device.access, device.description) == (b"new", 1, "old laptop")
    assert (device.enrolled_at, device.last_seen) == (enrolled_at, seen)


def test_logins_are_noted_to_the_minute(store, world):
    invite(store)
    store.spend_pin(PIN, applicant())
    store.touch("B" * 28)
    first = world.wall_time
    for passed, noted in ((30, first), (30, first + 60), (-10_000, first + 60 - 10_000)):
        world.pass_time(passed)
        store.touch("B" * 28)
        assert store.device("B" * 28).last_seen == noted


def test_devices_are_listed_in_order_of_enrolment(store, world):
    for letter in "ZYX":
        invite(store, letter * 28)
        store.spend_pin(letter * 28, applicant(letter))
        world.pass_time(1)
    assert [device.fingerprint[0] for device in store.devices()] == ["Z", "Y", "X"]


def test_requests_wait_for_a_decision(store, world):
    request = store.request(applicant())
    world.pass_time(10)
    assert store.request(applicant()) == request
    assert store.requests() == [request]
    device = store.accept("B" * 28, access=2, administrator=False)
    assert (device.access, device.description, device.enrolled_at) == (2, "device B", world.wall_time)
    assert store.requests() == []
    with pytest.raises(NotFound):
        store.accept("B" * 28, access=2, administrator=False)


def test_a_rejection_is_remembered_for_a_day_and_can_be_reversed(store, world):
    store.request(applicant())
    store.reject("B" * 28)
    assert store.requests() == []
    assert store.request(applicant()).rejected_at == world.wall_time
    assert store.accept("B" * 28, access=1, administrator=False, description="mine").description == "mine"
    store.request(applicant("C"))
    store.reject("C" * 28)
    world.pass_time(store_module.REQUEST_LIFETIME + 1)
    assert store.request(applicant("C")).rejected_at is None
    with pytest.raises(NotFound):
        store.reject("D" * 28)


def test_undecided_requests_are_bounded_and_grow_old(store, world):
    for letter in "ABCDEFGHIJKLMNOP":
        store.request(applicant(letter))
    with pytest.raises(TooMany):
        store.request(applicant("Q"))
    assert store.request(applicant("A")).fingerprint == "A" * 28
    store.reject("A" * 28)
    store.request(applicant("Q"))
    world.pass_time(store_module.REQUEST_LIFETIME + 1)
    assert store.requests() == []
    store.request(applicant("R"))
    assert [request.fingerprint[0] for request in store.requests()] == ["R"]


def test_everything_is_there_after_a_restart(store, world, path):
    invite(store)
    store.spend_pin(PIN, applicant())
    invite(store, "Y" * 28)
    store.request(applicant("C"))
    kept = (store.devices(), store.find_pin("Y" * 28), store.requests())
    store.close()
    again = Store(path, world.environment, "this boot")
    assert (again.devices(), again.find_pin("Y" * 28), again.requests()) == kept
    again.close()


def test_a_file_of_a_newer_version_is_refused(store, path, world):
    store.close()
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(StoreError, match="newer version"):
        Store(path, world.environment, "this boot")


def test_a_file_that_is_no_database_is_refused(path, world):
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="failed"):
        Store(path, world.environment, "this boot")


def test_migrations_run_once_each_and_in_order(tmp_path):
    first = "CREATE TABLE a (x INTEGER) STRICT; INSERT INTO a VALUES (1)"
    second = "UPDATE a SET x = x + 1; ALTER TABLE a ADD COLUMN y INTEGER"
    for migrations in ((first,), (first,), (first, second), (first, second)):
        Database(tmp_path / "file.db", migrations).close()
    database = Database(tmp_path / "file.db", (first, second))
    assert [tuple(row) for row in database.rows("SELECT * FROM a")] == [(2, None)]
    database.close()


def test_a_migration_that_fails_changes_nothing(tmp_path):
    Database(tmp_path / "file.db", ("CREATE TABLE a (x INTEGER)",)).close()
    with pytest.raises(StoreError):
        Database(tmp_path / "file.db", ("", "DROP TABLE a; CREATE TABLE oops oops"))
    database = Database(tmp_path / "file.db", ("CREATE TABLE a (x INTEGER)",))
    assert database.rows("SELECT * FROM a") == []
    database.close()
