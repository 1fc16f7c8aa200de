"""What the tiers share: real servers on free ports, a proxy that misbehaves, clients that count."""
