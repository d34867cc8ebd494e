"""The reference of the wire, made from the code: docs/messages.md for people, docs/asyncapi.json for programs."""
