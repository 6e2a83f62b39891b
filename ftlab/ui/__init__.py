"""The Workbench: panels over one State. Panels never refer to each other, and widgets are never
the state; all of it works in plain Python, a browser only draws it."""
