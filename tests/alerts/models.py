"""Faults of model providers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.alerts.stage import FREE, Stage
from tests.support.raw_model_server import Reply, events, finish, serve_raw, text, usage


def _provider(url: str, *lines: str) -> str:
    more = "".join(f"{line}\n" for line in lines)
    return f'[[provider]]\nname = "remote"\nkind = "openai"\nbase_url = "{url}"\nmodels = ["small"]\n{more}'


@asynccontextmanager
async def _answering(
    stage: Stage, reply: Reply, configuration: Callable[[str], str], *, questions: int
) -> AsyncIterator[None]:
    """A provider sends one reply again and again, while customers ask a question a second."""

    async def keep_asking() -> None:
        for _ in range(questions):
            await stage.ask()
            await asyncio.sleep(1)

    async with serve_raw(reply) as server:
        await stage.configure_models(configuration(server.url))
        asking = asyncio.create_task(keep_asking())
        try:
            yield
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await stage.configure_models(FREE)


def _answer(*chunks: Any) -> Reply:
    return Reply(events(text("We refund it within five days [1]."), *chunks, usage()))


@asynccontextmanager
async def failing_provider(stage: Stage) -> AsyncIterator[None]:
    """The first provider of the route fails, the next one answers."""
    async with _answering(stage, Reply(status=500), lambda url: _provider(url) + FREE, questions=90):
        yield


@asynccontextmanager
async def odd_answers(stage: Stage) -> AsyncIterator[None]:
    """Answers end for a reason that the provider's API does not have."""
    async with _answering(stage, _answer(finish("because")), lambda url: _provider(url) + FREE, questions=10):
        yield


@asynccontextmanager
async def cut_answers(stage: Stage) -> AsyncIterator[None]:
    """Answers end at the limit of tokens."""
    async with _answering(stage, _answer(finish("length")), lambda url: _provider(url) + FREE, questions=20):
        yield


@asynccontextmanager
async def spent_budget(stage: Stage) -> AsyncIterator[None]:
    """Each answer costs a dollar, and a tenant has three a day."""
    budget = '[[budget]]\ntenant = "*"\nusd_per_day = 3\n'
    cost = "input_cost_per_million = 1000"
    async with _answering(stage, _answer(finish()), lambda url: _provider(url, cost) + FREE + budget, questions=10):
        yield
