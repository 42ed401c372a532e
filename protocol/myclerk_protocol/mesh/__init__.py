"""Device trust after the Mathematical Mesh 3.0 Part IV: who a peer is and how it was admitted.

``udf`` names keys and messages, ``dare`` signs envelopes, ``profiles`` says who a device or an agent is,
``authorities`` who may vouch for them and ``connections`` how; ``pin`` proves knowledge of an invitation,
``messages`` notes and answers, ``link`` writes it down, ``preconfiguration`` is that of a headless board,
``catalog`` records who was admitted. docs/protocol.md, docs/trust.md.
"""
