"""Routing: features, classifier, training, the artefact that carries a trained router, and the router itself."""
