"""The forms that texts have to have: regular expressions for the check, words for messages."""

from __future__ import annotations

from trivet.types.metadata.fields import FIELD_NAME
from trivet.types.text.names import NAME as NAME_OF

NAME = f"^{NAME_OF}$"
REF = r"^[a-z0-9][a-z0-9._-]{0,62}@[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
VERSION = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
SHA256 = r"^[0-9a-f]{64}$"
HOST_PORT = r"^(\[[0-9a-fA-F:]+\]|[^:\s\[\]]+):[0-9]{1,5}$"
RAY_ADDRESS = r"^(auto|(\[[0-9a-fA-F:]+\]|[^:\s\[\]]+):[0-9]{1,5})$"
URL = r"^https?://[^/\s?#@]+(/[^\s?#]*)?$"
STATE_URL = r"^(sqlite|postgresql://([^\s:@/?#]+@)?[^\s@/?#]*/[^\s@/?#]+(\?[^\s@#]*)?)$"
SOURCE = (
    r"^(https?://[^/\s?#@]+/[^\s#@]*|git\+(https|file)://[^\s@#]*@[^\s@#]+(#[^\s#]*)?|(s3|gs|az|abfs)://[^\s@?#]+)$"
)
LABEL = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
QDRANT_URL = r"^https?://[^/\s]+$"
HUB_ADAPTER = r"^hub:[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[A-Za-z0-9][\w./-]*)?$"
MODEL = r"^(hub:[\w.-]+(/[\w.-]+)?(@[\w./-]+)?|[^:]+)$"
REGION = r"^[a-z0-9-]+$"
HOOK = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$"
VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]{0,127}$"
NOT_BLANK = r"\S"
OCR_LANGUAGE = r"^[A-Za-z0-9_]{2,40}(/[A-Za-z0-9_]{1,40})?$"
FIELD = rf"^{FIELD_NAME}$"

# What each of them expects. A pattern without words is shown to readers as it is.
WORDS = {
    NAME: "a name: up to 63 lower-case letters, digits, '.', '_' and '-', a letter or digit first",
    REF: "name@version, such as support@1",
    VERSION: "a version: up to 63 letters, digits, '.', '_' and '-', a letter or digit first",
    SHA256: "64 hexadecimal digits, which `trivet key new` prints",
    HOST_PORT: "host:port, such as 127.0.0.1:7600",
    RAY_ADDRESS: "auto, or host:port of Ray's control service, such as 10.0.0.1:6379",
    URL: "a URL such as https://host:9000, without credentials, a query or a fragment",
    SOURCE: "a sitemap's https:// address, s3://bucket/prefix, or git+https://host/repository@revision#folder",
    STATE_URL: "sqlite, or postgresql://user@host:5432/database, without a password",
    LABEL: "a name in Kubernetes: up to 63 small letters, digits and '-', not at an end",
    QDRANT_URL: "a URL without a path, such as https://qdrant.example:6333",
    HUB_ADAPTER: "hub:organisation/name, with @revision where it matters which",
    MODEL: "a model's folder, or hub:organisation/name[@revision]",
    REGION: "a region such as eu-central-1",
    HOOK: "package.module:function",
    VARIABLE: "the name of an environment variable: letters, digits and '_', no digit first",
    OCR_LANGUAGE: "a language as Tesseract names it, such as eng, deu or chi_sim",
    NOT_BLANK: "text that is not blank",
    FIELD: "a field's name: up to 32 small letters, digits and '_', a letter first",
}
