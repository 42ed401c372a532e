"""Trust on Debian as it is: ML-DSA-65 by the system's OpenSSL, and a board whose disk is lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from myclerk_client import AgentNotTrusted
from myclerk_protocol import mldsa, signatures

from .virtual_board import CONFIG, SITE, VirtualBoard

STATE = "/var/lib/myclerk"

SIGN = """
import sys
from myclerk_protocol import mldsa
library = mldsa.provider()
key = library.private_key(bytes(range(32)))
theirs = bytes.fromhex(sys.argv[1])
print(library.name, library.verifies(key.public, theirs, b"from the host"),
      library.verifies(key.public, theirs, b"from elsewhere"))
print(key.public.hex())
print(key.sign(b"from the board").hex())
"""
"""Run on the board: argument a signature of the host, output the library's name, its verdicts, key, signature."""


@pytest.fixture(scope="module")
def host_library() -> mldsa.Provider:
    library = mldsa.provider()
    if library is None:
        pytest.skip("nothing on this machine does ML-DSA-65")
    return library


def test_the_systems_openssl_and_the_hosts_library_verify_each_other(
    board: VirtualBoard, host_library: mldsa.Provider
) -> None:
    key = host_library.private_key(bytes(range(32)))
    ours = key.sign(b"from the host")
    printed = board.hand.check("python3", "-c", SIGN, ours.hex(), env={"PYTHONPATH": SITE})
    verdicts, public, theirs = printed.splitlines()
    assert verdicts == "libcrypto True False"
    assert bytes.fromhex(public) == key.public
    assert host_library.verifies(key.public, bytes.fromhex(theirs), b"from the board")
    assert not host_library.verifies(key.public, bytes.fromhex(theirs), b"from the host")


def test_a_pairing_is_post_quantum_without_any_setting(board: VirtualBoard) -> None:
    pinned = board.boards.find("board")
    assert len(bytes.fromhex(pinned.pq_public)) == signatures.MLDSA65_PUBLIC_SIZE
    assert all(digest for _, digest in pinned.administrators)

    async def story() -> None:
        async with await board.connect() as connected:
            assert connected.session["post_quantum"]

    asyncio.run(story())


@pytest.fixture
def exported(board: VirtualBoard) -> Iterator[str]:
    """The recovery code of an export of the board's administrator in /tmp/escrow."""
    yield json.loads(board.agent_command("keys", "export", "/tmp/escrow", "--json"))["code"]
    board.hand.check("rm", "-f", "/tmp/escrow")


def test_a_board_that_lost_its_disk_is_trusted_again_by_its_export(
    board: VirtualBoard, exported: str
) -> None:
    before = board.boards.find("board")
    board.stop_agent()
    board.hand.check("rm", "-rf", STATE)
    board.start_agent()
    with pytest.raises(AgentNotTrusted):
        asyncio.run(board.connect())
    command = f"echo {exported} | python3 -m myclerk_agent.cli --config {CONFIG} keys import /tmp/escrow"
    board.hand.check("sh", "-c", command, env={"PYTHONPATH": SITE})
    board.restart_agent()

    async def story() -> None:
        async with await board.connect() as connected:
            assert (await connected.request("CLIENT_LIST"))["clients"]

    asyncio.run(story())
    after = board.boards.find("board")
    assert after.fingerprint != before.fingerprint
    assert len(bytes.fromhex(after.pq_public)) == signatures.MLDSA65_PUBLIC_SIZE
    assert "the chain holds" in board.agent_command("audit", "verify")
