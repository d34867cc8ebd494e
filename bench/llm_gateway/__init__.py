"""Overhead of the LLM gateway: latency beside other targets before the same model, CPU per request and per chunk.

    python -m bench.llm_gateway --rate 300 --rounds 5 --duration 3 [--litellm PATH-OF-ITS-VENV]

from the root of the repository. A model server (`model`) streams chunks at a fixed pace and records the duration of
each answer. The same arrivals (`load`) are sent to several targets (`targets`), one after another, in rounds. Overhead
is the client's latency less the model's own time (`report`). Finally agents cancel in mid-answer, and the model records
when its connection is closed. `run` contains the sequence.
"""
