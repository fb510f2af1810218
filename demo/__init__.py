"""Small real upstreams that can be broken on purpose."""
