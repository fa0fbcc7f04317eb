"""A broker that lets in who proves who they are, and allows what an access control list says.

Clients come over TLS with a password (SCRAM or PLAIN) or with a certificate (mutual TLS); either
way they are `User:<name>`. The listener without TLS is the brokers' own, and the administrator's.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
)
from pydantic import SecretStr

from metarec_stream.kafka.child import Child
from metarec_stream.kafka.distribution import Distribution
from metarec_stream.kafka.embedded import HOST, EmbeddedBroker
from metarec_stream.kafka.rights import Right
from metarec_stream.kafka.settings import KafkaSettings
from tests.transport.backends import wait_until

USERS = ("consumer", "learner", "producer", "subscriber", "verify", "dlq")
_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
_PROPERTIES = """
listeners=PLAINTEXT://{host}:{plain},CONTROLLER://{host}:{controller},PASSWORD://{host}:{password},CERTIFICATE://{host}:{certificate}
advertised.listeners=PLAINTEXT://{host}:{plain},PASSWORD://{host}:{password},CERTIFICATE://{host}:{certificate}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PASSWORD:SASL_SSL,CERTIFICATE:SSL
inter.broker.listener.name=PLAINTEXT
allow.everyone.if.no.acl.found=false
super.users=User:ANONYMOUS
ssl.keystore.type=PEM
ssl.keystore.location={keys}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={keys}/authority.pem
listener.name.certificate.ssl.client.auth=required
listener.name.certificate.ssl.principal.mapping.rules=RULE:^CN=([a-z]+)$/$1/
sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.password.scram-sha-512.sasl.jaas.config=\
  org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.password.plain.sasl.jaas.config=\
  org.apache.kafka.common.security.plain.PlainLoginModule required user_plain="plain-secret";
"""


def password_of(user: str) -> str:
    """What a user proves with who they are."""
    return f"{user}-secret"


def make_keys(folder: Path) -> None:
    """An authority, another that nobody trusts, and a signed certificate for all others."""
    for authority in ("authority", "stranger"):
        _openssl("req", "-x509", *_CURVE, "-subj", f"/CN={authority}", *_files(folder, authority))
    signed_by = ("-CA", str(folder / "authority.pem"), "-CAkey", str(folder / "authority.key"))
    for name in ("broker", *USERS):
        host = ("-addext", f"subjectAltName=IP:{HOST}", "-addext", "basicConstraints=CA:FALSE")
        subject = ("-subj", f"/CN={name}")
        _openssl("req", "-x509", *_CURVE, *subject, *host, *signed_by, *_files(folder, name))
    key, certificate = folder / "broker.key", folder / "broker.pem"
    certificate.write_bytes(key.read_bytes() + certificate.read_bytes())


class SecuredBroker(EmbeddedBroker):
    """The embedded broker with two guarded listeners beside its own."""

    def __init__(self, keys: Path) -> None:
        self._keys = keys
        with socket.socket() as first, socket.socket() as second:
            first.bind((HOST, 0))
            second.bind((HOST, 0))
            self._password, self._certificate = (each.getsockname()[1] for each in (first, second))
        super().__init__(None, None, lambda _: None)

    def with_password(self, user: str, password: str | None = None) -> KafkaSettings:
        """How a user connects with SCRAM over TLS."""
        return KafkaSettings(
            bootstrap_servers=f"{HOST}:{self._password}",
            connect_timeout_s=20.0,
            security_protocol="SASL_SSL",
            sasl_mechanism="SCRAM-SHA-512",
            sasl_username=user,
            sasl_password=SecretStr(password or password_of(user)),
            ssl_cafile=self._keys / "authority.pem",
        )

    def with_certificate(self, user: str) -> KafkaSettings:
        """How a user connects with a certificate."""
        return KafkaSettings(
            bootstrap_servers=f"{HOST}:{self._certificate}",
            connect_timeout_s=20.0,
            security_protocol="SSL",
            ssl_cafile=self._keys / "authority.pem",
            ssl_certfile=self._keys / f"{user}.pem",
            ssl_keyfile=self._keys / f"{user}.key",
        )

    @contextmanager
    def administrator(self) -> Iterator[KafkaAdminClient]:
        """A client that may do everything."""
        with KafkaAdminClient(bootstrap_servers=self.bootstrap_servers) as admin:
            yield admin

    @contextmanager
    def allowed(self, user: str, rights: Iterable[Right]) -> Iterator[None]:
        """Inside, the broker lets a user do this too; outside no more."""
        entries = [_entry(user, right) for right in rights]
        with self.administrator() as admin:
            assert not admin.create_acls(entries)["failed"]
            wait_until(lambda: all(admin.describe_acls(entry)[0] for entry in entries))
            try:
                yield
            finally:
                admin.delete_acls(entries)
                wait_until(lambda: not any(admin.describe_acls(entry)[0] for entry in entries))

    def _write_configuration(self, port: int, controller_port: int) -> None:
        super()._write_configuration(port, controller_port)
        more = _PROPERTIES.format(
            host=HOST,
            plain=port,
            controller=controller_port,
            password=self._password,
            certificate=self._certificate,
            keys=self._keys,
        )
        with (self._folder / "server.properties").open("a", encoding="utf-8") as file:
            file.write(more)

    def _run(self, distribution: Distribution, *arguments: str) -> Child:
        more = _scram_users() if "format" in arguments else ()
        return super()._run(distribution, *arguments, *more)


def _scram_users() -> Sequence[str]:
    return [
        f"--add-scram=SCRAM-SHA-512=[name={user},password={password_of(user)}]" for user in USERS
    ]


def _entry(user: str, right: Right) -> ACL:
    kind = ResourceType[right.kind.upper().replace("-", "_")]
    pattern = ACLResourcePatternType.PREFIXED if right.prefixed else ACLResourcePatternType.LITERAL
    return ACL(
        f"User:{user}",
        "*",
        ACLOperation[right.operation.upper()],
        ACLPermissionType.ALLOW,
        ResourcePattern(kind, right.name, pattern),
    )


def _files(folder: Path, name: str) -> tuple[str, ...]:
    return ("-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem"))


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
