"""Traces of turns: one trace from the socket to the commit, over all processes, exported over OTLP.

`trace_context` and `otlp` are pure: the header, sampling and the wire format. `span_types` is the list of all spans and
attributes. `tracer` holds the current span of a task, `exporter` sends finished spans to a collector.
"""
