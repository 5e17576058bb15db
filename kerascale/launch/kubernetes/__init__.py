"""Manifests for Kubernetes: plain objects that need no operator, or a JobSet."""
