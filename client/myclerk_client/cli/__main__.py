"""``python -m myclerk_client.cli``."""

from . import main

main()
