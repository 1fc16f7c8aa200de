"""The Centrifuge client protocol, version 2, in its JSON form: its rules, without sockets."""
