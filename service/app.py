"""The application: assembled here, started and stopped here."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from pipelines.environment import own_version
from pipelines.errors import UsageError
from service.catalog import Catalog
from service.errors import Overloaded, RequestError, TooLarge
from service.routes import health, oip
from service.settings import Settings

log = logging.getLogger("aasaan.service")


def create_app(settings: Settings, catalog: Catalog | None = None) -> FastAPI:
    """The ASGI application. `catalog` is loaded at start-up, unless it is, and closed at shutdown."""
    catalog = catalog or Catalog(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if not catalog.models:
            await asyncio.to_thread(catalog.load)
        catalog.start()
        yield
        await catalog.close()

    app = FastAPI(title="aasaan", version=own_version(), lifespan=lifespan)
    app.state.settings = settings
    app.state.catalog = catalog
    app.include_router(health.router)
    app.include_router(oip.router)
    app.middleware("http")(_limit_body(settings.max_body_bytes))
    app.add_exception_handler(RequestError, _request_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _bug)
    return app


def run(host: str | None = None, port: int | None = None, bundles: list[Path] | None = None) -> None:
    """Serves until SIGINT or SIGTERM. Raises an `AasaanError` for a taken port or nothing to serve."""
    given = {"host": host, "port": port, "bundles": bundles}
    settings = Settings(**{key: value for key, value in given.items() if value not in (None, [])})  # type: ignore[arg-type]
    logging.getLogger("aasaan.service").setLevel(logging.INFO)
    listener = _listen(settings.host, settings.port)
    catalog = Catalog(settings)
    with listener:
        catalog.load()
        config = uvicorn.Config(create_app(settings, catalog), log_level="warning", lifespan="on")
        log.info("listening on http://%s:%d, API at /docs", settings.host, settings.port)
        uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise UsageError(
            f"Cannot listen on {host}:{port}: {error.strerror}. "
            "Stop what is there or choose another port, e.g. --port 8001."
        ) from None
    return listener


def _limit_body(limit: int) -> Callable[..., Any]:
    async def check(request: Request, call_next: Callable[[Request], Any]) -> Response:
        length = request.headers.get("content-length")
        if length is not None and length.isdigit() and int(length) > limit:
            return await _request_error(
                request, TooLarge(f"the request has {length} bytes, the limit is {limit}")
            )
        return await call_next(request)  # type: ignore[no-any-return]

    return check


async def _request_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestError)
    headers = {"retry-after": "1"} if isinstance(error, Overloaded) else None
    return JSONResponse({"error": str(error)}, error.status, headers)


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = [f"{'.'.join(map(str, item['loc'][1:])) or 'body'}: {item['msg']}" for item in error.errors()]
    return JSONResponse({"error": "; ".join(found)[:2000]}, 400)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)


async def _bug(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return JSONResponse({"error": "internal error; the server's log has the reason"}, 500)
