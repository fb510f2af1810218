"""``@link``: which specifications a document uses, and under which names.

Source: https://specs.apollo.dev/link/v1.0. A name is spelled in full with the specification's namespace
(``federation__key``), bare when the specification's own name (``tag``), or as imported, possibly renamed.
"""

import re
from dataclasses import dataclass, field

LINK_IDENTITY = "https://specs.apollo.dev/link"
FEDERATION_IDENTITY = "https://specs.apollo.dev/federation"

# "https:/" with one slash is accepted, as deployed documents have it.
_URL = re.compile(r"^(?P<scheme>https?):/{1,2}(?P<path>[^?#]*?)/?$")
_VERSION = re.compile(r"^v(\d+)\.(\d+)$")
_NAME = re.compile(r"^[_A-Za-z][_0-9A-Za-z]*$")


class LinkError(ValueError):
    """A link or an import that cannot be read."""


@dataclass(frozen=True, slots=True)
class Link:
    """One linked specification. ``imports`` maps names in the document to names in the specification, ``@`` kept."""

    url: str
    identity: str
    name: str
    version: tuple[int, int] | None
    namespace: str
    imports: dict[str, str] = field(default_factory=dict, hash=False)
    purpose: str | None = None

    @property
    def is_federation(self) -> bool:
        """Whether this is the federation specification itself."""
        return self.identity == FEDERATION_IDENTITY

    def spec_name(self, local: str) -> str | None:
        """The specification's name for a name of the document; None when the link does not define it.

        Directives carry their ``@``: ``"@federation__key"`` gives ``"@key"``.
        """
        if local in self.imports:
            return self.imports[local]
        sigil, bare = ("@", local[1:]) if local.startswith("@") else ("", local)
        if bare.startswith(self.namespace + "__"):
            return sigil + bare.removeprefix(self.namespace + "__")
        if sigil and bare == self.namespace:
            return "@" + self.name
        return None

    def local_name(self, spec: str) -> str:
        """The name in the document for a name of the specification: as imported, or in full."""
        for local, name in self.imports.items():
            if name == spec:
                return local
        sigil, bare = ("@", spec[1:]) if spec.startswith("@") else ("", spec)
        if sigil and bare == self.name:
            return "@" + self.namespace
        return f"{sigil}{self.namespace}__{bare}"


def read_link(url: str, alias: str | None, imports: object, purpose: str | None) -> Link:
    """A link from the arguments of ``@link``.

    Raises:
        LinkError: the URL has no name, or an import is neither a name nor ``{name:, as:}``.
    """
    match = _URL.match(url)
    if match is None:
        raise LinkError(f'"{url}" is no URL of a specification')
    parts = match["path"].split("/")
    version = _VERSION.match(parts[-1])
    if version is not None:
        parts = parts[:-1]
    name = parts[-1] if len(parts) > 1 else ""
    if not _NAME.match(name) and not alias:
        raise LinkError(f'"{url}" does not name a specification')
    if alias is not None and ("__" in alias or not _NAME.match(alias)):
        raise LinkError(f'"{alias}" cannot be a namespace')
    return Link(
        url=url,
        identity=f"{match['scheme']}://{'/'.join(parts)}",
        name=name,
        version=(int(version[1]), int(version[2])) if version else None,
        namespace=alias or name,
        imports=_read_imports(imports, url),
        purpose=purpose,
    )


def _read_imports(imports: object, url: str) -> dict[str, str]:
    found: dict[str, str] = {}
    if imports is None:
        return found
    for each in imports if isinstance(imports, list) else [imports]:
        match each:
            case str():
                found[each] = each
            case {"name": str(name), **rest} if set(rest) <= {"as"} and isinstance(rest.get("as", name), str):
                local = str(rest.get("as", name))
                if name.startswith("@") != local.startswith("@"):
                    raise LinkError(f'import of "{name}" from {url} as "{local}": both or none must start with "@"')
                found[local] = name
            case _:
                raise LinkError(f"an import of {url} is neither a name nor {{name:, as:}}")
    return found
