"""The chassis of every Trunkline process.

`settings` and `logs` at the start, `lifecycle` around everything, `bus` and `errors` for NATS, `delivery`,
`pull_consumer` and `pinned_consumer` for stream messages, `rpc` and `watched_requests` for requests and replies,
`heartbeat`, `presence`, `latency` and `health` for monitoring, `refresher`, `kv_view` and `fleet_view` for views of
server state, `provision` and `topology_reconciler` for the topology, `tracing` for traces of turns, `object_store` for
backups and archives, `toml_file` for files of the operator.
"""
