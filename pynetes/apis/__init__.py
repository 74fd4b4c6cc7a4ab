"""What each kind means: its defaults, validation, update rules, table columns, selectable fields and versions.

`strategy.Strategy` is what the request pipeline sees of a kind; `registry.strategy_for` finds it. One package per API
group; kinds that need nothing of their own get the generic strategy.
"""
