"""The state directory and the keys in it."""

import errno
import os
import stat
import subprocess
import sys
import threading

import pytest
from fake_environment import World

from myclerk_agent import state
from myclerk_agent.keys import load_keys
from myclerk_agent.state import StateError, prepare_directory, read_private, write_once
from myclerk_protocol import signatures
from myclerk_protocol.mesh.profiles import Identity, ProfileKind

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def directory(tmp_path):
    prepare_directory(tmp_path / "state")
    return tmp_path / "state"


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def test_the_directory_is_made_private_and_found_again(tmp_path):
    path = tmp_path / "lib" / "myclerk"
    prepare_directory(path)
    prepare_directory(path)
    assert mode(path) == 0o700


@pytest.mark.parametrize(("bits", "fits"), [(0o700, True), (0o755, True), (0o770, False), (0o702, False)])
def test_a_directory_that_others_may_write_to_is_refused(directory, bits, fits):
    directory.chmod(bits)
    if fits:
        prepare_directory(directory)
        return
    with pytest.raises(StateError, match=f"chmod 700 {directory}"):
        prepare_directory(directory)


@needs_root
def test_a_directory_of_another_user_is_refused(directory):
    os.chown(directory, 4711, 4711)
    with pytest.raises(StateError, match="belongs to user 4711"):
        prepare_directory(directory)


def test_what_is_no_directory_is_refused(tmp_path):
    (tmp_path / "state").write_bytes(b"")
    with pytest.raises(StateError, match="File exists"):
        prepare_directory(tmp_path / "state")


@needs_root
def test_root_goes_on_as_the_owner_of_the_directory(directory):
    os.chown(directory, 4711, 4712)
    script = (
        "import os, sys; from pathlib import Path; from myclerk_agent.state import become_owner\n"
        "become_owner(Path(sys.argv[1])); print(os.getresuid(), os.getresgid(), os.getgroups())"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script, directory],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip() == "(4711, 4711, 4711) (4712, 4712, 4712) []"


def test_keys_are_made_at_the_first_start_and_stay(directory, world):
    first = load_keys(directory, world.environment)
    assert first.identity.profile.kind is ProfileKind.HOST
    assert first.identity.profile.administrator == first.administrator.public
    assert first.identity.profile.public_key != first.administrator.public
    assert (first.identity.pq_public is not None) is signatures.available()
    assert sorted(os.listdir(directory)) == ["administrator.key", "agent.key"]
    assert mode(directory / "agent.key") == mode(directory / "administrator.key") == 0o600
    again = load_keys(directory, world.environment, post_quantum=False)
    assert again.identity.to_bytes() == first.identity.to_bytes()
    assert again.administrator.public == first.administrator.public


def test_an_identity_without_a_post_quantum_key(directory, world):
    assert load_keys(directory, world.environment, post_quantum=False).identity.pq_public is None


def test_secrets_are_in_no_repr(directory, world):
    keys = load_keys(directory, world.environment)
    seed = read_private(directory / "administrator.key")
    assert repr(seed)[2:20] not in repr(keys)
    assert seed.hex()[:20] not in repr(keys)


@pytest.mark.parametrize("name", ["agent.key", "administrator.key"])
@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(directory, world, name, bits):
    load_keys(directory, world.environment)
    (directory / name).chmod(bits)
    with pytest.raises(StateError, match=f"run `chmod 600 {directory / name}`"):
        load_keys(directory, world.environment)


@needs_root
def test_a_key_of_another_user_is_refused(directory, world):
    load_keys(directory, world.environment)
    os.chown(directory / "agent.key", 4711, 4711)
    with pytest.raises(StateError, match="is not a file of root"):
        load_keys(directory, world.environment)


def test_a_link_is_no_key(directory, world):
    load_keys(directory, world.environment)
    (directory / "agent.key").rename(directory / "elsewhere")
    (directory / "agent.key").symlink_to(directory / "elsewhere")
    with pytest.raises(StateError, match=r"agent\.key cannot be used"):
        load_keys(directory, world.environment)


@pytest.mark.parametrize("name", ["agent.key", "administrator.key"])
@pytest.mark.parametrize("data", [b"", b"{}", b"x" * 58])
def test_a_damaged_key_is_refused_and_kept(directory, world, name, data):
    load_keys(directory, world.environment)
    (directory / name).write_bytes(data)
    with pytest.raises(StateError, match="damaged"):
        load_keys(directory, world.environment)
    assert (directory / name).read_bytes() == data


def test_an_agent_without_its_administrator_is_refused(directory, world):
    load_keys(directory, world.environment)
    (directory / "administrator.key").unlink()
    with pytest.raises(StateError, match="is missing: restore it"):
        load_keys(directory, world.environment)
    assert not (directory / "administrator.key").exists()


def test_an_administrator_of_another_agent_is_refused(directory, world):
    load_keys(directory, world.environment)
    (directory / "administrator.key").write_bytes(world.random(57))
    with pytest.raises(StateError, match="does not belong to"):
        load_keys(directory, world.environment)


def test_a_first_start_that_was_cut_short_is_completed(directory, world):
    seed = world.random(57)
    write_once(directory / "administrator.key", seed)
    keys = load_keys(directory, world.environment)
    assert keys.administrator.public == signatures.Ed448Key(seed).public
    assert keys.identity.profile.administrator == keys.administrator.public


def test_a_host_identity_alone_names_no_administrator_key(directory, world):
    alone = Identity.create("host", "", world.random, world.wall_time, False)
    write_once(directory / "administrator.key", world.random(57))
    write_once(directory / "agent.key", alone.to_bytes())
    with pytest.raises(StateError, match="does not belong to"):
        load_keys(directory, world.environment)


def test_what_is_there_is_never_overwritten(directory):
    write_once(directory / "x", b"first")
    write_once(directory / "x", b"second")
    assert read_private(directory / "x") == b"first"
    assert os.listdir(directory) == ["x"]


def test_a_write_that_fails_leaves_no_trace(directory, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(state.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_once(directory / "x", b"data")
    assert os.listdir(directory) == []


def test_all_who_start_at_once_get_the_same_keys(directory):
    barrier, found = threading.Barrier(4), []

    def start(number):
        world = World()
        world.drawn = number * 1000
        barrier.wait()
        keys = load_keys(directory, world.environment, post_quantum=False)
        found.append((keys.identity.fingerprint, keys.administrator.public))

    threads = [threading.Thread(target=start, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
