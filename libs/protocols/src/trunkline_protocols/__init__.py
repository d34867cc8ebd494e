"""Trunkline's wire types: what may be said on the bus, where, and how it is written down.

`ids` and `subjects` name things; `turn`, `log`, `knowledge`, `completion`, `escalation`, `broadcast`, `presence` and
`snapshot` are the messages; `frames` is the WebSocket side; `streams` and `fleet` are data; `codec` turns bytes into
messages. msgspec and the standard library only.
"""
