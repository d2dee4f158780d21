"""`python -m mpcnode` is the program `mpcnode`."""

from mpcnode.cli.main import main

main()
