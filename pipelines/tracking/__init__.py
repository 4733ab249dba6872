"""MLflow: runs, data sets, plots, models, versions and promotion. No other room imports it."""
