"""`myclerk-agent audit`, `administrators`, `keys`, `preconfigure`: what they print, refuse and note."""

import json

import pytest
from click.testing import CliRunner
from enrolling import TRANSCRIPT, Client, enrolment_of, issue

from myclerk_agent.cli import main
from myclerk_agent.environment import SYSTEM
from myclerk_agent.keys import load_keys
from myclerk_agent.store import Store
from myclerk_protocol.mesh import udf


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def run(state):
    def run(*words, input=None, code=0):
        result = CliRunner().invoke(main, ["--state", str(state), *words], input=input)
        assert result.exit_code == code, result.output
        return result.output

    return run


@pytest.fixture
def ann(run, state, world):
    """A device that was admitted without the role of an administrator."""
    run("fingerprint")
    store = Store(state / "agent.db", SYSTEM)
    keys = load_keys(state, SYSTEM)
    device = Client(keys)
    secret = issue(keys, store, world, description="Ann", access=2, lifetime=10e9)
    enrolment_of(keys, store, world).register(device.enrol(secret), TRANSCRIPT)
    store.close()
    return device


def devices(run):
    return json.loads(run("devices", "--json"))


def actions(run):
    return [json.loads(line)["action"] for line in run("audit", "tail", "--json").splitlines()]


# -- audit -----------------------------------------------------------------------------------------------------


def test_an_empty_log(run):
    assert run("audit", "verify") == "the audit log is empty\n"
    assert run("audit", "tail") == ""


def test_verify_says_what_is_wrong_and_fails(run, state):
    for _ in range(3):
        run("invite", "--host", "board")
    first = run("audit", "verify")
    assert first.startswith("3 records: the chain holds; the last is 3:")
    anchor = first.split()[-1]
    log = state / "audit.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(lines[0] + lines[2])
    told = run("audit", "verify", code=1)
    assert "record 2 is missing before record 3" in told
    assert "the chain is broken" in told
    report = json.loads(run("audit", "verify", "--json", code=1))
    assert (report["records"], report["first"], len(report["problems"])) == (2, 1, 1)
    log.write_bytes(b"".join(lines))
    run("audit", "verify", "--anchor", anchor)
    run("audit", "verify", "--anchor", f"3:{'0' * 64}", code=1)


@pytest.mark.parametrize("anchor", ["", "3", "3:", "x:" + "0" * 64, "3:abc"])
def test_what_is_no_anchor(run, anchor):
    assert "NUMBER:HASH" in run("audit", "verify", "--anchor", anchor, code=2)


def test_tail_shows_who_did_what(run):
    run("invite", "--host", "board", "--access", "read")
    run("keys", "show")
    assert "command line  invite read: ok  uid=" in run("audit", "tail", "-n", "1")
    assert run("audit", "tail", "-n", "0") == ""


# -- administrators ----------------------------------------------------------------------------------------------


def test_a_role_is_given_and_taken_and_noted(run, ann):
    assert "Ann" not in run("administrators")
    run("administrators", "add", "Ann")
    assert devices(run)[0]["administrator"]
    assert devices(run)[0]["access"] == "write"
    assert f"device  {udf.grouped(ann.fingerprint)}  Ann" in run("administrators")
    run("administrators", "remove", ann.fingerprint[:6])
    assert not devices(run)[0]["administrator"]
    assert actions(run)[-2:] == ["administrators add", "administrators remove"]


def test_a_role_is_for_devices_that_are_there_and_not_revoked(run, ann):
    assert "no device matches" in run("administrators", "add", "Bob", code=1)
    run("devices", "--revoke", "Ann")
    assert "revoked" in run("administrators", "add", "Ann", code=1)


def test_several_devices_administer(run, ann, state, world):
    keys, store = load_keys(state, SYSTEM), Store(state / "agent.db", SYSTEM)
    bob = Client(keys, 2)
    secret = issue(keys, store, world, description="Bob", administrator=True, lifetime=10e9)
    enrolment_of(keys, store, world).register(bob.enrol(secret), TRANSCRIPT)
    store.close()
    run("administrators", "add", "Ann")
    shown = json.loads(run("administrators", "--json"))
    assert [device["description"] for device in shown["devices"]] == ["Ann", "Bob"]
    run("devices", "--revoke", "Bob")
    assert [d["description"] for d in json.loads(run("administrators", "--json"))["devices"]] == ["Ann"]


def test_a_further_administrator_by_the_public_key_alone(run, tmp_path):
    other = tmp_path / "other"
    shown = CliRunner().invoke(main, ["--state", str(other), "keys", "show", "--json"])
    (tmp_path / "key.json").write_text(shown.output)
    exported = CliRunner().invoke(main, ["--state", str(other), "keys", "export", str(tmp_path / "escrow")])
    assert exported.exit_code == 0
    run("administrators", "trust", "the lab", str(tmp_path / "key.json"))
    assert "the lab" in run("administrators")
    assert "already" in run("administrators", "trust", "again", str(tmp_path / "escrow"), code=1)
    fingerprint = json.loads(run("administrators", "--json"))["further-keys"][0]["fingerprint"]
    run("administrators", "distrust", udf.grouped(fingerprint))
    assert "the lab" not in run("administrators")
    assert "no further administrator" in run("administrators", "distrust", fingerprint, code=1)
    run("administrators", "trust", "by its export", str(tmp_path / "escrow"))
    assert actions(run) == ["administrators trust", "administrators distrust", "administrators trust"]


@pytest.mark.parametrize("text", ["", "{}", "[]", "not json", '{"MyClerkEscrow": {}}'])
def test_a_file_that_names_no_administrator(run, tmp_path, text):
    (tmp_path / "key.json").write_text(text)
    told = run("administrators", "trust", "x", str(tmp_path / "key.json"), code=1)
    assert "names no administrator's key" in told


# -- keys --------------------------------------------------------------------------------------------------------


def test_keys_are_shown_by_their_fingerprints(run, state):
    shown = run("keys", "show")
    keys = load_keys(state, SYSTEM)
    assert udf.grouped(keys.identity.fingerprint) in shown
    assert udf.grouped(keys.administrator.authority.fingerprint) in shown
    assert "stands in for" not in shown


def test_export_and_import(run, tmp_path, ann):
    file = tmp_path / "escrow"
    text = run("keys", "export", str(file))
    code = next(line for line in text.splitlines() if "recovery code" in line).split()[-1]
    assert "not shown again" in text
    old = run("fingerprint").strip()

    def new(*words, **options):
        return CliRunner().invoke(main, ["--state", str(tmp_path / "new"), *words], **options)

    imported = new("keys", "import", str(file), input=code)
    assert imported.exit_code == 0, imported.output
    assert f"stands in for {old}" in imported.output
    assert "devices taken over: 1" in imported.output
    assert f"stands in for  {old}" in new("keys", "show").output
    assert [d["description"] for d in json.loads(new("devices", "--json").output)] == ["Ann"]
    again = new("keys", "import", str(file), input=code)
    assert (again.exit_code, "--key-only" in again.output) == (1, True)
    assert new("keys", "import", str(file), "--key-only", input=code).exit_code == 0
    assert "MyClerkError" not in new("administrators").output


def test_an_export_that_fails_leaves_no_file(run, tmp_path, monkeypatch):
    def fails(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("myclerk_agent.state.os.write", fails)
    assert "No space left" in run("keys", "export", str(tmp_path / "escrow"), code=1)
    assert not (tmp_path / "escrow").exists()


# -- preconfigure --------------------------------------------------------------------------------------------------


def test_a_label_is_printed_and_drawn(run, tmp_path):
    link = run("preconfigure", "--host", "bench.local", "--label", str(tmp_path / "label.png")).strip()
    assert link.startswith("myclerk://bench.local/M")
    assert (tmp_path / "label.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "label.png").stat().st_mode & 0o777 == 0o600
    assert json.loads(run("preconfigure", "--host", "bench.local", "--json"))["link"] != link
    assert run("preconfigure").startswith("myclerk://")
    run("preconfigure", "--withdraw")
    assert "no label" in run("preconfigure", "--withdraw", code=1)
    assert actions(run) == ["preconfigure"] * 3 + ["preconfigure withdraw"]


@pytest.mark.parametrize("name", ["label.jpg", "label", "missing/label.svg"])
def test_a_label_that_cannot_be_drawn_changes_nothing(run, state, tmp_path, name):
    run("preconfigure", "--host", "bench.local", "--label", str(tmp_path / name), code=1)
    assert not (state / "preconfiguration.json").exists()
    assert not (tmp_path / name).exists()


def test_a_board_with_devices_needs_no_label(run, ann, tmp_path):
    told = run("preconfigure", "--label", str(tmp_path / "label.svg"), code=1)
    assert "use `myclerk-agent invite`" in told
    assert not (tmp_path / "label.svg").exists()
