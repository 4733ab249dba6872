"""Every error that aasaan raises on purpose.

    AasaanError
    ├── UsageError      the command or call itself is wrong          (exit code 2)
    ├── ConfigError     a run's YAML or an override is wrong
    ├── DataError       labelled text that cannot be used as it is
    ├── ModelError      a base model, projection or adapter that does not fit
    ├── BundleError     a bundle that is missing, damaged or of another kind
    ├── StorageError    a folder that cannot be written, a disk that is full
    ├── RegistryError   MLflow has no such model, version or alias
    ├── PromotionError  a promotion that was not earned
    └── Interrupted     the user stopped a run; a checkpoint was kept (exit code 130)

A message says what was expected, what was found and how to fix it. `AasaanError` is shown to
people as it is; any other exception is a bug and keeps its traceback.
"""


class AasaanError(Exception):
    """Base of all errors below. ``str(error)`` is the message for the user."""

    exit_code = 1


class UsageError(AasaanError):
    exit_code = 2


class ConfigError(AasaanError):
    pass


class DataError(AasaanError):
    pass


class ModelError(AasaanError):
    pass


class BundleError(AasaanError):
    pass


class StorageError(AasaanError):
    pass


class RegistryError(AasaanError):
    pass


class PromotionError(AasaanError):
    pass


class Interrupted(AasaanError):
    exit_code = 130


def problems(title: str, found: list[str], fix: str, limit: int = 20) -> str:
    """One message for many problems of the same input: a title, one line each, a fix."""
    lines = [title, *(f"  - {item}" for item in found[:limit])]
    if len(found) > limit:
        lines.append(f"  … and {len(found) - limit} more")
    return "\n".join([*lines, fix])
