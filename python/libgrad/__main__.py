"""``python -m libgrad``: a demo, versions, checks, pictures, a doctor, packages and wheels."""

from __future__ import annotations

import argparse

from . import __version__, cmake_dir, include_dir
from ._command.check import add_arguments as add_check_arguments
from ._command.doctor import add_arguments as add_doctor_arguments
from ._command.graph import add_arguments as add_graph_arguments
from ._command.new import add_arguments as add_new_arguments
from ._command.wheel import add_arguments as add_wheel_arguments


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit status."""
    parser = argparse.ArgumentParser(
        "python -m libgrad", description="LibTorch's C++ autograd from Python."
    )
    parser.add_argument("--version", action="version", version=f"libgrad {__version__}")
    parser.add_argument("--includedir", action="store_true", help="print the C++ include directory")
    parser.add_argument(
        "--cmakedir", action="store_true", help="print the directory of libgradConfig.cmake"
    )
    commands = parser.add_subparsers(dest="command", metavar="command")
    demo = commands.add_parser("demo", help="differentiate, train a network, measure the overhead")
    demo.add_argument("--device", default="cpu", help="where to run: cpu (default) or cuda")
    commands.add_parser("info", help="print versions and paths")
    checker = commands.add_parser("check", help="run a function through every mode of autograd")
    add_check_arguments(checker)
    drawer = commands.add_parser("graph", help="draw the graph behind what a function returns")
    add_graph_arguments(drawer)
    doctor = commands.add_parser("doctor", help="run a program; say who changed what it needs")
    add_doctor_arguments(doctor)
    new = commands.add_parser("new", help="write a package with a C++ Function, ready for pip")
    add_new_arguments(new)
    wheel = commands.add_parser("wheel", help="build one wheel for several versions of torch")
    add_wheel_arguments(wheel)
    options = parser.parse_args(arguments)

    if options.includedir or options.cmakedir:
        if options.includedir:
            print(include_dir())
        if options.cmakedir:
            print(cmake_dir())
        return 0
    if options.command == "demo":
        from ._command.demo import demo as run_demo

        return run_demo(options.device)
    if options.command == "info":
        from ._command.info import info

        print(info())
        return 0
    if options.command == "check":
        from ._command.check import command

        return command(options)
    if options.command == "graph":
        from ._command.graph import command as draw_command

        return draw_command(options)
    if options.command == "doctor":
        from ._command.doctor import command as doctor_command

        return doctor_command(options)
    if options.command == "wheel":
        from ._command.wheel import command as wheel_command

        return wheel_command(options)
    if options.command == "new":
        from ._command.new import command as new_command

        return new_command(options)
    parser.print_help()
    return 2


if __name__ == "__main__":
    raise SystemExit(main())
