"""`trunkline backup`: one backup of streams, archive, knowledge base and secrets, and its restore into empty ones."""
