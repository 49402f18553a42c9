"""The application: its routes, its errors, who may use it."""

from fastapi import APIRouter, FastAPI, Security

from controller.http import (
    blobs,
    broker,
    collections,
    dead_letters,
    deployments,
    edges,
    fleet,
    health,
    jobs,
    keys,
    libraries,
    model_aliases,
    model_archives,
    model_gates,
    model_pipeline,
    model_versions,
    models,
    node_types,
    outcomes,
    pipelines,
    run_output,
    runs,
    secrets,
    timeline,
    windows,
)
from controller.http.auth import TokenGate, bearer
from controller.http.bodies import BodyLimit
from controller.http.errors import add_error_handlers
from controller.http.services import Services


def create_app(services: Services, version: str) -> FastAPI:
    """The API of one controller."""
    app = FastAPI(title="Tidemill", version=version, docs_url="/docs", redoc_url=None)
    app.state.services = services
    api = APIRouter(prefix="/api/v1", dependencies=[Security(bearer)])
    for part in (
        blobs,
        broker,
        collections,
        dead_letters,
        deployments,
        edges,
        fleet,
        jobs,
        keys,
        libraries,
        model_aliases,
        model_archives,
        model_gates,
        model_pipeline,
        model_versions,
        models,
        node_types,
        outcomes,
        pipelines,
        run_output,
        runs,
        secrets,
        timeline,
        windows,
    ):
        api.include_router(part.router)
    app.include_router(api)
    app.include_router(health.router)
    add_error_handlers(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(TokenGate, database=services.database)  # the last one added is the first one passed
    return app
