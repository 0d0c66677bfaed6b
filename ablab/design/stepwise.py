"""Designs that make or take back one change at a time."""

from ablab.design.layout import DesignLayout, Task, contrast, total


def path(task: Task) -> DesignLayout:
    """From one end to the other, one change after another."""
    layout = DesignLayout()
    uses, previous = dict(task.start.uses), layout.add(task.start)
    for change in task.changes:
        uses = change.apply(uses)
        arm = layout.add(task.model(uses))
        layout.contrasts.append(contrast(change.name, "change", [(arm, 1.0), (previous, -1.0)]))
        previous = arm
    total(layout, task)
    return layout


def one_in(task: Task) -> DesignLayout:
    """`from`, and `from` with each change."""
    layout = DesignLayout()
    start = layout.add(task.start)
    for change in task.changes:
        arm = layout.add(task.model(change.apply(task.start.uses)))
        layout.contrasts.append(contrast(change.name, "change", [(arm, 1.0), (start, -1.0)]))
    return layout


def leave_one_out(task: Task) -> DesignLayout:
    """`to`, `to` less each change, and `from`."""
    layout = DesignLayout()
    goal = layout.add(task.goal)
    for change in task.changes:
        arm = layout.add(task.model(change.undo(task.goal.uses), task.goal))
        layout.contrasts.append(contrast(change.name, "change", [(goal, 1.0), (arm, -1.0)]))
    total(layout, task)
    return layout


def one_in_one_out(task: Task) -> DesignLayout:
    """Each change added to `from` and taken from `to`; the difference says how much its effect
    depends on the others.
    """
    if len(task.changes) < 2:
        raise task.refusal("one change does the same in and out: list two or more, or use compare")
    layout = DesignLayout()
    start, goal = layout.add(task.start), task.goal.expression
    inside, outside, between = [], [], []
    added = {
        change.name: layout.add(task.model(change.apply(task.start.uses)))
        for change in task.changes
    }
    for change in task.changes:
        arm = layout.add(task.model(change.undo(task.goal.uses), task.goal))
        into, out = [(added[change.name], 1.0), (start, -1.0)], [(goal, 1.0), (arm, -1.0)]
        inside.append(contrast(f"{change.name} (in)", "change", into))
        outside.append(contrast(f"{change.name} (out)", "change", out))
        less = [(name, -weight) for name, weight in into]
        between.append(contrast(f"{change.name} (out − in)", "interaction", out + less))
    layout.contrasts += [effect for pair in zip(inside, outside, strict=True) for effect in pair]
    total(layout, task)
    layout.contrasts += between
    return layout
