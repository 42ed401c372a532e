"""The agent's keys over time: completed, joined by other administrators, taken over from another agent."""

import json
import os

import pytest

from myclerk_agent import keys as agent_keys
from myclerk_agent.keys import (
    ADMINISTRATOR_KEY,
    ADMINISTRATORS,
    AGENT_KEY,
    REPLACES,
    NamedAuthority,
    add_administrator,
    load_keys,
    remove_administrator,
    replaced,
    take_over,
)
from myclerk_agent.state import StateError, prepare_directory, write_private
from myclerk_protocol import signatures
from myclerk_protocol.mesh.authorities import MAXIMUM_FURTHER, AdministratorKey
from myclerk_protocol.mesh.connections import parse_host_connection
from myclerk_protocol.status import BadRequest, Conflict, NotFound

needs_ml_dsa = pytest.mark.skipif(not signatures.available(), reason="needs ML-DSA-65")
OLD_AGENT = "M" + "A" * 27


@pytest.fixture
def directory(tmp_path):
    prepare_directory(tmp_path / "state")
    return tmp_path / "state"


def authority(world):
    return AdministratorKey(world.random(57)).authority


@needs_ml_dsa
def test_new_keys_have_a_post_quantum_half_and_name_it(directory, world):
    keys = load_keys(directory, world.environment)
    assert keys.identity.pq_public is not None
    assert keys.administrator.pq_public is not None
    assert keys.identity.profile.administrators == (keys.administrator.authority,)
    assert keys.administrator.authority.pq_digest is not None


@needs_ml_dsa
def test_keys_that_were_made_without_are_completed_once_and_stay_the_same_agent(directory, world):
    before = load_keys(directory, world.environment, post_quantum=False)
    assert (before.identity.pq_public, before.administrator.pq_public) == (None, None)
    world.pass_time(60)
    after = load_keys(directory, world.environment)
    assert after.identity.fingerprint == before.identity.fingerprint
    assert after.administrator.public == before.administrator.public
    assert after.identity.pq_public is not None
    assert after.identity.profile.administrators == (after.administrator.authority,)
    again = load_keys(directory, world.environment)
    assert again.identity.to_bytes() == after.identity.to_bytes()
    assert again.administrator.to_bytes() == after.administrator.to_bytes()


@needs_ml_dsa
def test_a_completion_that_was_cut_short_is_finished(directory, world):
    before = load_keys(directory, world.environment, post_quantum=False)
    completed = before.administrator.with_pq(world.random)
    write_private(directory / ADMINISTRATOR_KEY, completed.to_bytes())
    keys = load_keys(directory, world.environment)
    assert keys.identity.profile.administrators == (completed.authority,)


def test_a_key_of_the_first_version_is_read(directory, world):
    seed = world.random(57)
    write_private(directory / ADMINISTRATOR_KEY, seed)
    keys = load_keys(directory, world.environment, post_quantum=False)
    assert keys.administrator.to_bytes() == seed


def test_further_administrators_are_named_in_the_profile(directory, world):
    before = load_keys(directory, world.environment)
    ann, bob = authority(world), authority(world)
    add_administrator(directory, world.environment, "Ann", ann)
    keys = add_administrator(directory, world.environment, "Bob", bob)
    assert [named.name for named in keys.further] == ["Ann", "Bob"]
    assert keys.authorities == (before.administrator.authority, ann, bob)
    found = load_keys(directory, world.environment)
    assert found.identity.profile.administrators == keys.authorities
    assert found.identity.fingerprint == before.identity.fingerprint
    left = remove_administrator(directory, world.environment, ann.fingerprint)
    assert left.identity.profile.administrators == (before.administrator.authority, bob)
    assert (directory / ADMINISTRATORS).stat().st_mode & 0o777 == 0o600


def test_an_administrator_is_added_once_and_removed_once(directory, world):
    keys = load_keys(directory, world.environment)
    ann = authority(world)
    add_administrator(directory, world.environment, "Ann", ann)
    for known in (ann, keys.administrator.authority):
        with pytest.raises(Conflict):
            add_administrator(directory, world.environment, "again", known)
    with pytest.raises(NotFound):
        remove_administrator(directory, world.environment, keys.administrator.authority.fingerprint)
    remove_administrator(directory, world.environment, ann.fingerprint)
    with pytest.raises(NotFound):
        remove_administrator(directory, world.environment, ann.fingerprint)


@pytest.mark.parametrize("name", ["", "\x1b[2J", "x" * 129])
def test_a_name_that_cannot_be_shown_is_refused_and_changes_nothing(directory, world, name):
    load_keys(directory, world.environment)
    with pytest.raises(BadRequest):
        add_administrator(directory, world.environment, name, authority(world))
    assert not (directory / ADMINISTRATORS).exists()


def test_there_are_only_so_many_administrators(directory, world):
    load_keys(directory, world.environment)
    for number in range(MAXIMUM_FURTHER):
        add_administrator(directory, world.environment, f"number {number}", authority(world))
    with pytest.raises(BadRequest, match="at most"):
        add_administrator(directory, world.environment, "one more", authority(world))


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'[{"Name": "x"}]', b"[[]]"])
def test_a_damaged_list_is_named_and_kept(directory, world, data):
    load_keys(directory, world.environment)
    for name in (ADMINISTRATORS, REPLACES):
        write_private(directory / name, data)
        with pytest.raises(StateError, match=name):
            load_keys(directory, world.environment)
        assert (directory / name).read_bytes() == data
        os.unlink(directory / name)


def test_an_agent_that_replaces_nobody_has_no_assertion(directory, world):
    assert load_keys(directory, world.environment).assertion is None
    assert replaced(directory) == ()


def test_taking_over_from_another_agent(directory, world):
    before = load_keys(directory, world.environment)
    imported = AdministratorKey.create(world.random, signatures.available())
    lab = NamedAuthority("the lab", authority(world))
    agents = [OLD_AGENT, before.identity.fingerprint, OLD_AGENT]
    keys = take_over(directory, world.environment, imported, agents, further=[lab], keep_own=True)
    assert keys.identity.fingerprint == before.identity.fingerprint
    assert keys.administrator.to_bytes() == imported.to_bytes()
    assert replaced(directory) == (OLD_AGENT,)
    found = load_keys(directory, world.environment)
    assert found.identity.profile.administrators[0] == imported.authority
    assert found.further == (lab, NamedAuthority("before the import", before.administrator.authority))
    said, signer = parse_host_connection(found.assertion, found.identity.profile, [imported.authority])
    assert (said.replaces, signer) == ((OLD_AGENT,), imported.authority)


def test_taking_over_twice_keeps_one_administrator(directory, world):
    load_keys(directory, world.environment)
    imported = AdministratorKey.create(world.random, False)
    lab = NamedAuthority("the lab", authority(world))
    options = {"further": [lab, NamedAuthority("itself", imported.authority)], "post_quantum": False}
    first = take_over(directory, world.environment, imported, [OLD_AGENT], **options)
    second = take_over(directory, world.environment, imported, [OLD_AGENT], keep_own=True, **options)
    assert second.authorities == first.authorities == (imported.authority, lab.authority)


def test_too_many_administrators_at_once_change_nothing(directory, world):
    before = load_keys(directory, world.environment)
    imported = AdministratorKey.create(world.random, False)
    further = [NamedAuthority(str(number), authority(world)) for number in range(MAXIMUM_FURTHER)]
    with pytest.raises(BadRequest, match="at most"):
        take_over(directory, world.environment, imported, [OLD_AGENT], further=further, keep_own=True)
    after = load_keys(directory, world.environment)
    assert after.identity.to_bytes() == before.identity.to_bytes()
    assert after.administrator.to_bytes() == before.administrator.to_bytes()


def test_an_import_that_was_cut_short_is_repeated(directory, world, monkeypatch):
    load_keys(directory, world.environment)
    imported = AdministratorKey.create(world.random, False)
    real = agent_keys.write_private

    def crash(path, data):
        if path.name == AGENT_KEY:
            raise OSError(28, "No space left on device", str(path))
        real(path, data)

    monkeypatch.setattr(agent_keys, "write_private", crash)
    with pytest.raises(StateError, match="No space left"):
        take_over(directory, world.environment, imported, [OLD_AGENT], post_quantum=False)
    monkeypatch.undo()
    with pytest.raises(StateError, match="repeat `myclerk-agent keys import`"):
        load_keys(directory, world.environment, post_quantum=False)
    take_over(directory, world.environment, imported, [OLD_AGENT], post_quantum=False)
    assert load_keys(directory, world.environment, post_quantum=False).administrator.public == imported.public


def test_the_files_hold_what_the_documentation_says(directory, world):
    load_keys(directory, world.environment)
    add_administrator(directory, world.environment, "Ann", authority(world))
    imported = AdministratorKey.create(world.random, False)
    take_over(directory, world.environment, imported, [OLD_AGENT], keep_own=True)
    assert sorted(os.listdir(directory)) == [ADMINISTRATOR_KEY, ADMINISTRATORS, AGENT_KEY, REPLACES]
    names = [entry["Name"] for entry in json.loads((directory / ADMINISTRATORS).read_text())]
    assert names == ["Ann", "before the import"]
    assert json.loads((directory / REPLACES).read_text()) == [OLD_AGENT]
