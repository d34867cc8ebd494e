"""The pure part: how frames are numbered, how deltas are filtered, what a resume token holds, how a trace is told."""
