"""Model providers behind one request, streaming."""
