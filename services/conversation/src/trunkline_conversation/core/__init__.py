"""Pure decisions of the conversation service: no clock, no broker, no asyncio."""
