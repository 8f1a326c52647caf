"""Fetches Kafka's jars from Maven Central by exact version; each must have the SHA-256 that is locked for it.

`python -m infra.stack.jars` fetches what is missing and tries Kafka once. With `--lock` it resolves Kafka's dependency
tree anew and writes the lock: do that after changing a version below, and read the difference.
"""

import asyncio
import sys
import time
from hashlib import sha256
from pathlib import Path
from subprocess import DEVNULL, Popen
from tempfile import TemporaryDirectory

from jgo.config import GlobalSettings
from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import Artifact, MavenContext
from requests import RequestException
from rich.console import Console
from rich.progress import track

from infra.stack.kafka import JAR_LOCK, JARS, START_CACHE, Kafka, jar_path, locked_jars
from infra.stack.ports import free_port

KAFKA = "org.apache.kafka:kafka_2.13:4.1.1"
# What Kafka's own distribution adds to its dependencies so that its logs go somewhere.
LOG_BINDING = "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3"


def fetch() -> None:
    """Download the jars that are missing, showing progress."""
    maven = _maven()
    missing = {c: digest for c, digest in locked_jars().items() if not jar_path(c).exists()}
    if not missing:
        return
    for coordinate, locked in track(missing.items(), "Fetching Kafka", console=Console(stderr=True)):
        try:
            path = _artifact(maven, coordinate).resolve()
        except RequestException as error:
            sys.exit(f"Cannot fetch {coordinate} from Maven Central: {error}. Check the network and try again.")
        if sha256(path.read_bytes()).hexdigest() != locked:
            path.unlink()
            sys.exit(
                f"{coordinate} as downloaded is not what {JAR_LOCK.name} names. Try again, or look into the mirror."
            )


def learn() -> None:
    """Start Kafka once and keep what the JVM learns from it, so that every later start is quicker."""
    if START_CACHE.exists():
        return
    with TemporaryDirectory(prefix="chorus-kafka-") as folder, Console(stderr=True).status("Trying Kafka"):
        kafka = Kafka(Path(folder), free_port())
        kafka.prepare()
        java, *rest = kafka.command().argv
        with Popen([java, f"-XX:AOTCacheOutput={START_CACHE}", *rest], stdout=DEVNULL, stderr=DEVNULL) as process:
            while process.poll() is None and not asyncio.run(kafka.ready()):
                time.sleep(0.1)
            process.terminate()
    if not START_CACHE.exists():
        sys.exit(f"Kafka does not start (exit code {process.returncode}): see that 1 GB of memory is free.")


def lock() -> None:
    """Resolve the dependency tree of the versions above and write the lock."""
    maven = _maven()
    # One at a time: resolved together, jgo lets what the second one manages override Kafka's own versions.
    kafka, tree = maven.resolver.resolve([maven.create_dependency(KAFKA)])
    binding, _ = maven.resolver.resolve([maven.create_dependency(LOG_BINDING)], transitive=False)
    artifacts = [d.artifact for d in (*kafka, *tree, *binding) if d.scope in (None, "compile", "runtime")]
    lines = (
        f"{a.groupId}:{a.artifactId}:{a.version} {sha256(a.resolve().read_bytes()).hexdigest()}" for a in artifacts
    )
    JAR_LOCK.write_text("\n".join(sorted(lines)) + "\n")


def _maven() -> MavenContext:
    # A mirror may be named in jgo's own settings file.
    mirrors = GlobalSettings.load().repositories
    return MavenContext(repo_cache=JARS, remote_repos={**mirrors, "central": MAVEN_CENTRAL_URL}, timeout=60)


def _artifact(maven: MavenContext, coordinate: str) -> Artifact:
    group, name, version = coordinate.split(":")
    return maven.project(group, name).at_version(version).artifact()


if __name__ == "__main__":
    if sys.argv[1:] == ["--lock"]:
        lock()
    else:
        fetch()
        learn()
