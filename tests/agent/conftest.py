"""An agent's world: clocks that stand still, a database, keys, and who judges registrations."""

import pytest
from enrolling import Client, enrolment_of
from fake_environment import World

from myclerk_agent.keys import AgentKeys
from myclerk_agent.store import Store
from myclerk_protocol.mesh.authorities import AdministratorKey
from myclerk_protocol.mesh.profiles import Identity


@pytest.fixture(scope="session")
def keys():
    world = World()
    administrator = AdministratorKey(world.random(57))
    return AgentKeys(
        Identity.create("host", "board", world.random, 0, False, administrators=(administrator.authority,)),
        administrator,
    )


@pytest.fixture
def world():
    world = World()
    world.drawn = 1_000_000
    return world


@pytest.fixture
def path(tmp_path):
    """The database's file."""
    return tmp_path / "agent.db"


@pytest.fixture
def store(path, world):
    store = Store(path, world.environment, "this boot")
    yield store
    store.close()


@pytest.fixture
def enrolment(keys, store, world):
    return enrolment_of(keys, store, world)


@pytest.fixture
def open_enrolment(keys, store, world):
    return enrolment_of(keys, store, world, without_pin=True)


@pytest.fixture
def client(keys):
    return Client(keys)
