"""`python -m qingtiao`, the form that launchers of several processes take."""

from qingtiao.cli import main

main()
