"""Pure decisions: the processes of a suite, restart delays, health verdicts, pool sizes."""
