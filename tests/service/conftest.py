from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.conftest import FinishedRun


@pytest.fixture
def client(finished: FinishedRun) -> Iterator[TestClient]:
    settings = Settings(bundles=[finished.bundle], max_items=8, max_text_bytes=1000, max_body_bytes=20_000)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client
