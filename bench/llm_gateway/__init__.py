"""What the LLM gateway costs: its time beside other ways to the same model, its CPU a request and a chunk.

    python -m bench.llm_gateway --rate 300 --rounds 5 --duration 3 [--litellm PATH-OF-ITS-VENV]

from the root of the repository. A model server (`model`) streams chunks at a fixed pace and remembers how long each
answer took it. The same arrivals (`load`) go to it several ways (`ways`), one after another, in rounds. Overhead is
what the asker waited less what the model took (`report`). Then agents leave in mid-answer, and the model notes when its
connection is closed. `run` has the order of it all.
"""
