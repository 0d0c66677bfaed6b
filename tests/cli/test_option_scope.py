"""A command accepts --home and --plugins only where it uses them."""

import typer

from ablab.cli.commands import app

PLUGINS = {
    "run",
    "try",
    "plan",
    "inspect",
    "diff",
    "plugins",
    "families",
    "recipes",
    "export",
    "generate",
}
NO_HOME = {"inspect", "diff", "plugins", "families", "recipes", "schema", "new-plugin", "check"}


def test_home_and_plugins_are_options_of_the_commands_that_use_them():
    group = typer.main.get_command(app)
    options = {
        name: {option for parameter in command.params for option in parameter.opts}
        for name, command in group.commands.items()
    }
    assert {name for name in options if "--plugins" in options[name]} == PLUGINS
    assert {name for name in options if "--home" in options[name]} == options.keys() - NO_HOME
