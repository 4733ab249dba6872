"""Labelled text: sources, validation, splits and batches."""
