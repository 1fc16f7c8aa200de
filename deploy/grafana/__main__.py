"""Write the dashboard's file: ``python -m deploy.grafana [--docs ADDRESS]``."""

from __future__ import annotations

from argparse import ArgumentParser

from deploy.grafana.model import FILE, written


def main() -> None:
    parser = ArgumentParser(prog="python -m deploy.grafana", description=__doc__)
    parser.add_argument("--docs", default="", help="where docs/ can be read, for links to runbooks")
    FILE.write_text(written(parser.parse_args().docs.rstrip("/")))


if __name__ == "__main__":
    main()
