"""Personal data in texts: where it is, and the tokens that replace it on the way to a model."""
