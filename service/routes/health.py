"""Liveness and readiness for whatever supervises the service."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Whether the process answers")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/readyz", summary="Whether every model has passed a real inference")
async def readyz(request: Request) -> JSONResponse:
    catalog = request.app.state.catalog
    models = {model.name: model.version for model in catalog.models.values()}
    body = {"status": "ready" if catalog.ready else "starting", "models": models}
    return JSONResponse(body, status_code=200 if catalog.ready else 503)
