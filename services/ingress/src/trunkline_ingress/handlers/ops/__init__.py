"""What operators see and do over HTTP, below /v1/ops/: suite, knowledge base, fleet, notices, desk."""
