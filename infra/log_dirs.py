"""How many bytes topics take on the brokers' disks: Kafka's DescribeLogDirs, which no client library here offers."""

from collections import Counter

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Int64, Schema, String

from infra.settings import KafkaSettings


class _Answer(Response):  # type: ignore[misc]
    API_KEY = 35
    API_VERSION = 1
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "dirs",
            Array(
                ("error_code", Int16),
                ("dir", String("utf-8")),
                (
                    "topics",
                    Array(
                        ("name", String("utf-8")),
                        (
                            "partitions",
                            Array(("partition", Int32), ("size", Int64), ("lag", Int64), ("is_future", Boolean)),
                        ),
                    ),
                ),
            ),
        ),
    )


class _Question(RequestStruct):  # type: ignore[misc]
    API_KEY = 35
    API_VERSION = 1
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(("topics", Array(("name", String("utf-8")), ("partitions", Array(Int32)))))


class _DescribeLogDirs(Request[_Question]):  # type: ignore[misc]
    API_KEY = 35

    def build(self, request_struct_class: type[_Question]) -> _Question:
        return request_struct_class(None)  # every topic


async def topic_bytes(settings: KafkaSettings) -> dict[str, int]:
    """Bytes of each topic on disk, all copies together; Kafka's own topics too.

    Raises:
        aiokafka.errors.KafkaError: a broker is away or cannot read its disk.
    """
    client = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap)
    await client.start()
    try:
        found: Counter[str] = Counter()
        brokers = (await client.describe_cluster())["brokers"]
        for broker in brokers:
            await client._client.ready(broker["node_id"])
            answer = await client._client.send(broker["node_id"], _DescribeLogDirs())
            for error_code, _, topics in answer.dirs:
                if error_code:
                    raise for_code(error_code)
                for name, partitions in topics:
                    found[name] += sum(size for _, size, _, _ in partitions)
        return dict(found)
    finally:
        await client.close()
