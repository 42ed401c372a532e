"""sd_notify over real datagram sockets."""

import os
import socket
import uuid

import pytest

import support
from myclerk_agent.systemd import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """A service manager's socket and the NOTIFY_SOCKET that names it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@myclerk-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name.replace("@", "\0", 1) if request.param == "abstract" else name)
        listening.settimeout(5)
        yield listening, {"NOTIFY_SOCKET": name}


def test_what_systemd_hears(manager):
    listening, environ = manager
    notifier = Notifier(environ)
    notifier.ready()
    notifier.status("2 sessions\nREADY=1")
    notifier.watchdog()
    notifier.stopping(60.5)
    assert [listening.recv(100) for _ in range(4)] == [
        b"READY=1",
        b"STATUS=2 sessions READY=1",
        b"WATCHDOG=1",
        b"STOPPING=1\nEXTEND_TIMEOUT_USEC=60500000",
    ]


def test_without_systemd_nothing_happens():
    notifier = Notifier({})
    notifier.ready()
    assert notifier.watchdog_interval is None


def test_a_deaf_service_manager_is_no_error(tmp_path):
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready()


def test_a_service_manager_that_does_not_read_is_not_waited_for(tmp_path):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path)
        notifier = Notifier({"NOTIFY_SOCKET": path})
        for _ in range(5000):
            notifier.watchdog()


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_it_bites(environ, interval):
    assert Notifier(environ).watchdog_interval == interval


@pytest.mark.agent_process
def test_a_stopping_agent_asks_for_the_time_that_its_settings_give_requests(manager, tmp_path):
    """And lets the watchdog rest, which would bite in that time otherwise."""
    listening, environ = manager
    heard = [b""]
    with support.agent(tmp_path, environment={**environ, "WATCHDOG_USEC": "100000"}) as running:
        while heard.count(b"WATCHDOG=1") < 3:
            heard.append(listening.recv(100))
        running.process.terminate()
        while not heard[-1].startswith(b"STOPPING=1"):
            heard.append(listening.recv(100))
        running.process.wait(30)
    listening.setblocking(False)
    with pytest.raises(BlockingIOError):
        listening.recv(100)
    assert heard[1] == b"READY=1"
    assert heard[-1] == b"STOPPING=1\nEXTEND_TIMEOUT_USEC=60000000"
