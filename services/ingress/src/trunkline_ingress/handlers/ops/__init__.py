"""Operators' API below /v1/ops/: suite, knowledge base, fleet, notices, desk."""
