"""Each simulated modem in turn."""

from __future__ import annotations

import pytest

from myclerk_drivers.models.modem_families import FAMILIES


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    """The family of the modem."""
    return str(request.param)
