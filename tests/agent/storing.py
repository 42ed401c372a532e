"""What store tests share: who applies, and an invitation."""

from myclerk_agent.store import Applicant

PIN = "A" * 28


def applicant(letter="B", pq_public=None):
    return Applicant(
        letter * 28, b"profile " + letter.encode(), letter.encode() * 57, pq_public, f"device {letter}"
    )


def invite(store, pin_id=PIN, **changed):
    grant = {"access": 3, "administrator": False, "description": "laptop", "lifetime": 900.0, **changed}
    return store.add_pin(pin_id, b"0123456789abcdef", **grant)
