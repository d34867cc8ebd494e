"""The pure part: which processes make a suite (`suite`), and when a dead one is started again (`restarts`)."""
