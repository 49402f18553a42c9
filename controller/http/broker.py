"""The broker: where devices publish."""

from fastapi import APIRouter

from controller.http.services import Parts
from schemas.views import BrokerView

router = APIRouter(tags=["broker"])


@router.get("/broker")
async def broker(parts: Parts) -> BrokerView:
    """How a device reaches the broker; with an embedded one, its account too."""
    return parts.for_devices
