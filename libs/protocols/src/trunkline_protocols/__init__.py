"""Wire types, subjects, streams and codecs of Trunkline.

`ids` and `subjects` name things. `inbox`, `turn`, `consultation`, `completion`, `knowledge`, `log`, `desk`,
`escalation`, `broadcast`, `presence`, `fleet` and `snapshot` define messages, built of the records in `accounting`,
`citations` and `context`. `frames` is the WebSocket side, `streams` describes the server's streams and buckets,
`catalogue` lists every channel, `codec` decodes and encodes, and `rules` holds functions that several processes must
compute alike. Depends on msgspec and the standard library only.
"""
