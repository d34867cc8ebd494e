"""Pure decisions: provider selection, circuit breaking, prompts, and the extractive answer."""
