"""Device trust after the Mathematical Mesh 3.0 Part IV: who a peer is and how it was admitted.

``udf`` names keys and messages, ``dare`` signs envelopes, ``profiles`` says who a device or an agent is,
``pin`` proves knowledge of an invitation, ``link`` writes it down, ``catalog`` records who was admitted.
docs/protocol.md.
"""
