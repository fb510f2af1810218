"""What an attacker would try, against `gateway serve` in its default configuration, over sockets."""
