"""Designs that add or remove one change at a time."""

from ablab.design.layout import DesignLayout, Task, add_total, contrast


def path(task: Task) -> DesignLayout:
    """Go from `from` to `to` by one change after another."""
    layout = DesignLayout()
    uses = dict(task.start.uses)
    previous = layout.add(task.start)
    for change in task.changes:
        uses = change.apply(uses)
        arm = layout.add(task.model(uses))
        layout.contrasts.append(contrast(change.name, "change", [(arm, 1.0), (previous, -1.0)]))
        previous = arm
    add_total(layout, task)
    return layout


def one_in(task: Task) -> DesignLayout:
    """Compare `from` with each change alone against `from`."""
    layout = DesignLayout()
    start = layout.add(task.start)
    for change in task.changes:
        arm = layout.add(task.model(change.apply(task.start.uses)))
        layout.contrasts.append(contrast(change.name, "change", [(arm, 1.0), (start, -1.0)]))
    return layout


def leave_one_out(task: Task) -> DesignLayout:
    """Compare `to` against `to` without each change, and against `from`."""
    layout = DesignLayout()
    goal = layout.add(task.goal)
    for change in task.changes:
        arm = layout.add(task.model(change.undo(task.goal.uses), task.goal))
        layout.contrasts.append(contrast(change.name, "change", [(goal, 1.0), (arm, -1.0)]))
    add_total(layout, task)
    return layout


def one_in_one_out(task: Task) -> DesignLayout:
    """Add each change to `from`, and remove it from `to`.

    The difference of the two effects tells how much a change depends on the others.
    """
    if len(task.changes) < 2:
        raise task.error(
            "a single change has the same effect in and out: list two or more, or use compare"
        )
    layout = DesignLayout()
    start = layout.add(task.start)
    goal = task.goal.expression
    single_effects = []
    interactions = []
    added = {
        change.name: layout.add(task.model(change.apply(task.start.uses)))
        for change in task.changes
    }
    for change in task.changes:
        arm = layout.add(task.model(change.undo(task.goal.uses), task.goal))
        added_to_start = [(added[change.name], 1.0), (start, -1.0)]
        removed_from_goal = [(goal, 1.0), (arm, -1.0)]
        difference = removed_from_goal + [(name, -weight) for name, weight in added_to_start]
        single_effects.append(contrast(f"{change.name} (in)", "change", added_to_start))
        single_effects.append(contrast(f"{change.name} (out)", "change", removed_from_goal))
        interactions.append(contrast(f"{change.name} (out − in)", "interaction", difference))
    layout.contrasts += single_effects
    add_total(layout, task)
    layout.contrasts += interactions
    return layout
