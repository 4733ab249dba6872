"""Numbers from predictions and references; pure functions."""
