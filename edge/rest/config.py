"""What a client needs to know before anybody has signed in."""

from fastapi import APIRouter

from edge.rest import answers
from edge.rest.door import MAX_BODY_BYTES
from edge.rest.fields import MAX_PAGE
from edge.rest.services import ServicesOf
from infra.version import VERSION
from schemas.frames import MAX_CONTENT_CHARACTERS, MAX_FRAME_BYTES, MAX_TITLE_CHARACTERS

router = APIRouter(tags=["config"])


@router.get("/v1/config")
async def config(services: ServicesOf) -> answers.Config:
    return answers.Config(
        ws_url=services.settings.ws_url,
        version=VERSION,
        oauth_providers=sorted(services.providers),
        treasurers=bool(services.settings.treasurers),
        limits=answers.Limits(
            max_content_characters=MAX_CONTENT_CHARACTERS,
            max_title_characters=MAX_TITLE_CHARACTERS,
            max_frame_bytes=MAX_FRAME_BYTES,
            max_body_bytes=MAX_BODY_BYTES,
            max_page=MAX_PAGE,
        ),
    )
