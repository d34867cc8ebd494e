"""The pure part: how an extractive answer is composed, what a model is told, what its marks mean."""
