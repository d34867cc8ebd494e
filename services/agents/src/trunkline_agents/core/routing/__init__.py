"""Routing: feature extraction, classifier, training, the serialised artefact and the router."""
