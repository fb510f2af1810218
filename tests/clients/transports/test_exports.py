import clients.transports


def test_the_package_exports_exactly_this() -> None:
    assert clients.transports.__all__ == [
        "HttpxWire",
        "PyreqwestWire",
        "Wire",
        "WireBroken",
        "WireConnectError",
        "WireError",
        "WireOptions",
        "WireResponse",
        "WireTooLarge",
        "WireUnauthorized",
    ]
