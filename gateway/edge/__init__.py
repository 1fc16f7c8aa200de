"""The client's side: handshakes, sockets, and one ``ClientConnection`` for each."""
