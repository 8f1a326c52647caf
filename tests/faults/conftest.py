from tests.people import http, online, person, ws_url

__all__ = ["http", "online", "person", "ws_url"]
