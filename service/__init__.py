"""The inference service: serves bundles over HTTP."""
