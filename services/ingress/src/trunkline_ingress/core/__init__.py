"""Pure decisions: frame numbering, delta filtering, resume tokens, rate limits, traces and transcripts."""
