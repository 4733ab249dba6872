"""Which models are loaded, under which name and version."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines import bundle as bundles
from pipelines.bundle import Bundle
from pipelines.errors import RegistryError
from pipelines.tasks import NAMES
from service.batcher import Batcher
from service.engine import OnnxEngine
from service.errors import UnknownModel
from service.settings import Settings

log = logging.getLogger("aasaan.service")


@dataclass(frozen=True)
class Model:
    """A loaded model that has answered a warm-up request."""

    name: str
    version: str
    bundle: Bundle
    batcher: Batcher


class Catalog:
    """The loaded models by name. `ready` is true once every one of them has passed an inference."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.models: dict[str, Model] = {}
        self.ready = False

    def load(self) -> None:
        """Loads and warms up what is to be served. Raises an `AasaanError` when there is nothing."""
        for name, version, bundle in _find(self.settings.bundles):
            engine = OnnxEngine(bundle, self.settings.threads)
            engine.warm_up()
            batcher = Batcher(engine, self.settings.batch_tokens, self.settings.queue_items)
            self.models[name] = Model(name, version, bundle, batcher)
            log.info("serving %s version %s (%s)", name, version, bundle.manifest.name)

    def start(self) -> None:
        """Begins to answer; call it in the event loop that requests come in."""
        for model in self.models.values():
            model.batcher.start()
        self.ready = True

    async def close(self) -> None:
        self.ready = False
        for model in self.models.values():
            await model.batcher.stop()

    def get(self, name: str, version: str | None = None) -> Model:
        """A loaded model. Raises `UnknownModel` with the names and versions that are loaded."""
        model = self.models.get(name)
        if model is None or version not in (None, model.version):
            asked = name if version is None else f"{name} version {version}"
            loaded = ", ".join(f"{m.name} version {m.version}" for m in self.models.values())
            raise UnknownModel(f"no model {asked!r}; loaded: {loaded or 'none'}")
        return model


def _find(folders: Sequence[Path]) -> list[tuple[str, str, Bundle]]:
    """Name, version and bundle of each model to serve: the given folders, or the champions."""
    if folders:
        given = [bundles.load(folder) for folder in folders]
        return [(bundle.task.name, bundle.manifest.name, bundle) for bundle in given]
    from pipelines.tracking import registry

    found: list[tuple[str, str, Bundle]] = []
    missing: list[str] = []
    for task in NAMES:
        try:
            folder, version = registry.champion_bundle(task)
        except RegistryError as error:
            missing.append(str(error))
            continue
        found.append((task, version.number, bundles.load(folder)))
    if not found:
        raise RegistryError(
            "There is no model to serve. " + " ".join(missing) + " Or serve one with --bundle."
        )
    for message in missing:
        log.warning("%s", message)
    return found
