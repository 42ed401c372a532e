"""A database that another process is writing to: nothing waits long, nothing is half done."""

import sqlite3

import pytest
from storing import PIN, applicant, invite

from myclerk_agent.store import Store, StoreBusy


@pytest.fixture
def hurried(path, world):
    store = Store(path, world.environment, "this boot", patience=0.01)
    yield store
    store.close()


@pytest.fixture
def held(hurried, path):
    """Another process's transaction, under way."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield connection
    connection.close()


def test_reading_waits_for_nobody(hurried, held):
    assert hurried.devices() == []
    assert hurried.find_pin(PIN) is None
    assert not hurried.changed_elsewhere()


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.admit(applicant(), access=1, administrator=False),
        lambda store: store.request(applicant()),
        invite,
        lambda store: store.purge(),
        lambda store: store.withdraw_pin(PIN),
    ],
)
def test_writing_gives_up_soon_and_succeeds_later(hurried, held, change):
    with pytest.raises(StoreBusy, match="try again"):
        change(hurried)
    assert hurried.devices() == []
    held.execute("ROLLBACK")
    change(hurried)
