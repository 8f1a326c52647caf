"""The gateway's figures. A closed list: every name says its unit, and every label has few values."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)

CONNECTIONS: Final = Gauge("chorus_gateway_connections", "Connections that have said hello.")
WATCHED: Final = Gauge("chorus_gateway_watched_conversations", "Conversations that somebody here watches.")
FRAMES_IN: Final = Counter("chorus_gateway_frames_in_total", "Frames received.")
FRAMES_OUT: Final = Counter("chorus_gateway_frames_out_total", "Frames written.")
BYTES_OUT: Final = Counter("chorus_gateway_bytes_out_total", "Payload bytes written.")
CLOSES: Final = Counter("chorus_gateway_closes_total", "Connections that this side closed.", ["code"])
PRESENT: Final = Gauge(
    "chorus_gateway_present", "People who look at a conversation through this gateway, once for each conversation."
)
PRESENCE_TOLD: Final = Counter("chorus_gateway_presence_told_total", "Changes of presence told to other gateways.")
RESUMES: Final = Counter("chorus_gateway_resumes_total", "Subscriptions with a cursor.", ["outcome"])
REFUSALS: Final = Counter("chorus_edge_refusals_total", "Commands refused.", ["code"])
PUBLISH_SECONDS: Final = Histogram(
    "chorus_edge_publish_seconds", "From a command to the broker's word.", buckets=_SECONDS
)
FANOUT_SECONDS: Final = Histogram(
    "chorus_gateway_fanout_seconds", "Age of a record when it is written to those who watch.", buckets=_SECONDS
)
CATCH_UPS: Final = Counter("chorus_gateway_catch_ups_total", "Holes in what was told live, that were read back.")
