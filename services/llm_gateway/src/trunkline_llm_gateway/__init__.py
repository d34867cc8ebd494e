"""LLM gateway: model providers behind one streaming request."""
