"""Base models, their attention projections, adapters and heads."""
