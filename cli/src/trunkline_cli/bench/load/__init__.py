"""`trunkline bench load`: an open-loop load on a running suite, from one or several processes."""
