"""The export of the administrator's key: opens with its code alone, and brings devices and rules along."""

import json

import pytest
from storing import applicant, invite

from myclerk_agent import escrow
from myclerk_agent.store import Store, StoreError
from myclerk_protocol.mesh import udf
from myclerk_protocol.status import BadRequest, Conflict, LocalError, Unauthorized

OLD = "M" + "A" * 27


@pytest.fixture
def sealed(keys, store, world):
    store.admit(applicant(), access=3, administrator=True)
    store.admit(applicant("C"), access=1, administrator=False)
    store.revoke("C" * 28)
    invite(store)
    return escrow.seal(keys, (OLD,), store, world.environment)


@pytest.fixture
def new_store(tmp_path, world):
    store = Store(tmp_path / "new.db", world.environment, "this boot")
    yield store
    store.close()


def test_what_was_sealed_comes_out(sealed, keys):
    data, code = sealed
    opened = escrow.unseal(data, code)
    assert opened.administrator.to_bytes() == keys.administrator.to_bytes()
    assert opened.agents == (keys.identity.fingerprint, OLD)
    assert escrow.unseal(data, code.replace("-", "").lower()).agents == opened.agents


def test_the_header_names_the_administrator_without_the_code(sealed, keys):
    data, _ = sealed
    assert escrow.authority_of(data) == keys.administrator.authority
    header = json.loads(data)["MyClerkEscrow"]
    assert header["Agent"] == udf.grouped(keys.identity.fingerprint)


def test_the_file_and_reprs_show_no_secret(sealed, keys):
    data, code = sealed
    seed = keys.administrator.to_bytes()
    for shown in (data.decode(), repr(escrow.unseal(data, code))):
        assert code not in shown
        assert seed.hex() not in shown
        assert repr(seed)[2:20] not in shown


def test_another_code_is_refused(sealed, world):
    data, _ = sealed
    other = udf.present(udf.Kind.ENCRYPTION_KEY, world.random(16))
    with pytest.raises(Unauthorized, match="does not open"):
        escrow.unseal(data, other)


@pytest.mark.parametrize("code", ["", "MBVP-KODE-4E6Y-TGL4-LZ6Z-JGUQ-6YY2", "EAAA", "E" + "1" * 27])
def test_what_is_no_code(sealed, code):
    with pytest.raises(BadRequest):
        escrow.unseal(sealed[0], code)


def test_each_seal_has_its_own_code(sealed, keys, store, world):
    again = escrow.seal(keys, (), store, world.environment)
    assert again[1] != sealed[1]
    with pytest.raises(Unauthorized):
        escrow.unseal(again[0], sealed[1])


@pytest.mark.parametrize("member", ["Created", "Agent", "Salt", "Ciphertext"])
def test_no_member_may_be_changed(sealed, member):
    data, code = sealed
    body = json.loads(data)["MyClerkEscrow"]
    first = "B" if body[member][0] != "B" else "C"
    body[member] = first + body[member][1:]
    with pytest.raises(Unauthorized):
        escrow.unseal(json.dumps({"MyClerkEscrow": body}).encode(), code)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'{"MyClerkEscrow": 1}', b'{"MyClerkEscrow": {}}', b"\xff"]
)
def test_what_is_no_export(sealed, data):
    with pytest.raises((BadRequest, LocalError)):
        escrow.unseal(data, sealed[1])
    with pytest.raises((BadRequest, LocalError)):
        escrow.authority_of(data)


def test_a_new_board_takes_devices_over_but_no_invitation(sealed, new_store, world):
    opened = escrow.unseal(*sealed)
    invite(new_store, "D" * 28)
    assert escrow.restore(opened.database, new_store, world.environment) == 2
    ann, revoked = new_store.device("B" * 28), new_store.device("C" * 28)
    assert (ann.access, ann.administrator) == (3, True)
    assert revoked.revoked_at is not None
    assert new_store.find_pin("A" * 28) is None
    assert new_store.find_pin("D" * 28) is None


def test_a_running_agent_notices_what_was_taken_over(sealed, new_store, tmp_path, world):
    beside = Store(tmp_path / "new.db", world.environment, "this boot")
    assert not beside.changed_elsewhere()
    escrow.restore(escrow.unseal(*sealed).database, new_store, world.environment)
    assert beside.changed_elsewhere()
    assert len(beside.devices()) == 2
    beside.close()


def test_a_board_that_has_admitted_somebody_keeps_its_own(sealed, new_store, world):
    new_store.admit(applicant("E"), access=1, administrator=False)
    with pytest.raises(Conflict):
        escrow.restore(escrow.unseal(*sealed).database, new_store, world.environment)
    assert [device.fingerprint for device in new_store.devices()] == ["E" * 28]


@pytest.mark.parametrize("data", [b"", b"no database", b"SQLite format 3\x00" + bytes(4000)])
def test_a_damaged_database_changes_nothing(new_store, world, data):
    invite(new_store, "D" * 28)
    if data:
        with pytest.raises(StoreError):
            escrow.restore(data, new_store, world.environment)
        assert new_store.find_pin("D" * 28) is not None
    else:  # an empty file is an empty database
        assert escrow.restore(data, new_store, world.environment) == 0
