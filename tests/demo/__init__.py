"""The demo upstreams and their switches."""
