"""One complete, commented YAML a run; package data, so that an installed aasaan has them too."""
