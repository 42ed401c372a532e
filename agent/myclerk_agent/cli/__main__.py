"""``python -m myclerk_agent.cli``."""

from . import main

main(prog_name="myclerk-agent")
