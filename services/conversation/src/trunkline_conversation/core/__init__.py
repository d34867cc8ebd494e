"""The pure part: what a conversation is (`state`) and what it decides (`decisions`). No clock, no broker."""
