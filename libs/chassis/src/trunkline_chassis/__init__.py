"""What every Trunkline process repeats, written once.

`settings` and `logs` at the start, `lifecycle` around everything, `bus` and `errors` towards NATS, `delivery`, `puller`
and `slots` for what streams deliver, `rpc` for questions and answers, `presence`, `latency` and `health` for those who
watch, `provision` for the topology.
"""
