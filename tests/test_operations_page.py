"""docs/operations.md says what is so."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest

from myclerk_agent.cli import main as agent_command
from myclerk_client.cli import main as client_command

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def operations() -> ModuleType:
    spec = importlib.util.spec_from_file_location("operations_page", ROOT / "tools" / "operations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_registry_and_evidence_make_of_it(operations: ModuleType) -> None:
    evidence = json.loads(operations.EVIDENCE.read_text())
    assert operations.PAGE.read_text() == operations.render(evidence), "run `make operations`"


def test_evidence_names_tests_that_exist(operations: ModuleType) -> None:
    evidence = json.loads(operations.EVIDENCE.read_text())
    for backends in evidence.values():
        for test in backends.values():
            path, _, name = test.partition("::")
            assert f"def {name.partition('[')[0]}(" in (ROOT / path).read_text(), test


def test_every_command_named_there_exists(operations: ModuleType) -> None:
    roots = {"myclerk": client_command, "myclerk-agent": agent_command}
    for command in operations.COMMANDS.values():
        first, *words = command.split()
        node: click.Command = roots[first]
        for word in words:
            if word.startswith("-"):
                assert any(word in option.opts for option in node.params), command
                continue
            assert isinstance(node, click.Group), command
            assert word in node.commands, command
            node = node.commands[word]
