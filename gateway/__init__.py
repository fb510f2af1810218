"""The application: everything between the socket and the upstreams."""
